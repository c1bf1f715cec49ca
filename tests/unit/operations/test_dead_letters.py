"""How a dead letter is shown, whatever bytes it is made of."""

from __future__ import annotations

import pytest

from spotify_mlops.operations.dead_letters import readable


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, ""),
        (b'{"a":1,"a":[1e400]}', '{\n  "a": 1,\n  "a": [\n    1e400\n  ]\n}'),
        ("«ñ»".encode(), "«ñ»"),
        (b"\x1b[2J\x00\r", "\\x1b[2J\\x00\\r"),
        (b'{"name":"\xff\xfe', '{"name":"\\xff\\xfe'),
        (b'{"name":"\xc2\x9b"}', '{\n  "name": "\\x9b"\n}'),
        ("\u202e".encode(), "\\u202e"),
        (b"[" * 100_000, "[" * 100_000),
    ],
)
def test_a_record_is_shown_whole_and_harmless(value: bytes | None, shown: str) -> None:
    assert readable(value, whole=True) == shown


def test_in_a_list_a_record_is_one_line() -> None:
    assert readable(b'{\n "a":\t1}', whole=False) == '{\\n "a":\\t1}'
