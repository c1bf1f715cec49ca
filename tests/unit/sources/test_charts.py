"""Weekly charts as events, and what is said of a file that is not one."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from spotify_mlops.config import params
from spotify_mlops.config.errors import InputError, ParamsError
from spotify_mlops.domain.events import EVENT_COLUMNS
from spotify_mlops.domain.windows import Windowing
from spotify_mlops.sources.charts import read_charts, select_charts
from spotify_mlops.sources.countries import country_of, split_country

ROOT = Path(__file__).resolve().parents[3]
REAL = ROOT.parent / "shared" / "data" / "charts_weekly_top200"
SAMPLE = ROOT / "data" / "sample" / "charts"
HEADER = "Song,Artist,Date,Song ID,Streams,Rank\n"
SHAPE = "se esperaba un CSV con Song, Artist, Date, Song ID, Streams, Rank."
NUMBER = "se esperaba un entero mayor que cero."
DATE = "se esperaba una fecha AAAA-MM-DD."
QUOTES = "se esperaban 6. Revise las comillas."
FRIDAYS = Windowing(timedelta(days=7), timedelta(days=1))


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    data = text.encode()
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return path


def test_rows_become_events(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "colombia.csv.gz",
        HEADER
        + 'Otra vez (feat. J Balvin),Zion & Lennox,2017-01-06,a1,"278,008",1\n'
        + '"Dijo ""sí"", y\nse fue",,2017-01-06,a2,99,2\n'
        + 'Vivo "en vivo",Nadie,2017-01-13,a3,"1,234,567,890",1\n',
    )
    events = pl.concat(read_charts([path]))
    assert events.schema == pl.Schema(EVENT_COLUMNS)
    assert events["event_id"].to_list() == [
        "chart:CO:2017-01-06:1",
        "chart:CO:2017-01-06:2",
        "chart:CO:2017-01-13:1",
    ]
    assert events["count"].to_list() == [278_008, 99, 1_234_567_890]
    assert events["event_time"][0] == datetime(2017, 1, 6, tzinfo=UTC)
    assert events["track_name"].to_list()[1:] == ['Dijo "sí", y\nse fue', 'Vivo "en vivo"']
    assert events["artist_name"].to_list() == ["Zion & Lennox", None, "Nadie"]
    assert set(events["event_type"]) == {"play"}
    assert events["release_date"].null_count() == 3


def test_files_are_merged_in_event_time_order(tmp_path: Path) -> None:
    later = HEADER + "B,b,2017-01-13,b,5,1\nA,a,2017-01-06,a,5,2\nA,a,2017-01-06,c,6,1\n"
    write(tmp_path, "spain.csv", later)
    write(tmp_path, "Estados-Unidos.csv", later)
    frames = list(read_charts([tmp_path], ["ES", "US"], windowing=FRIDAYS, rows=4))
    assert [len(frame) for frame in frames] == [4, 2]
    assert pl.concat(frames)["event_id"].to_list() == [
        "chart:ES:2017-01-06:1",
        "chart:ES:2017-01-06:2",
        "chart:US:2017-01-06:1",
        "chart:US:2017-01-06:2",
        "chart:ES:2017-01-13:1",
        "chart:US:2017-01-13:1",
    ]


def test_columns_may_come_in_any_order_with_others_and_a_byte_order_mark(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "mexico.csv",
        "\ufeffRank,Extra,Streams,Song ID,Date,Artist,Song\n1,x,10,id,2017-01-06,A,S\n\n",
    )
    events = pl.concat(read_charts([path]))
    assert events.select("track_name", "track_id", "count", "country").row(0) == (
        "S",
        "id",
        10,
        "MX",
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", f" está vacío: {SHAPE}"),
        (" \n \n", f" está vacío: {SHAPE}"),
        (HEADER, " no tiene filas: solo el encabezado."),
        (
            "Song,Date,Rank\na,b,1\n",
            ": faltan las columnas Artist, Song ID, Streams (tiene: Song, Date, Rank).",
        ),
        (HEADER + "S,A,2017-01-06,i,12a,1\n", f", línea 2: Streams = «12a», {NUMBER}"),
        (HEADER + 'S,A,2017-01-06,i,"1,23",1\n', f", línea 2: Streams = «1,23», {NUMBER}"),
        (HEADER + "S,A,2017-01-06,i,0,1\n", f", línea 2: Streams = «0», {NUMBER}"),
        (
            HEADER + '"S\nS",A,2017-01-06,i,1,1\nS,A,06/01/2017,i,1,2\n',
            f", línea 4: Date = «06/01/2017», {DATE}",
        ),
        (HEADER + "S,A,2017-02-30,i,1,1\n", f", línea 2: Date = «2017-02-30», {DATE}"),
        (HEADER + "S,A,2017-01-06,i,1,-1\n", f", línea 2: Rank = «-1», {NUMBER}"),
        (
            HEADER + "S,A,2017-01-06,,1,1\n",
            ", línea 2: Song ID = «», se esperaba un identificador.",
        ),
        (HEADER + "S,A,2017-01-06,i,1,1\nS,A,2017\n", f", línea 3: 3 campos, {QUOTES}"),
        (
            HEADER + '"S,A,2017-01-06,i,1,1\nS,A,2017-01-06,i,1,2\n',
            f", línea 3: 1 campos, {QUOTES}",
        ),
    ],
)
def test_a_broken_file_is_refused_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    path = write(tmp_path, "spain.csv", text)
    with pytest.raises(InputError) as caught:
        read_charts([path])
    assert str(caught.value).removeprefix(f"{tmp_path}/") == f"spain.csv{message}"


def test_another_encoding_is_named_with_byte_and_line(tmp_path: Path) -> None:
    path = tmp_path / "spain.csv"
    path.write_bytes((HEADER + "Te Soñé,A,2017-01-06,i,1,1\n").encode("latin-1"))
    with pytest.raises(InputError, match=r"UTF-8: byte 43 \(0xf1\), línea 2"):
        read_charts([path])
    path.write_bytes((HEADER + "S,A,2017-01-06,i,1,1\n").encode("utf-16"))
    with pytest.raises(InputError, match="UTF-16"):
        read_charts([path])


def test_a_cut_gzip_is_refused(tmp_path: Path) -> None:
    whole = gzip.compress((HEADER + "S,A,2017-01-06,i,1,1\n").encode())
    path = tmp_path / "spain.csv.gz"
    path.write_bytes(whole[:-12])
    with pytest.raises(InputError, match="No se puede leer"):
        read_charts([path])


def test_a_missing_path_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"No existe .*nada\.csv"):
        read_charts([tmp_path / "nada.csv"])
    with pytest.raises(InputError, match="No hay listas CSV"):
        read_charts([tmp_path])


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("colombia.csv.gz", "CO"),
        ("united_states.csv", "US"),
        ("México.csv", "MX"),
        ("co.csv", "CO"),
        ("BR.csv", "BR"),
        ("Estados Unidos.csv", "US"),
    ],
)
def test_the_country_is_read_from_the_name(name: str, code: str) -> None:
    assert country_of(Path(name)) == code


def test_a_file_of_no_one_country_is_refused_and_a_code_can_be_given(tmp_path: Path) -> None:
    path = write(tmp_path, "global.csv", HEADER + "S,A,2017-01-06,i,1,1\n")
    with pytest.raises(InputError, match="no es de un país"):
        read_charts([path])
    other = write(tmp_path, "lista.csv", HEADER + "S,A,2017-01-06,i,1,1\n")
    with pytest.raises(InputError, match=r"lista\.csv=CO"):
        read_charts([other])
    assert next(read_charts([f"{other}=ar"]))["country"].to_list() == ["AR"]
    with pytest.raises(InputError, match="ZZ"):
        split_country("lista.csv=ZZ")


def test_a_folder_gives_the_countries_asked_for_and_says_what_it_left(tmp_path: Path) -> None:
    for name in ("spain.csv", "chile.csv", "global.csv", "notas.txt"):
        write(tmp_path, name, HEADER + "S,A,2017-01-06,i,1,1\n")
    selection = select_charts([tmp_path], ["ES"])
    assert [file.country for file in selection.files] == ["ES"]
    assert {path.name for path in selection.left_out} == {"chile.csv", "global.csv"}


def test_weeks_must_be_the_windows(tmp_path: Path) -> None:
    path = write(tmp_path, "spain.csv", HEADER + "S,A,2017-01-06,i,1,1\n")
    with pytest.raises(ParamsError, match="viernes"):
        read_charts([path], windowing=Windowing(timedelta(days=7)))
    with pytest.raises(ParamsError, match="window: 7d"):
        read_charts([path], windowing=Windowing(timedelta(hours=1)))


def test_the_sample_is_a_chart() -> None:
    events = pl.concat(read_charts([SAMPLE], windowing=FRIDAYS))
    assert set(events["country"]) == {"CO", "ES", "MX", "US"}
    assert events["event_id"].is_unique().all()


@pytest.mark.skipif(not REAL.is_dir(), reason="the real charts are not on this machine")
def test_every_row_of_the_real_charts_is_read_in_order() -> None:
    profile = params.load("charts")
    events = pl.concat(
        read_charts([REAL], profile.sources.countries, windowing=Windowing.of(profile.windows))
    )
    assert len(events) == 4 * 200 * 213
    assert events["event_id"].is_unique().all()
    assert events["event_time"].is_sorted()
    everything = pl.concat(read_charts([REAL]))
    assert everything["artist_name"].null_count() == 37
    assert everything["count"].min() == 23897
