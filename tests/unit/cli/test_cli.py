"""The command line: the stable commands, help and errors in Spanish, exit statuses."""

from __future__ import annotations

import ast
import gettext
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from babel.messages import pofile

from spotify_mlops.cli import main, usage
from spotify_mlops.config import params
from spotify_mlops.config.errors import IntegrityError

ENGLISH = re.compile(
    r"\b(Usage|Options|Commands|Show|this|message|exit|default|required|Missing|Error:.*such|Try"
    r"|Invalid|the|of|and|with)\b"
)
STABLE = {
    ("up",): set(),
    ("down",): set(),
    ("status",): {"--json"},
    ("ingest", "simulator"): {"--live", "--params", "--json"},
    ("ingest", "charts"): {"--params", "--json"},
    ("ingest", "history"): {"--params", "--json"},
    ("ingest", "webapi"): {"--live", "--params", "--json"},
    ("notebooks",): {"--only", "--from", "--resume", "--params"},
    ("stream",): {"--until-caught-up", "--params", "--json"},
    ("replay",): {
        "--from",
        "--dataset",
        "--runner",
        "--compare",
        "--allowed-lateness",
        "--params",
        "--json",
    },
    ("audit",): {"--skew", "--params", "--json"},
    ("dead-letters", "list"): {"--reason", "--limit", "--params", "--json"},
    ("dead-letters", "show"): {"--params", "--json"},
    ("dead-letters", "replay"): {"--reason", "--dry-run", "--params", "--json"},
    ("serve",): {"--workers", "--params"},
    ("cloud", "cost"): {"--rate", "--freshness", "--months", "--figure", "--params", "--json"},
    ("cloud", "check"): {"--timeout", "--params", "--json"},
    ("cloud", "status"): {"--timeout", "--params", "--json"},
    ("cloud", "teardown"): {"--yes", "--data", "--params", "--json"},
    ("bench",): {"--params", "--json"},
    ("run",): {"--params"},
}
"""Commands and options that people, notebooks and checks call."""


def walk(
    command: click.Command, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        for name, child in command.commands.items():
            yield from walk(child, (*path, name))


ALL = dict(walk(main.app))


def run(*arguments: str) -> int:
    try:
        main.main(list(arguments))
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    return 0


@pytest.mark.parametrize(("path", "options"), STABLE.items(), ids=[" ".join(p) for p in STABLE])
def test_the_stable_commands_and_their_options_are_there(
    path: tuple[str, ...], options: set[str]
) -> None:
    known = {name for parameter in ALL[path].params for name in parameter.opts}
    assert options <= known


@pytest.mark.parametrize("path", ALL, ids=[" ".join(path) or "-" for path in ALL])
def test_help_is_spanish_and_says_what_each_option_does(
    path: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*path, "--help") == 0
    shown = capsys.readouterr().out
    assert shown.startswith("Uso: spotify-mlops")
    assert "Muestra esta ayuda." in shown
    assert not ENGLISH.search(shown), shown
    command = ALL[path]
    assert command.help
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, parameter.opts


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["tocar"], "No existe la orden 'tocar'."),
        (["replay"], "Falta '--dataset'."),
        (["ingest", "history"], "Falta 'RUTA...'."),
        (["audit", "--wai", "3"], "No existe la opción --wai. ¿Querías decir '--wait'?"),
        (["audit", "--wait", "mucho"], "de '--wait' no vale: 'mucho' no es un número válido."),
        (
            ["replay", "--from", "disco", "--dataset", "x"],
            "de '--from' no vale: 'disco' no es ninguno de 'kafka', 'archive'.",
        ),
        (["monitor", "--every", "0"], "de '--every' no vale: 0.0 no cumple x>=1."),
        (["token"], "Falta 'SERVIDOR'. Valores: bigquery, vertex, serving\n"),
        (["replay", "--dataset", "spotify_local"], "es el dataset del perfil"),
        (["replay", "--dataset", "x", "--allowed-lateness", "dos"], "«allowed_lateness» = 'dos'"),
        (["replay", "--dataset", "x", "--allowed-lateness", "1m"], "más que lo que admite"),
        (["replay", "--dataset", "x", "--allowed-lateness", "2h", "--compare"], "quita --compare"),
        (["up", "ya"], "Sobra ya."),
        (["up", "ya", "no"], "Sobran ya no."),
        (["dead-letters", "show"], "Falta 'PARTICIÓN:OFFSET'."),
        (["dead-letters", "show", "3"], "«3»: se espera PARTICIÓN:OFFSET, como 0:1234."),
        (["dead-letters", "replay", "0:1", "uno"], "«uno»: se espera PARTICIÓN:OFFSET"),
        (["audit", "--params"], "A la opción --params le falta el valor."),
        (["audit", "--json=3"], "La opción --json no lleva valor."),
        (["audit", "--set", "horizon"], "NOMBRE=VALOR"),
        (["audit", "--set", "horizont=3"], "«horizont» (¿«horizon»?)"),
        (["audit", "--set", "lags=[1"], "no se puede leer"),
        (["audit", "--set", "horizon=0"], "debe ser 1 o más"),
        (["serve", "--workers", "0"], "«--workers 0»: debe ser de 1 a "),
        (["audit", "--params", "nada"], "No existe el archivo de parámetros nada"),
    ],
)
def test_a_wrong_command_line_is_explained_in_spanish(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*arguments) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert message in shown.err
    assert len(shown.err.strip().splitlines()) <= 2
    assert not ENGLISH.search(shown.err), shown.err


def test_the_spanish_of_click_is_compiled_and_translates_what_click_says() -> None:
    folder = Path(usage.__file__).parent / "locale" / "es" / "LC_MESSAGES"
    with (folder / "messages.po").open("rb") as source:
        catalog = pofile.read_po(source, "es")
    with (folder / "messages.mo").open("rb") as file:
        compiled = gettext.GNUTranslations(file)
    said = {
        node.value
        for module in Path(click.__file__).parent.glob("*.py")
        for node in ast.walk(ast.parse(module.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant)
    }
    for message in filter(lambda message: message.id, catalog):
        if isinstance(message.id, str):
            one, many, spanish = message.id, message.id, [message.string]
        else:
            (one, many), spanish = message.id, [*message.string]
        assert {one, many} <= said
        assert [compiled.gettext(one)] == spanish or [
            compiled.ngettext(one, many, number) for number in (1, 2)
        ] == spanish


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (IntegrityError("No cuadra."), 6, "Error: No cuadra.\n"),
        (ZeroDivisionError("x\ny"), 70, "ZeroDivisionError: x y\nEs un fallo inesperado"),
        (KeyboardInterrupt(), 130, "Interrumpido."),
    ],
)
@pytest.mark.parametrize("debug", [False, True])
def test_an_error_has_its_status_and_no_traceback_unless_asked(
    error: BaseException,
    status: int,
    message: str,
    debug: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(params, "load", fail)
    monkeypatch.setattr(main.logging, "basicConfig", lambda **_: None)
    assert run(*["--debug"] * debug, "audit") == status
    shown = capsys.readouterr().err
    assert message in shown
    assert ("Traceback" in shown) == (debug and not isinstance(error, KeyboardInterrupt))
