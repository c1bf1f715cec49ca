"""What this project changes in others' programs is still what it was when that was written.

A failure here is a new release of one of them: look at what changed, and whether the patch is still
needed and still right, before writing the new digest down.
"""

from __future__ import annotations

import ast
import ctypes
import hashlib
import os
import subprocess
import sys
import sysconfig
from importlib import metadata
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from apache_beam.transforms import core
from apache_beam.transforms.userstate import CombiningValueStateSpec, is_stateful_dofn

from spotify_mlops.io.patches import beam, interpreter, malloc

SITE = Path(sysconfig.get_paths()["purelib"])
VERSIONS = {"bqemulator": "1.4.0", "apache-beam": "2.77.0"}
"""Of which nothing but a part of the source is checked below."""
PATCHED = {
    # local_services/patches/bqemulator
    "bqemulator/api/routes/jobs.py:query": "32885c5bae78",
    "bqemulator/api/routes/tables.py:_table_to_rest": "13ad1b6b9b27",
    "bqemulator/catalog/duckdb_repository.py:DuckDBCatalogRepository": "f2fe824f7e90",
    "bqemulator/config.py:Settings": "359ef68be6d8",
    "bqemulator/grpc_api/read_servicer.py:BigQueryReadHandler": "6672a95de6e4",
    "bqemulator/grpc_api/read_servicer.py:_build_read_session_response": "7a7970a31b47",
    "bqemulator/grpc_api/server.py:build_grpc_server": "09a2dd655521",
    "bqemulator/grpc_api/write_servicer.py:BigQueryWriteHandler": "4e7f07cb6a46",
    "bqemulator/jobs/executor.py:_LOAD_FORMAT_HANDLERS": "5a2d00918ad0",
    "bqemulator/jobs/executor.py:_resolve_uri": "a04e4614c9ec",
    "bqemulator/jobs/executor.py:JOB_RESULTS": "a9c60df9bffd",
    "bqemulator/jobs/executor.py:execute_load_job": "134260e339bd",
    "bqemulator/jobs/executor.py:execute_query_job": "94267c231148",
    "bqemulator/server.py:EmulatorServer": "f6e7004ea3c4",
    "bqemulator/sql/translator.py:SQLTranslator": "51480cdc61c2",
    "bqemulator/storage/engine.py:DuckDBEngine": "5fb24b994d61",
    "bqemulator/streaming/read_session.py:_SESSIONS": "33c01c85fceb",
    "bqemulator/streaming/read_session.py:create_read_session": "fea0b7181793",
    "bqemulator/types/geography.py:_CONV_CONN": "46564f0c5bef",
    "bqemulator/versioning/snapshots.py:SnapshotManager": "8f47315719e7",
    "sqlglot/__init__.py": "62475c676c91",
    # spotify_mlops/io/patches/beam.py
    "apache_beam/runners/worker/statesampler.py:StateSampler": "1738c554c5b6",
    "apache_beam/runners/worker/statesampler_fast.pyx": "49de24eb5295",
    "apache_beam/transforms/core.py:get_function_arguments": "c7a65d238ce6",
    "apache_beam/transforms/core.py:get_function_args_defaults": "3f4f0b046cd4",
    # spotify_mlops/io/patches/updating.py
    "apache_beam/runners/dataflow/internal/apiclient.py:Job": "63593c03dfbb",
    # spotify_mlops/operations/engines: prism.py and worker_pool.py extend what Beam keeps to itself
    "apache_beam/runners/portability/job_server.py:SubprocessJobServer": "634ffb20a45e",
    "apache_beam/runners/portability/prism_runner.py:PrismJobServer": "8c34d02eeda1",
    "apache_beam/runners/portability/prism_runner.py:PrismRunner": "2a78b0b41c42",
    "apache_beam/runners/worker/worker_pool_main.py:BeamFnExternalWorkerPoolServicer": (
        "5e317f7b39f3"
    ),
    "apache_beam/utils/subprocess_server.py:SubprocessServer": "42421444acf9",
    # spotify_mlops/io/http, which extends the servers' own protocols
    "uvicorn/protocols/http/httptools_impl.py:HttpToolsProtocol": "ae3ad6c54108",
    "waitress/channel.py:HTTPChannel": "4c0a93c61feb",
    "waitress/server.py:TcpWSGIServer": "73c175bfba1c",
}
"""File, and what in it -> SHA-256 of its source."""


