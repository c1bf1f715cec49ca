"""Reading what somebody else may have written: within bounds, or not at all.

A small file may become gigabytes (gzip, YAML's aliases) or exhaust the stack (nesting). Each bound
is far above what is real and far below what hurts; the message names it.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import yaml

MIB = 1 << 20
PARAMS_BYTES = 64 << 10
"""Of a params file, or of one value in a command or in the environment; ours have 2 KiB."""
UNPACKED_BYTES = 32 << 30
"""Of a file of charts or of listens once unpacked. It is read some blocks at a time: this bounds
the time and the disk that a small file may take, not the memory."""
JSON_BYTES = 256 * MIB
"""Of a JSON file that is not an array of listens, which has to be read whole."""
DESCRIPTION_BYTES = 16 * MIB
"""Of a model's description or of the promotions; ours have 20 KiB."""


JSON_LEVELS = 64


class RefusedError(ValueError):
    """The content is not what it should be, or more of it; the message (Spanish) says why."""


def read(path: Path, limit: int) -> bytes:
    """Return a file's content.

    Raises:
        RefusedError: it has more than ``limit`` bytes.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        return within(file.read(limit + 1), limit)


def parse_json(data: bytes | str) -> Any:
    """Return what a JSON text says.

    Raises:
        RefusedError: it is not JSON, is nested beyond any use, or cannot be written as UTF-8.
    """
    try:
        found = json.loads(data)
        json.dumps(found, ensure_ascii=False).encode()  # half a surrogate pair cannot be
    except RecursionError:
        raise RefusedError("anida demasiados niveles") from None
    except ValueError as error:  # of JSON, of UTF-8, or a number with thousands of digits
        raise RefusedError(str(error)) from error
    _check_levels(found)
    return found


def parse_yaml(text: str | bytes) -> Any:
    """Return what a YAML text of params says.

    Raises:
        RefusedError: it is too long, is not YAML, is nested beyond any use, or has aliases, by
            which a few lines stand for gigabytes. The message has no part of the text, which may
            be a password.
    """
    content = text.encode(errors="surrogateescape") if isinstance(text, str) else text
    try:
        return yaml.load(within(content, PARAMS_BYTES), _Loader)
    except RecursionError:
        raise RefusedError("anida demasiados niveles") from None
    except yaml.constructor.ConstructorError:
        raise RefusedError("hay una etiqueta (!) o una clave que no se admite") from None
    except yaml.MarkedYAMLError as error:
        line = f" (línea {error.problem_mark.line + 1})" if error.problem_mark else ""
        raise RefusedError(f"{error.problem or 'no es YAML'}{line}") from None
    except RefusedError:
        raise
    except yaml.reader.ReaderError as error:
        raise RefusedError(f"{error.reason} (byte {error.position})") from None
    except (ValueError, OverflowError):  # a date that is none, a number of thousands of digits
        raise RefusedError("hay un valor imposible") from None


_BOOL = "tag:yaml.org,2002:bool"


class _Loader(yaml.SafeLoader):
    """YAML without aliases, whose truth values are YAML 1.2's: ``NO`` is Norway, and no ``no``."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.composer.ComposerError(None, None, "no se admiten alias (*)", mark)
        return super().compose_node(parent, index)


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in known if tag != _BOOL]
    for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(_BOOL, re.compile("(?i:true|false)$"), [*"tTfF"])


def _check_levels(value: Any) -> None:
    level = [value]
    for _ in range(JSON_LEVELS):
        level = [
            item
            for outer in level
            if isinstance(outer, (dict, list))
            for item in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return
    raise RefusedError("anida demasiados niveles")


def within(data: bytes, limit: int) -> bytes:
    """Return the data, which were read up to one byte more than they may have.

    Raises:
        RefusedError: they have more than ``limit`` bytes.
    """
    if len(data) > limit:
        size = f"{limit // MIB} MiB" if limit >= MIB else f"{limit >> 10} KiB"
        raise RefusedError(f"ocupa más de {size}")
    return data
