"""What must not be read in a page of the reports."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from spotify_mlops.config import params

ENGLISH = re.compile(
    r"\b(the|and|with|from|this|that|warning|error in|traceback|file|value|rows|country|window"
    r"|true|false|none|null|nan)\b",
    re.IGNORECASE,
)
PLACES = re.compile(r"(?<![\w.])/(home|root|tmp|work|usr|var|Users)/|file://|[A-Z]:\\\\")
CODE = re.compile(
    r"\bimport \w+|\bdef \w+\(|SELECT |Warning:|Traceback|<class|\w+\(\w*=\w*\)"
    r"|\d(\.\d+)?e[+-]\d\d"  # a number as a machine writes it
    r"|\b(\w+_lag_\d+|lags_present|log_plays|country_rank)\b"
)
_FIELDS = re.compile(r"<td[^>]*>country</td>")
"""The dictionary of phase 1 names the contract's fields as they are."""
_TAGS = re.compile(r"<style.*?</style>|<[^>]+>", re.DOTALL)
_BYTES = 1_000_000


def faults(pages: Iterable[Path]) -> list[str]:
    """Return what is English, a place of some machine, code or an identifier, a line each."""
    found = []
    for path in pages:
        html = path.read_text(encoding="utf-8")
        text = re.sub(
            r"<style.*?</style>|<code>.*?</code>|<[^>]+>",
            " ",
            _FIELDS.sub("", html),
            flags=re.DOTALL,
        )
        for kind in (ENGLISH, PLACES, CODE):
            found += [f"{path.name}: {m[0]!r}" for m in kind.finditer(text)]
        found += [f"{path.name}: {m[0]!r}" for m in PLACES.finditer(html)]
        found += [
            f"{path.name}: parameter {name}"
            for name in params.names()
            if "_" in name and re.search(rf"\b{name}\b", text)
        ]
        if len(html.encode()) >= _BYTES:
            found.append(f"{path.name}: a megabyte or more")
    return found
