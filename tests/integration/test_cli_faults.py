"""Bad input and faults, as a user meets them: one or two lines, the right status, no traceback."""

from __future__ import annotations

import gzip
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import nbformat
import psutil
import pytest

import commands
from local_services import services as local_services
from spotify_mlops.config import params
from spotify_mlops.io.local import processes
from spotify_mlops.io.local.running import has_ended
from spotify_mlops.model import bundle
from spotify_mlops.presentation.notebooks import NOTEBOOKS

ROOT = Path(__file__).parents[2]
HEADER = "Song,Artist,Date,Song ID,Streams,Rank\n"
PROGRAM = [sys.executable, "-m", "spotify_mlops"]


def spotify_mlops(
    *arguments: str | Path, timeout: float = 600, **environment: str | Path
) -> subprocess.CompletedProcess[str]:
    variables = os.environ | {name: str(value) for name, value in environment.items()}
    return commands.run(arguments, timeout=timeout, environment=variables)


def assert_explains(failed: subprocess.CompletedProcess[str], status: int, message: str) -> None:
    """Check status and message: after lines of progress at most two lines, no traceback."""
    assert failed.returncode == status, failed.stderr
    assert failed.stdout == ""
    lines = [line for line in failed.stderr.splitlines() if not line.startswith("· ")]
    assert 1 <= len(lines) <= 2, failed.stderr
    assert lines[0].startswith("Error: ")
    assert re.search(message, "\n".join(lines)), failed.stderr
    assert "Traceback" not in failed.stderr


@pytest.fixture(autouse=True)
def empty_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Point every command at a state directory of this test's own."""
    monkeypatch.setenv("SPOTIFY_MLOPS_STATE", str(tmp_path / "state"))
    return tmp_path / "state"


# Params


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("profile: p\nmodel: {horizont: 3}\n", r"mine\.yaml: parámetro desconocido «horizont»"),
        (
            "profile: p\nmodel: {horizon: mañana}\n",
            r"«horizon» = 'mañana': debe ser un número entero",
        ),
        ("profile: p\nmodel: {horizon: 0}\n", r"«horizon» = 0: debe ser 1 o más"),
        ("profile: p\nwindows: {window: 10}\n", r"«window» = 10: una duración se escribe"),
        ("model: {horizon: 3}\n", r"falta «profile»"),
        (
            "profile: p\nhorizon: 3\n",
            r"mine\.yaml: «horizon» va en su sección: «model: \{horizon: \.\.\.\}»",
        ),
        ("profile: [\n", r"No se puede leer mine\.yaml"),
        ("", r"mine\.yaml: se esperaba"),
    ],
)
@pytest.mark.parametrize("command", ["run", "audit"])
def test_broken_params(tmp_path: Path, command: str, content: str, message: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(content, encoding="utf-8")
    assert_explains(spotify_mlops(command, "--params", path), 2, message)


def test_missing_params_and_debug() -> None:
    failed = spotify_mlops("audit", "--params", "nada.yaml")
    assert_explains(failed, 2, r"No existe el archivo de parámetros nada\.yaml")
    traced = spotify_mlops("--debug", "audit", "--params", "nada.yaml")
    assert traced.returncode == 2
    assert "Traceback" in traced.stderr
    assert traced.stderr.endswith(failed.stderr)


# Input files


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"CO_x\.csv"),
        (b"", r"CO_x\.csv.*vac"),
        (HEADER.encode(), r"CO_x\.csv"),
        ((HEADER + "Canción,Año,2020-01-03,t,5,1\n").encode("latin-1"), r"CO_x\.csv.*UTF-8"),
        ((HEADER + "Canción,Año,2020-01-03,t,5,1\n").encode("utf-16"), r"CO_x\.csv"),
        (b"Track,Plays\na,1\n", r"CO_x\.csv.* no es una lista: se esperaba un CSV con Song"),
        ((HEADER + "a,b,2020-01-03,t,many,1\n").encode(), r"CO_x\.csv"),
        ((HEADER + "a,b,soon,t,5,1\n").encode(), r"CO_x\.csv"),
    ],
    ids=["missing", "empty", "header", "latin-1", "utf-16", "columns", "streams", "date"],
)
@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
def test_a_chart_that_cannot_be_read(
    tmp_path: Path, content: bytes | None, message: str, packed: bool
) -> None:
    path = tmp_path / ("CO_x.csv.gz" if packed else "CO_x.csv")
    if content is not None:
        path.write_bytes(gzip.compress(content) if packed else content)
    failed = spotify_mlops(
        "ingest", "charts", f"{path}=CO", "--params", ROOT / "params/charts.yaml"
    )
    assert_explains(failed, 3, message)