def source(place: str) -> str:
    path, _, name = place.partition(":")
    text = (SITE / path).read_text(encoding="utf-8")
    if not name:
        return text
    for node in ast.parse(text).body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        names = {getattr(node, "name", None), *(getattr(target, "id", None) for target in targets)}
        if name in names:
            return ast.get_source_segment(text, node) or ""
    raise AssertionError(f"{path} has no {name}")


@pytest.mark.parametrize(("package", "version"), VERSIONS.items())
def test_the_version_is_the_one_that_was_read(package: str, version: str) -> None:
    assert metadata.version(package) == version


@pytest.mark.parametrize(("place", "digest"), PATCHED.items(), ids=list(PATCHED))
def test_what_is_changed_is_what_it_was(place: str, digest: str) -> None:
    assert hashlib.sha256(source(place).encode()).hexdigest()[:12] == digest


def test_beams_workers_make_the_sampler_that_is_replaced() -> None:
    program = (
        "from apache_beam.runners.worker import bundle_processor; "
        "from apache_beam.utils.counters import CounterFactory; "
        "from spotify_mlops.io.patches import beam; beam.apply(); "
        "made = bundle_processor.statesampler.StateSampler('stage', CounterFactory()); "
        "assert made.sampling_period_ms == beam.SAMPLING_MS == 2"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_methods_arguments_are_those_that_beam_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    read = core.get_function_args_defaults
    monkeypatch.setattr(core, "get_function_args_defaults", read)  # put back at the end

    class Stateful(core.DoFn):
        COUNT = core.DoFn.StateParam(CombiningValueStateSpec("count", sum))

        def process(self, pair: Any, count: Any = COUNT) -> None: ...

    fns = [Stateful(), core.DoFn(), Stateful(), core.CallableWrapperDoFn(lambda a, b=1: [a, b])]
    beam.apply()
    for fn in fns:
        for name in ("process", "start_bundle", "finish_bundle", "default_type_hints"):
            method = getattr(fn, name)
            for _ in range(2):
                found = core.get_function_args_defaults(method)
                assert found == read(method)
                found[0].append("of the caller")
    assert [is_stateful_dofn(fn) for fn in fns] == [True, False, True, False]


def test_the_messages_of_vertex_ai_come_without_its_clients() -> None:
    program = (
        "import sys; from local_services.vertex import messages; "
        "assert messages.UploadModelRequest().DESCRIPTOR.name == 'UploadModelRequest'; "
        "assert 'google.cloud.aiplatform_v1.types.model' in sys.modules; "
        "assert 'google.cloud.aiplatform_v1.services' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_the_settings_of_the_allocators_reach_them() -> None:
    binaries = [path for path in SITE.glob("_polars_runtime*/*") if path.suffix == ".so"]
    assert any(b"_RJEM_MALLOC_CONF" in path.read_bytes() for path in binaries), pl.__version__
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:  # glibc
        assert mallopt(malloc._TRIM_THRESHOLD, malloc.KEPT_BYTES) == 1
        assert mallopt(malloc._MMAP_THRESHOLD, malloc._LARGEST_MMAP_THRESHOLD) == 1


def test_onnx_runtime_keeps_nothing_to_tell(tmp_path: Path) -> None:
    own = {name: value for name, value in os.environ.items() if name in ("PATH", "PYTHONPATH")}
    program = "import spotify_mlops.model.runtime as runtime; runtime.onnxruntime.SessionOptions()"
    subprocess.run(
        [sys.executable, "-c", program],
        env=own | {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")},
        check=True,
    )
    assert list(tmp_path.rglob("*")) == []


def test_long_turns_are_pythons_own() -> None:
    program = "import sys; print(sys.getswitchinterval())"
    own = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True).stdout
    assert float(own) == interpreter.LONG_TURN
    try:
        interpreter.take_turns(interpreter.SHORT_TURN)
        assert sys.getswitchinterval() == pytest.approx(interpreter.SHORT_TURN)
    finally:
        interpreter.take_turns(interpreter.LONG_TURN)
