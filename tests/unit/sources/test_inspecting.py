"""What files are, said without publishing anything."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from source_files import write
from spotify_mlops import sources
from spotify_mlops.cli.main import main
from spotify_mlops.config import params
from spotify_mlops.config.errors import InputError
from spotify_mlops.sources import inspecting

HEADER = "Song,Artist,Date,Song ID,Streams,Rank\n"
STREAM = {
    "ts": "2024-05-06T18:43:10Z", "ms_played": 31_000, "conn_country": "CO",
    "spotify_track_uri": "spotify:track:abc",
}  # fmt: skip


def test_each_file_is_described_by_its_content(tmp_path: Path) -> None:
    write(tmp_path, "colombia.csv", HEADER + "S,A,2024-01-05,i,5,1\nS,A,2024-01-12,i,,1\n,,,,,\n")
    write(tmp_path, "x.txt", json.dumps([STREAM, STREAM, STREAM | {"conn_country": "ZZ"}]))
    write(tmp_path, "nota.txt", "hola")
    found = sources.inspect_files(params.load("local"), [tmp_path])
    chart, note, history = found["files"]
    assert (chart["source"], history["source"], note["source"]) == ("charts", "history", None)
    assert chart["what"] == "columnas propias, una fecha, CO, 2024-01-05"
    assert (chart["rows"], chart["events"]) == (3, 1)
    assert chart["left_out"] == {"blank": 1, "unreadable": 1}
    assert "bad_rows=leave_out" in chart["problem"]
    assert chart["named"]["unreadable"][0].startswith("línea 3: Streams = «»")
    assert (history["first"], history["last"]) == ("2024-05-06T18:43:10+00:00",) * 2
    assert history["countries"] == ["CO"]
    assert "nota.txt no es una lista" in note["problem"]
    assert (found["rows"], found["events"]) == (6, 2)
    assert found["left_out"] == {"blank": 1, "unreadable": 1, "no_country": 1, "repeated": 1}
    assert found["rows"] == found["events"] + sum(found["left_out"].values())
    told = "\n".join(inspecting.lines(found))
    assert "con «ingest history» daría 2 eventos, 1 sin país (ZZ: 1)" in told
    assert "En total: 6 filas, 2 eventos y 4 que se dejan fuera" in told


def test_of_a_file_without_a_country_none_are_told(tmp_path: Path) -> None:
    write(tmp_path, "endsong_0.json", json.dumps([STREAM | {"conn_country": "ZZ"}]))
    found = sources.inspect_files(params.load("local"), [tmp_path])
    assert inspecting.lines(found)[1].endswith("daría 0 eventos, 1 sin país (ZZ: 1)")


def test_the_command_needs_no_service_and_answers_in_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path, "uk.csv", HEADER + "S,A,2024-01-05,i,5,1\n")
    main(["ingest", "inspect", str(path), "--json", "--set", "kafka_bootstrap=127.0.0.1:9"])
    found = json.loads(capsys.readouterr().out)
    assert found["countries"] == ["GB"]
    with pytest.raises(InputError, match="No existe"):
        sources.inspect_files(params.load("local"), [tmp_path / "nada"])
