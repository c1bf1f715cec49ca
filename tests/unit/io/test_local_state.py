"""State file, processes and ports, with small real processes and no server."""

from __future__ import annotations

import errno
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from local_services import services
from spotify_mlops.cli import main
from spotify_mlops.config import params
from spotify_mlops.config.errors import ServiceError, UserError
from spotify_mlops.io import answering, kafka
from spotify_mlops.io.http import ports
from spotify_mlops.io.local import processes, state
from spotify_mlops.io.local.running import has_ended

SLEEP = "import time; print('dormido', flush=True); time.sleep(600)"


@pytest.fixture(autouse=True)
def own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("SPOTIFY_MLOPS_STATE", str(tmp_path / "state"))
    yield tmp_path / "state"
    processes.sweep()


def sleeper(name: str = "sleeper") -> state.Record:
    log = state.folder("logs") / f"{name}.log"
    return processes.start(
        name, [sys.executable, "-c", SLEEP], ready=lambda: "dormido" in log.read_text()
    )


def kill(record: state.Record) -> None:
    process = psutil.Process(record.pid)
    process.kill()
    process.wait(60)


def test_writers_at_once_lose_no_record() -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: state.put(state.Record(f"r{i}", ports={"p": i})), range(40)))
    assert {name: record.ports["p"] for name, record in state.read().items()} == {
        f"r{i}": i for i in range(40)
    }


DAMAGES = {
    "gone": None,
    "empty": "",
    "cut short": '{"version": 1, "processes": {"sleeper": {"na',
    "of another shape": '{"processes": {"sleeper": {"unknown": 1}}}',
    "not an object": "[1]",
    "too deep": "[" * 100_000,
    "an older one": '{"version": 1, "processes": {}}',
    "of other processes": '{"version": 1, "processes": {"sleeper": '
    '{"name": "sleeper", "pid": 1, "identity": "another boot/1"}}}',
}


@pytest.fixture(params=DAMAGES.values(), ids=DAMAGES)
def lost(request: pytest.FixtureRequest, own_state: Path) -> state.Record:
    """A process that runs, of which the state file knows nothing any more."""
    record = sleeper()
    (own_state / "state.json").unlink()
    if request.param is not None:
        (own_state / "state.json").write_text(request.param)
    return record


def test_down_ends_what_lost_its_record(lost: state.Record) -> None:
    process = psutil.Process(lost.pid)
    services.down()
    assert has_ended(process)
    assert {status.state for status in services.status()} == {"stopped"}


def test_status_tells_of_what_lost_its_record(lost: state.Record) -> None:
    (found,) = [status for status in services.status() if status.name == "sleeper"]
    assert (found.state, found.pid, found.log) == ("running", lost.pid, lost.log)


def test_no_second_one_is_started_beside_what_lost_its_record(lost: state.Record) -> None:
    assert sleeper() == lost


def test_a_damaged_state_file_is_set_aside_and_the_user_is_told(
    own_state: Path, caplog: pytest.LogCaptureFixture
) -> None:
    state.put(state.Record("a"))
    (own_state / "state.json").write_text("{", encoding="utf-8")
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda _: state.read(), range(8))) == [{}] * 8
    (aside,) = own_state.glob("state.json.*.damaged")
    assert aside.read_text() == "{"
    (told,) = caplog.messages
    assert told.startswith(f"{own_state / 'state.json'} estaba dañado (")
    assert told.endswith(
        f") y se ha guardado como {aside.name}. Lo que está en marcha se reconoce sin él: "
        "«spotify-mlops status»."
    )
    state.put(state.Record("b"))
    assert set(state.read()) == {"b"}


def test_what_was_started_by_one_that_was_killed_then_is_recognised() -> None:
    code = f"""
import os, signal, sys
from spotify_mlops.io.local import processes, state
state.put = lambda record: os.kill(os.getpid(), signal.SIGKILL)
processes.start("orphan", [sys.executable, "-c", {SLEEP!r}])
"""
    done = subprocess.run([sys.executable, "-c", code], timeout=60)
    assert done.returncode == -signal.SIGKILL
    (found,) = [status for status in services.status() if status.name == "orphan"]
    assert found.state == "running"
    process = psutil.Process(found.pid)
    services.down()
    assert has_ended(process)


