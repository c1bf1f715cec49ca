"""Words of the glossary in a report's prose: the first of each on a page leads to what it means."""

from __future__ import annotations

import re
from collections.abc import Iterator

from markdown_it import MarkdownIt
from markdown_it.rules_core import StateCore
from markdown_it.token import Token

PAGE = "glossary.html"
WORDS = {
    "nivel": r"niveles|nivel",
    "ventana": r"ventanas?",
    "exactitud": r"exactitud",
    "van-a-subir": r"van a subir",
    "precision-media": r"precisión media",
    "macro-f1": r"macro-F1",
    "persistencia": r"persistencia",
    "intervalo": r"intervalos?",
    "f1": r"F1",
    "mayoria": r"regla de la mayoría",
    "calibracion": r"calibración",
    "horizonte": r"horizontes?",
    "variable": r"variables?",
    "retardo": r"retardos?",
    "campeon": r"campeón",
    "tardio": r"tardíos?",
    "latido": r"latidos?",
    "auditoria": r"auditoría",
    "carta-muerta": r"cartas? muertas?",
}
"""Each entry of `PAGE`, by its anchor there, and how prose says it (a regular expression)."""
_ANY = re.compile(
    r"(?<![\w-])(?:" + "|".join(f"({pattern})" for pattern in WORDS.values()) + r")(?![\w-])",
    re.IGNORECASE,
)
_ANCHORS = tuple(WORDS)
_LINKED = "glossary words that are linked"
_APART = {"heading_open": 1, "heading_close": -1, "table_open": 1, "table_close": -1}
"""Where a link would distract: the change of depth at a token."""


def first_uses() -> dict[str, set[str]]:
    """Return what a page's texts are rendered with, one after the other: what is linked already."""
    return {_LINKED: set()}


def link_words(markdown: MarkdownIt) -> None:
    """Have a parser link words to the glossary, in texts that are rendered with `first_uses`.

    Headings, tables, code and what is a link already stay as they are.
    """
    markdown.core.ruler.push("glossary", _link)


def _link(state: StateCore) -> None:
    linked = state.env.get(_LINKED)
    if linked is None:
        return
    depth = 0
    for token in state.tokens:
        depth += _APART.get(token.type, 0)
        if token.type == "inline" and not depth:
            token.children = list(_with_links(token.children or [], linked))


def _with_links(tokens: list[Token], linked: set[str]) -> Iterator[Token]:
    links = 0
    for token in tokens:
        links += {"link_open": 1, "link_close": -1}.get(token.type, 0)
        if token.type == "text" and not links:
            yield from _split(token, linked)
        else:
            yield token


def _split(token: Token, linked: set[str]) -> Iterator[Token]:
    """Yield a text as itself, but for the words in it that come for the first time."""
    done = 0
    for found in _ANY.finditer(token.content):
        anchor = _ANCHORS[(found.lastindex or 1) - 1]
        if anchor in linked:
            continue
        linked.add(anchor)
        yield token.copy(content=token.content[done : found.start()])
        link: dict[str, str | int | float] = {"href": f"{PAGE}#{anchor}", "class": "word"}
        yield Token("link_open", "a", 1, attrs=link, level=token.level)
        yield token.copy(content=found[0])
        yield Token("link_close", "a", -1, level=token.level)
        done = found.end()
    yield token.copy(content=token.content[done:])