def test_a_damaged_gzip(tmp_path: Path) -> None:
    path = tmp_path / "CO_x.csv.gz"
    path.write_bytes(gzip.compress(HEADER.encode() * 100)[:-20])
    failed = spotify_mlops(
        "ingest", "charts", f"{path}=CO", "--params", ROOT / "params/charts.yaml"
    )
    assert_explains(failed, 3, r"CO_x\.csv\.gz")


def test_a_missing_and_an_empty_history(tmp_path: Path) -> None:
    path = tmp_path / "endsong_0.json"
    assert_explains(spotify_mlops("ingest", "history", path), 3, r"endsong_0\.json")
    path.write_bytes(b"")
    assert_explains(spotify_mlops("ingest", "history", path), 3, r"endsong_0\.json está vacío")


# The disk


@pytest.mark.parametrize("command", [("up",), ("run",), ("ingest", "simulator")])
def test_a_state_folder_that_cannot_be_written(tmp_path: Path, command: tuple[str, ...]) -> None:
    (tmp_path / "file").write_text("in the way")
    where = tmp_path / "file" / "state"
    failed = spotify_mlops(*command, SPOTIFY_MLOPS_STATE=where)
    lines = [line for line in failed.stderr.splitlines() if line.startswith("Error: ")]
    assert failed.returncode in (1, 4)
    assert len(lines) == 1
    assert "Traceback" not in failed.stderr
    if command != ("ingest", "simulator"):
        assert re.search(r"No se puede escribir en la carpeta .*file/state", lines[0])


def test_a_damaged_state_file(empty_state: Path) -> None:
    empty_state.mkdir()
    (empty_state / "state.json").write_text("{")
    done = spotify_mlops("status")
    assert done.returncode == 0
    assert re.search(r"state\.json estaba dañado .*\.damaged", done.stderr)


# Ports


def test_a_port_that_is_taken() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        failed = spotify_mlops("serve", AIP_HTTP_PORT=str(port))
    assert_explains(failed, 4, rf"puerto {port}")


def test_a_port_that_is_no_port() -> None:
    assert_explains(spotify_mlops("serve", AIP_HTTP_PORT="http"), 2, "«http» no es un puerto")


# Models


def make_bundle(folder: Path) -> Path:
    description = bundle.describe(
        params.load("local"),
        family="seed",
        features=["hour_of_day"],
        training_end=datetime(2026, 1, 5, tzinfo=UTC),
        data_sha256="0" * 64,
        metrics=[],
        training={},
    )
    return bundle.write(folder, b"graph", "# card", description).path


@pytest.mark.parametrize("changed", [bundle.GRAPH, bundle.CARD])
def test_a_bundle_that_is_not_what_its_hash_says(tmp_path: Path, changed: str) -> None:
    folder = make_bundle(tmp_path / "bundle")
    with (folder / changed).open("ab") as file:
        file.write(b" ")
    failed = spotify_mlops("serve", AIP_STORAGE_URI=folder, AIP_HTTP_PORT="8081")
    assert_explains(failed, 6, rf"{re.escape(changed)} .* no tiene el SHA-256")


def test_a_description_that_was_changed(tmp_path: Path) -> None:
    folder = make_bundle(tmp_path / "bundle")
    path = folder / bundle.DESCRIPTION
    path.write_text(path.read_text().replace('"horizon": 24', '"horizon": 12'))
    failed = spotify_mlops("serve", AIP_STORAGE_URI=folder, AIP_HTTP_PORT="8081")
    assert_explains(failed, 6, r"SHA-256")


def test_no_model_at_all(tmp_path: Path) -> None:
    failed = spotify_mlops("serve", AIP_HTTP_PORT="8081")
    assert_explains(failed, 3, "")
    failed = spotify_mlops("serve", AIP_STORAGE_URI=tmp_path / "none", AIP_HTTP_PORT="8081")
    assert_explains(failed, 3, "none")


# Notebooks


