"""The commands of the production form."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from spotify_mlops.cli import main


def run(*arguments: str) -> int:
    try:
        main.main(["cloud", *arguments])
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    return 0


def answered(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    return dict(json.loads(capsys.readouterr().out))


def test_the_cost_is_a_table_with_its_total_and_what_is_not_known(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run("cost", "--params", "gcp") == 0
    shown = capsys.readouterr().out
    assert "Total a 100 eventos/s: 712 USD al mes, dentro de monthly_limit (1.500)." in shown
    assert "Kafka, acceso privado (PSC): https://cloud.google.com/vpc/network-pricing" in shown
    assert "Nada de este perfil se factura" not in shown
    assert "{" not in shown


def test_the_cost_for_a_program(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("cost", "--params", "gcp", "--rate", "10000", "--json") == 0
    told = answered(capsys)
    assert told["events_per_second"] == 10_000
    assert told["total"] == pytest.approx(sum(line["usd"] or 0 for line in told["lines"]))
    assert "kafka_private_access" in told["unknown"]
    assert (told["billed"], told["within_limit"]) == (True, False)
    assert [found["events_per_second"] for found in told["by_rate"]] == [1, 100, 10_000]
    assert told["cheapest"] == told["by_rate"][-1]["cheapest"]


def test_a_local_profile_is_told_that_nothing_is_billed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run("cost") == 0
    assert capsys.readouterr().out.startswith("Nada de este perfil se factura")


@pytest.mark.parametrize(("name", "start"), [("a.svg", b"<svg"), ("a.png", b"\x89PNG")])
def test_the_cost_is_drawn(
    name: str, start: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("cost", "--params", "gcp", "--figure", str(tmp_path / name), "--json") == 0
    assert (tmp_path / name).read_bytes().startswith(start)
    assert "Gráfica en" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--figure", "a.pdf"], "se espera un nombre que acabe en .png o .svg"),
        (["--rate", "0"], "de '--rate' no vale"),
        (["--set", "dataflow_machine=f1-micro"], "dataflow_machine es «f1-micro»"),
    ],
)
def test_a_wrong_question_about_the_cost(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("cost", *arguments) == 2
    assert message in capsys.readouterr().err