def test_down_ends_everything_where_nothing_can_be_written(
    own_state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = [sleeper("one"), sleeper("two"), sleeper("lost")]
    state.remove("lost")

    def refuse(*changed: state.Record) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as full:
        full.setattr(state, "put", refuse)
        with pytest.raises(ServiceError, match="Todo está detenido, pero no se pudo anotar"):
            services.down()
    assert not any(processes.is_alive(record) for record in records)
    services.down()
    assert all(record.pid is None for record in state.read().values())


def test_a_copy_of_a_process_is_not_taken_for_it(tmp_path: Path, own_state: Path) -> None:
    note = tmp_path / "pid"
    code = (
        "import os, time\n"
        "child = os.fork()\n"
        f"if child: open({str(note)!r}, 'w').write(f'{{child}}.')\n"
        "time.sleep(600)\n"
    )
    record = processes.start(
        "forked",
        [sys.executable, "-c", code],
        ready=lambda: note.is_file() and note.read_text().endswith("."),
    )
    (own_state / "state.json").unlink()
    assert processes.recover() == ["forked"]
    assert state.get("forked") == record


def test_what_belongs_to_nothing_on_record_is_told_and_ended(own_state: Path) -> None:
    kept = sleeper()
    # As a program of another version leaves it: with a mark that says whose it is, and no more.
    environ = {**os.environ, processes.OWNER: str(own_state.resolve())}
    stray = subprocess.Popen([sys.executable, "-c", SLEEP], env=environ)
    process = psutil.Process(stray.pid)
    (found,) = [status for status in services.status() if status.state == "stray"]
    assert found.pid == stray.pid
    assert len(processes.end(processes.strays())) == 1
    assert has_ended(process)
    assert processes.is_alive(kept)


def test_a_state_folder_that_cannot_be_made_is_a_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("SPOTIFY_MLOPS_STATE", str(tmp_path / "file" / "state"))
    with pytest.raises(UserError, match="No se puede escribir en la carpeta") as failure:
        services.up()
    assert "\n" not in str(failure.value)


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_folder_without_permission_is_a_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    monkeypatch.setenv("SPOTIFY_MLOPS_STATE", str(closed / "state"))
    with pytest.raises(UserError, match="No se puede escribir en la carpeta"):
        services.up()


def test_start_twice_keeps_the_first() -> None:
    first = sleeper()
    assert sleeper() == first
    assert processes.is_alive(first)


def test_stop_ends_children_and_grandchildren_that_ignore_term(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    script = tmp_path / "family.py"
    script.write_text(
        "import os, signal, subprocess, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        f"open({str(pids)!r}, 'a').write(str(os.getpid()) + ' ')\n"
        "depth = int(sys.argv[1])\n"
        "if depth:\n"
        "    subprocess.Popen([sys.executable, __file__, str(depth - 1)])\n"
        "time.sleep(600)\n"
    )
    record = processes.start(
        "family",
        [sys.executable, script, "2"],
        ready=lambda: pids.is_file() and len(pids.read_text().split()) == 3,
    )
    family = [psutil.Process(int(pid)) for pid in pids.read_text().split()]
    processes.stop(record, timeout=0.5)
    assert all(has_ended(process) for process in family)
    assert state.get("family").pid is None


def test_down_finds_what_left_its_session_and_lost_its_parent(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    code = (
        "import subprocess, sys, time\n"
        f"child = subprocess.Popen([sys.executable, '-c', {SLEEP!r}], start_new_session=True)\n"
        f"open({str(note)!r}, 'w').write(f'{{child.pid}}.')\n"
        "time.sleep(600)\n"
    )
    record = processes.start(
        "launcher",
        [sys.executable, "-c", code],
        ready=lambda: note.is_file() and note.read_text().endswith("."),
    )
    orphan = psutil.Process(int(note.read_text()[:-1]))
    kill(record)
    assert orphan.is_running()
    services.down()
    assert has_ended(orphan)


def test_another_states_processes_are_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = sleeper()
    with monkeypatch.context() as other:
        other.setenv("SPOTIFY_MLOPS_STATE", str(tmp_path / "other"))
        sleeper()
        services.down()
    assert processes.is_alive(mine)


def test_a_later_process_with_the_same_pid_is_not_taken_for_it() -> None:
    record = sleeper()
    assert not processes.is_alive(replace(record, identity="another boot/1"))
    processes.stop(replace(record, identity="another boot/1"))
    assert processes.is_alive(record)


def test_ending_at_start_is_told_with_the_log() -> None:
    with pytest.raises(ServiceError, match=r"(?s)código 3.*sin gasolina"):
        processes.start(
            "broken",
            [sys.executable, "-c", "import sys; print('sin gasolina'); sys.exit(3)"],
            ready=lambda: False,
        )
    assert state.get("broken").pid is None


def test_not_ready_in_time_is_told_and_the_process_ends() -> None:
    with pytest.raises(ServiceError, match="no respondió en 0,3 s"):
        processes.start("slow", [sys.executable, "-c", SLEEP], ready=lambda: False, timeout=0.3)
    assert not processes.sweep()


def test_a_missing_program_is_a_clear_error() -> None:
    with pytest.raises(ServiceError, match="No se pudo iniciar «ghost»"):
        processes.start("ghost", ["/no/such/program"])


def test_status_tells_a_crash_with_the_end_of_the_log() -> None:
    record = sleeper()
    kill(record)
    (found,) = [status for status in services.status() if status.name == "sleeper"]
    assert (found.state, found.kind) == ("crashed", "app")
    assert [line.split()[-1] for line in found.log_tail.splitlines()] == ["sleeper", "dormido"]


BY_HAND = f"""
from spotify_mlops.io.local import processes
with processes.registered("sleeper"):
    {SLEEP}
"""


def test_what_was_run_in_a_terminal_is_told_and_ended() -> None:
    with subprocess.Popen([sys.executable, "-c", BY_HAND], stdout=subprocess.PIPE) as shell_job:
        assert shell_job.stdout is not None
        shell_job.stdout.readline()
        (found,) = [status for status in services.status() if status.name == "sleeper"]
        assert (found.state, found.pid) == ("running", shell_job.pid)
        process = psutil.Process(shell_job.pid)
        services.down()
        assert has_ended(process)


def test_a_second_one_in_a_terminal_leaves_the_record_alone() -> None:
    record = sleeper()
    with processes.registered("sleeper"):
        assert state.get("sleeper") == record
    assert state.get("sleeper") == record


def test_status_gives_the_pid_to_kill_by(capsys: pytest.CaptureFixture[str]) -> None:
    record = sleeper()
    main.main(["status", "--pid", "sleeper"])
    assert capsys.readouterr().out == f"{record.pid}\n"
    kill(record)
    with pytest.raises(SystemExit) as ended:
        main.main(["status", "--pid", "sleeper"])
    assert ended.value.code == ServiceError.exit_code
    assert capsys.readouterr().err == (
        "Error: «sleeper» no está en marcha: «spotify-mlops status» dice qué lo está.\n"
    )


def test_services_that_were_never_started_are_stopped() -> None:
    assert {status.name: status.state for status in services.status()} == {
        "kafka": "stopped",
        "bigquery": "stopped",
        "mongo": "stopped",
        "vertex": "stopped",
    }
    services.down()  # harmless


def test_answering_on_its_port_by_another_process_is_not_being_ready() -> None:
    with socket.create_server((ports.HOST, 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ServiceError, match="no respondió"):
            processes.start(
                "late",
                [sys.executable, "-c", SLEEP],
                ready=lambda: ports.listens(port),
                ports={"http": port},
                timeout=0.5,
            )


def test_a_taken_port_is_not_chosen_and_a_free_one_is_kept() -> None:
    with socket.create_server((ports.HOST, 0)) as server:
        taken = server.getsockname()[1]
        chosen = ports.choose(("a", "b"), {"a": taken})
        assert taken not in chosen.values()
        assert len(set(chosen.values())) == 2
    assert ports.choose(("a", "b"), chosen) == chosen


def test_local_endpoints_need_the_services_up() -> None:
    local = params.load("local")
    with pytest.raises(ServiceError, match="spotify-mlops up"):
        kafka.client_config(local)
    state.put(state.Record("kafka", "service", None, addresses={"bootstrap": "127.0.0.1:1"}))
    with pytest.raises(ServiceError, match="spotify-mlops up"):
        kafka.client_config(local)


def test_kafka_down_at_start_is_named_with_its_address() -> None:
    port = ports.free()
    with pytest.raises(ServiceError, match=f"Kafka no responde en 127.0.0.1:{port}"):
        answering.require(params.load("local", kafka_bootstrap=f"127.0.0.1:{port}"), "kafka")


def test_the_state_file_is_json_that_other_programs_read(own_state: Path) -> None:
    record = sleeper()
    content = json.loads((own_state / "state.json").read_text(encoding="utf-8"))
    assert content["processes"]["sleeper"]["pid"] == record.pid
    os.kill(record.pid, signal.SIGTERM)