def write_notebook(path: Path, *cells: str) -> None:
    first = nbformat.v4.new_code_cell('profile = "local"')
    first.metadata["tags"] = ["parameters"]
    rest = [nbformat.v4.new_code_cell(source) for source in cells]
    title = nbformat.v4.new_markdown_cell("# Título")
    nbformat.write(nbformat.v4.new_notebook(cells=[title, first, *rest]), path)


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with six small notebooks."""
    home = tmp_path / "checkout"
    (home / "notebooks").mkdir(parents=True)
    (home / "params").mkdir()
    small = "simulator: {events: 2000, days: 1, tracks: 30}\nwindows: {lags: [1]}\n"
    (home / "params" / "local.yaml").write_text(f"profile: local\nmodel: {{horizon: 2}}\n{small}")
    for name in NOTEBOOKS:
        write_notebook(home / "notebooks" / f"{name}.ipynb", "print(profile)")
    monkeypatch.setenv("SPOTIFY_MLOPS_HOME", str(home))
    return home


def test_a_notebook_cell_that_raises(checkout: Path) -> None:
    broken = checkout / "notebooks" / "05_evaluation.ipynb"
    write_notebook(broken, "1 + 1", 'raise ValueError("no hay filas")')
    failed = spotify_mlops("notebooks", "--from", "4")
    assert failed.returncode == 5
    assert failed.stderr.splitlines()[-2:] == [
        "Error: El cuaderno 05_evaluation se detuvo en la celda [4]: ValueError: no hay filas",
        "Copia ejecutada: reports/local/executed/05_evaluation.ipynb. Para seguir desde ahí: "
        "spotify-mlops notebooks --resume",
    ]
    assert "Traceback" not in failed.stderr
    write_notebook(broken, "print(profile)")
    resumed = spotify_mlops("notebooks", "--resume")
    assert resumed.returncode == 0, resumed.stderr
    assert "04_modeling" not in resumed.stderr
    assert resumed.stdout.startswith("Informes: ")


def test_a_reports_folder_that_cannot_be_written(checkout: Path) -> None:
    (checkout / "reports").write_text("in the way")
    assert_explains(
        spotify_mlops("notebooks", "--only", "1"), 1, "No se puede escribir en .*reports"
    )


# Ctrl-C


def running(folder: Path) -> list[str]:
    """Return the command lines of the processes that belong to a state directory."""
    mark = str(folder.resolve())
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(processes.OWNER) == mark:
                found.append(" ".join(process.cmdline()))
        except psutil.Error:
            continue
    return found


def _await_end(pid: int) -> None:
    """Wait until a process has ended: the system ends a kernel just after its parent.

    Whoever adopted it may be slow to take notice; it is a zombie until then.
    """
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        while not has_ended(process):
            threading.Event().wait(0.05)


@pytest.mark.parametrize("moment", ["services", "notebook"])
def test_ctrl_c_during_a_run_stops_everything(
    checkout: Path, empty_state: Path, moment: str
) -> None:
    kernel = checkout / "kernel"
    write_notebook(
        checkout / "notebooks" / "02_eda.ipynb",
        f"import os; open({str(kernel)!r}, 'w').write(str(os.getpid()))\n"
        "import sys, threading; threading.Event().wait()",
    )
    awaited = {"services": "responde en", "notebook": "01_business:"}[moment]
    try:
        run = subprocess.Popen(
            [*PROGRAM, "run"], stderr=subprocess.PIPE, text=True, start_new_session=True
        )
        assert run.stderr is not None
        said = ""
        for line in run.stderr:
            said += line
            if awaited in line:
                break
        if moment == "notebook":
            _await_file(kernel, run)
        os.killpg(run.pid, signal.SIGINT)
        said += run.stderr.read()
        assert run.wait(90) == 130, said
        assert "Interrumpido" in said
        assert "Traceback" not in said, said
        assert running(empty_state) == []
        if kernel.exists():
            _await_end(int(kernel.read_text()))
        status = spotify_mlops("status", "--json")
        assert status.returncode == 0, status.stdout
        assert {p["state"] for p in json.loads(status.stdout)["processes"]} == {"stopped"}
        if moment == "notebook":
            assert spotify_mlops("up").returncode == 0
            status = spotify_mlops("status", "--json")
            states = {p["name"]: p["state"] for p in json.loads(status.stdout)["processes"]}
            assert {states[s] for s in ("kafka", "bigquery", "mongo")} == {"running"}
            assert spotify_mlops("down").returncode == 0
            assert running(empty_state) == []
    finally:
        local_services.down()


def _await_file(path: Path, run: subprocess.Popen[str]) -> None:
    while not (path.exists() and path.read_text()):
        with pytest.raises(subprocess.TimeoutExpired):
            run.wait(0.1)
