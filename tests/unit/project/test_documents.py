"""What the documents say exists: their links, the files and commands they name."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import click
import pytest

from command_tree import options
from spotify_mlops.cli.main import app

ROOT = Path(__file__).resolve().parents[3]
DOCUMENTS = sorted(
    path
    for pattern in ("*.md", "docs/*.md", "data/*.md", "dashboards/*.md")
    for path in ROOT.glob(pattern)
)
BASES = ("", "src", "src/spotify_mlops", "src/local_services", "tests", "benchmarks")
WORDS_A_MINUTE = 225

_FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_FILE = re.compile(
    r"[\w.-]+(?:/[\w.*-]+)*\.(?:py|java|md|ya?ml|lock|patch|toml|Dockerfile|sh|ipynb)"
)
_FOLDER = re.compile(r"(?:[a-z_]+/)+")
_PRODUCED = {
    "infra/python.lock": "written by the first build of an image",
    "MODEL_CARD.md": "a file of a model bundle",
}


def anchors(text: str) -> set[str]:
    """Return GitHub's anchors of the headings of a document."""
    headings = re.findall(r"^#+ (.+)$", _FENCE.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def is_there(name: str, document: Path) -> bool:
    """Whether a name, of the root, of a package or of the document's folder, is a file's."""
    if any(list((ROOT / base).glob(name)) for base in BASES) or list(document.parent.glob(name)):
        return True
    return "/" not in name and any(
        list((ROOT / folder).rglob(name)) for folder in ("src", "tests", "benchmarks")
    )


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_links_of_a_document_lead_somewhere(document: Path) -> None:
    for link in _LINK.findall(_FENCE.sub("", document.read_text(encoding="utf-8"))):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (document.parent / path) if path else document
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target.read_text(encoding="utf-8")), link


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_files_that_a_document_names_are_there(document: Path) -> None:
    text = _FENCE.sub("", document.read_text(encoding="utf-8"))
    named = {
        span
        for span in _SPAN.findall(text)
        if (_FILE.fullmatch(span) or (_FOLDER.fullmatch(span) and span.startswith("src/")))
    }
    missing = {name for name in named - set(_PRODUCED) if not is_there(name, document)}

    assert not missing


def test_the_modules_of_the_picture_are_there() -> None:
    picture = (ROOT / "docs/arquitectura.svg").read_text(encoding="utf-8")
    modules = re.findall(r'class="module"[^>]*>([^<]+)<', picture)
    package = ROOT / "src/spotify_mlops"

    assert len(modules) == 34
    for module in modules:
        found = [*package.glob(f"{module}*"), *package.glob(f"*/{module}*")]
        assert {path.stem for path in found} >= {module.rpartition("/")[2]}, module


def commands(text: str) -> list[list[str]]:
    """Return the command lines of ``spotify-mlops`` in a document, as words."""
    blocks = "\n".join(match.group() for match in _FENCE.finditer(text))
    spans = "\n".join(_SPAN.findall(_FENCE.sub("", text)))
    found = re.findall(r"\bspotify-mlops ((?:\S+ ?)*)", f"{blocks}\n{spans}".replace("\\|", "|"))
    return [re.split(r" [|&#]|[;)»]", line)[0].split() for line in found]


def faults(words: list[str]) -> list[str]:
    """Return the words of a command line that are no command or option."""
    command: click.Command = app
    wrong = []
    for word in words:
        word = word.strip("[].…,:")
        if word.startswith("-"):
            name = word.partition("=")[0].partition("|")[0]
            wrong += [word] if name not in options(command) | {"--help", "-h"} else []
        elif isinstance(command, click.Group) and word:
            found = [command.get_command(click.Context(command), one) for one in word.split("|")]
            if None in found:
                return [*wrong, word]
            command = found[0] or command
    return wrong


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_commands_of_a_document_exist(document: Path) -> None:
    lines = commands(document.read_text(encoding="utf-8"))

    assert {" ".join(line): wrong for line in lines if (wrong := faults(line))} == {}


def test_a_command_that_does_not_exist_is_found() -> None:
    text = "`spotify-mlops audit --skew`, `spotify-mlops ingest radio X`, `spotify-mlops up --fast`"

    assert [faults(line) for line in commands(text)] == [[], ["radio"], ["--fast"]]


def test_the_table_of_the_guide_has_every_command_and_no_other() -> None:
    guide = (ROOT / "README_TECNICO.md").read_text(encoding="utf-8")
    table = guide.partition("| orden | hace |")[2].partition("\n\n")[0].replace("\\|", "|")
    cells = [line.split("` | ")[0].replace("` / `", "`, `") for line in table.splitlines()]
    lines = [span.split() for cell in cells for span in _SPAN.findall(cell + "`")]
    known = {line[0] for line in lines}

    assert {" ".join(line): faults(line) for line in lines if line[0] != "make"} == {
        " ".join(line): [] for line in lines if line[0] != "make"
    }
    assert known - {"make"} == set(app.commands)


def test_the_targets_of_make_that_documents_name_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    named = {
        target
        for document in DOCUMENTS
        for target in re.findall(r"\bmake ([a-z-]+)", document.read_text(encoding="utf-8"))
    }

    assert {"run", "stop", "test", "bench", "lab"} <= named <= targets


def test_the_guide_is_read_in_twenty_minutes() -> None:
    guide = (ROOT / "README_TECNICO.md").read_text(encoding="utf-8")

    assert len(guide.split()) <= 20 * WORDS_A_MINUTE


def test_no_document_is_left_out_of_the_guide() -> None:
    guide = (ROOT / "README_TECNICO.md").read_text(encoding="utf-8")
    pages = {f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")}

    assert pages <= set(_LINK.findall(guide))


def test_every_picture_of_the_documents_is_shown() -> None:
    shown = {
        (document.parent / link).resolve()
        for document in DOCUMENTS
        for link in _LINK.findall(document.read_text(encoding="utf-8"))
    }
    pictures = subprocess.run(
        ["git", "ls-files", "docs"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()

    assert {name for name in pictures if (ROOT / name) not in shown} == set()
