"""What the local BigQuery server adds to the emulator, without starting it."""

from types import SimpleNamespace

import pytest
import sqlglot
from sqlglot.errors import ParseError

from local_services.patches.bqemulator import memory, parsing
from local_services.patches.bqemulator.memory import RESULT_OVERHEAD, Recent


@pytest.fixture
def recent(monkeypatch: pytest.MonkeyPatch) -> Recent:
    monkeypatch.setattr(memory, "RESULT_BYTES", 3 * RESULT_OVERHEAD + 300)
    return Recent()


def result(size: int) -> SimpleNamespace:
    return SimpleNamespace(nbytes=size)


def test_the_oldest_results_go_first(recent: Recent) -> None:
    for name in "abcd":
        recent[name] = result(100)
    assert list(recent) == ["b", "c", "d"]
    recent["e"] = SimpleNamespace(table=result(200))  # a read session holds its table
    assert list(recent) == ["d", "e"]


def test_a_result_that_is_too_large_stays_until_the_next(recent: Recent) -> None:
    recent["a"] = result(100)
    recent["large"] = result(10 * RESULT_OVERHEAD)
    assert list(recent) == ["large"]
    recent["b"] = result(100)
    assert list(recent) == ["b"]


def test_what_is_replaced_or_taken_makes_room(recent: Recent) -> None:
    for name in "abc":
        recent[name] = result(100)
    recent["a"] = result(50)
    taken = recent.pop("b")
    assert taken.nbytes == 100
    assert recent.pop("b", "none") == "none"
    recent["d"] = result(150)
    assert list(recent) == ["c", "a", "d"]


def test_results_come_and_go_while_another_is_looked_for(recent: Recent) -> None:
    recent["a"], recent["b"] = result(100), result(50)
    for name, _ in recent.items():
        recent[f"{name}{name}"] = result(10)
        recent.pop(name)
    assert list(recent) == ["aa", "bb"]


def test_a_text_is_parsed_once_and_each_who_asks_may_change_its_tree(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = []
    parse = sqlglot.parse_one

    def counted(sql: str, **options: object) -> object:
        asked.append(sql)
        return parse(sql, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(sqlglot, "parse_one", counted)
    parsing.parse_once()
    first = sqlglot.parse_one("SELECT `a` FROM `b`", dialect="bigquery")
    first.selects[0].replace(sqlglot.exp.column("other"))
    second = sqlglot.parse_one("SELECT `a` FROM `b`", read="bigquery")
    assert second == parse("SELECT `a` FROM `b`", dialect="bigquery")
    assert len(asked) == 1
    assert sqlglot.parse_one("SELECT a", dialect="duckdb").sql() == "SELECT a"
    assert sqlglot.parse_one("a.b", into=sqlglot.exp.Table, dialect="duckdb").sql() == "a.b"
    for _ in range(2):
        with pytest.raises(ParseError):
            sqlglot.parse_one("SELECT FROM (", dialect="bigquery")
    long = f"SELECT '{'x' * parsing.LONGEST}'"
    assert sqlglot.parse_one(long) == sqlglot.parse_one(long)
    assert asked.count(long) == 2
