"""Charts in every shape as events, and what is said of a file that is not one."""

from __future__ import annotations

import zipfile
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest

from source_files import read, write
from spotify_mlops.config import params
from spotify_mlops.config.errors import InputError, ParamsError
from spotify_mlops.domain.events import EVENT_COLUMNS
from spotify_mlops.sources.charts import shapes
from spotify_mlops.sources.countries import country_of, read_name, split_country
from spotify_mlops.sources.tables import plain_header

ROOT = Path(__file__).resolve().parents[3]
REAL = ROOT.parent / "shared" / "data" / "charts_weekly_top200"
POPULARITY = ROOT.parent / "shared" / "data" / "daily_top50_popularity"
SAMPLE = ROOT / "data" / "sample" / "charts"
HEADER = "Song,Artist,Date,Song ID,Streams,Rank\n"
SHAPE = "se esperaba un CSV con Song, Artist, Date, Song ID, Streams, Rank."
NUMBER = "se esperaba un entero mayor que cero."
DATE = "se esperaba una fecha AAAA-MM-DD."
QUOTES = "se esperaban 6. Revise las comillas."
DAILY = "charts_daily"


def test_rows_become_events(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "colombia.csv.gz",
        HEADER
        + 'Otra vez (feat. J Balvin),Zion & Lennox,2017-01-06,a1,"278,008",1\n'
        + '"Dijo ""sí"", y\nse fue",,2017-01-06,a2,99,2\n'
        + 'Vivo "en vivo",Nadie,2017-01-13,a3,"1,234,567,890",1\n',
    )
    events, gathered = read("charts", path)
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
    what = gathered.account.files[0].what
    assert what == "columnas propias, semanal, CO, 2017-01-06 a 2017-01-13"


def test_files_are_merged_in_event_time_order(tmp_path: Path) -> None:
    later = HEADER + "B,b,2017-01-13,b,5,1\nA,a,2017-01-06,a,5,2\nA,a,2017-01-06,c,6,1\n"
    write(tmp_path, "spain.csv", later)
    write(tmp_path, "Estados-Unidos.csv", later)
    events, _ = read("charts", tmp_path)
    assert events["event_id"].to_list() == [
        "chart:ES:2017-01-06:1",
        "chart:ES:2017-01-06:2",
        "chart:US:2017-01-06:1",
        "chart:US:2017-01-06:2",
        "chart:ES:2017-01-13:1",
        "chart:US:2017-01-13:1",
    ]


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("case", [str.lower, str.upper, str.title])
def test_columns_may_come_in_any_order_case_and_separator(
    tmp_path: Path, separator: str, case: type[str]
) -> None:
    header = case("Rank,Extra,Streams,Song_ID,Date,Artist,Song")
    text = f"\ufeff{header}\n1,x,900000.0,id,2017/01/06,A,S\n,,,,,,\n,,,,,,\n\n"
    path = write(tmp_path, "mexico.csv", text.replace(",", separator))
    events, gathered = read("charts", path)
    assert events.select("track_name", "track_id", "count", "country").rows() == [
        ("S", "id", 900_000, "MX")
    ]
    assert gathered.account.left_out() == {"blank": 2}


DOWNLOAD = (
    "\ufeffrank,uri,artist_names,track_name,source,peak_rank,previous_rank,weeks_on_chart,streams\n"
    '1,"spotify:track:aaa","Uno, Dos","Tema","Sello",1,2,4,"900000"\n'
)
OLD = (
    ',,,"Note that these figures are generated using a formula that protects against gaming",\n'
    "Position,Track Name,Artist,Streams,URL\n"
    '1,"Tema","Uno",900000,https://open.spotify.com/track/aaa\n'
)
REGIONS = "title,rank,date,artist,url,region,chart,trend,streams\n"
WORLDWIDE = "Position,Track Name,Artist,Streams,URL,Date,Region\n"
TOP200 = "Position,Track Name,Artist,Streams,date,region,spotify_id\n"
POPULAR = (
    "spotify_id,name,artists,daily_rank,daily_movement,weekly_movement,country,snapshot_date,"
    "popularity,is_explicit,duration_ms,album_name,album_release_date\n"
)


@pytest.mark.parametrize(
    ("name", "text", "profile", "found"),
    [
        # The name of a download says the last day of the week.
        ("regional-co-weekly-2024-01-04.csv", DOWNLOAD, "charts", ("CO", date(2023, 12, 29))),
        ("regional-co-weekly-2024-01-04 (1).csv", DOWNLOAD, "charts", ("CO", date(2023, 12, 29))),
        ("regional-gb-daily-2024-01-04.csv.gz", DOWNLOAD, DAILY, ("GB", date(2024, 1, 4))),
        (
            "regional-mx-weekly-2016-12-23--2016-12-30.csv",
            OLD,
            "charts",
            ("MX", date(2016, 12, 23)),
        ),
        ("regional-us-daily-2017-01-06.csv", OLD, DAILY, ("US", date(2017, 1, 6))),
        (
            "charts.csv",
            REGIONS + "Tema,1,2021-01-02,Uno,https://open.spotify.com/track/aaa,South Korea,"
            "top200,NEW_ENTRY,900000\n",
            DAILY,
            ("KR", date(2021, 1, 2)),
        ),
        (
            "data.csv",
            WORLDWIDE + "1,Tema,Uno,900000,https://open.spotify.com/track/aaa,2017-01-07,co\n",
            DAILY,
            ("CO", date(2017, 1, 7)),
        ),
        (
            "top.csv",
            TOP200 + "1,Tema,Uno,900000,2020-02-03,MX,aaa\n",
            DAILY,
            ("MX", date(2020, 2, 3)),
        ),
    ],
)
def test_each_shape_is_recognised(
    tmp_path: Path, name: str, text: str, profile: str, found: tuple[str, date]
) -> None:
    events, gathered = read("charts", write(tmp_path, name, text), profile)
    country, day = found
    row = events.row(0, named=True)
    assert events.height == 1
    assert (row["country"], row["event_time"].date()) == (country, day)
    assert (row["track_id"], row["count"], row["track_name"]) == ("aaa", 900_000, "Tema")
    assert country in gathered.account.files[0].what


def test_all_regions_are_split_and_what_is_of_no_country_is_left_out(tmp_path: Path) -> None:
    rows = [
        f"T,1,2021-01-0{day},A,https://open.spotify.com/track/x{day},{region},{chart},S,{streams}"
        for day in (1, 2)
        for region, chart, streams in (
            ("Colombia", "top200", 9),
            ("United Kingdom", "top200", 9),
            ("Global", "top200", 9),
            ("Spain", "viral50", ""),
            ("Narnia", "top200", 9),
        )
    ]
    path = write(tmp_path, "charts.csv", REGIONS + "\n".join(rows))
    events, gathered = read("charts", path, DAILY)
    assert events["country"].to_list() == ["CO", "GB"] * 2
    account = gathered.account
    assert account.left_out() == {"viral": 2, "world": 2, "unknown_country": 2}
    assert account.codes() == {"Narnia": 2}
    assert "(Narnia: 2)" in account.told()
    assert account.files[0].what == "todas las regiones, diaria, CO, GB, 2021-01-01 a 2021-01-02"
    only, one = read("charts", f"{path}=uk", DAILY)
    assert only["country"].to_list() == ["GB"] * 2
    assert one.account.left_out()["other_country"] == 2
    in_folder, _ = read("charts", tmp_path, DAILY, countries=["CO"])
    assert in_folder["country"].to_list() == ["CO"] * 2


def test_popularity_without_streams_is_an_event_of_one_and_said(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "universal_top_spotify_songs.csv",
        POPULAR
        + 'aaa,Tema,"Uno, Dos",1,0,2,CO,2024-05-06,88,False,201000,Disco,2024-04-01\n'
        + "bbb,Otro,Uno,1,0,2,,2024-05-06,90,False,201000,Disco,0000\n",
    )
    events, gathered = read("charts", path, DAILY)
    row = events.row(0, named=True)
    assert (row["popularity"], row["count"], row["country"]) == (88, 1, "CO")
    assert (row["album_name"], row["release_date"]) == ("Disco", date(2024, 4, 1))
    assert gathered.account.left_out() == {"world": 1}
    assert "target: api" in gathered.account.notes[0]
    with pytest.raises(ParamsError, match=r"lista diaria .*charts_daily"):
        read("charts", path)
    top = write(
        tmp_path,
        "top50_spain.csv",
        "date,position,song,artist,popularity\n2023-05-18,1,Supernova,Saiko,84\n"
        "2023-05-19,1,SUPERNOVA,saiko,\n2023-05-19,2,,saiko,7\n",
    )
    events, _ = read("charts", top, DAILY, bad_rows="leave_out")
    assert events["popularity"].to_list() == [84, None]
    assert events["track_id"].n_unique() == 1  # named by artist and title
    with pytest.raises(InputError, match="línea 4: song = «saiko · »"):
        read("charts", top, DAILY)


def test_one_song_is_one_track_however_it_is_written(tmp_path: Path) -> None:
    forms = [
        "aaa", "spotify:track:aaa", "https://open.spotify.com/track/aaa",
        "http://open.spotify.com/track/aaa?si=1", "https://open.spotify.com/intl-es/track/aaa",
    ]  # fmt: skip
    rows = [f"S,A,2017-01-06,{form},5,{rank}" for rank, form in enumerate(forms, 1)]
    events, _ = read("charts", write(tmp_path, "co.csv", HEADER + "\n".join(rows)))
    assert set(events["track_id"]) == {"aaa"}
    album = HEADER + "S,A,2017-01-06,https://open.spotify.com/album/aaa,5,1\n"
    with pytest.raises(InputError, match=r"línea 2: Song ID = «https.*un identificador"):
        read("charts", write(tmp_path, "es.csv", album))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", f" está vacío: {SHAPE}"),
        (" \n \n", f" está vacío: {SHAPE}"),
        (HEADER, " no tiene filas: solo el encabezado."),
        ("Hola,Adiós\n1,2\n", f" no es una lista: {SHAPE}"),
        (
            "Song,Date,Rank,Artist\na,b,1,c\n",
            ": faltan las columnas Song ID, Streams de «columnas propias» "
            "(tiene: Song, Date, Rank, Artist).",
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
        read("charts", path)
    assert str(caught.value).removeprefix(f"{tmp_path}/") == f"spain.csv{message}"


def test_bad_rows_are_left_out_where_the_params_say_so(tmp_path: Path) -> None:
    text = HEADER + "S,A,2017-01-06,i,,1\nS,A,2017-01-06,i,5,2\nS,A\nS,A,ayer,i,5,3\n"
    path = write(tmp_path, "spain.csv", text)
    events, gathered = read("charts", path, bad_rows="leave_out")
    assert events["event_id"].to_list() == ["chart:ES:2017-01-06:2"]
    assert gathered.account.left_out() == {"unreadable": 3}
    assert sorted(gathered.account.files[0].named["unreadable"]) == [
        "línea 2: Streams = «», se esperaba un entero mayor que cero",
        "línea 4: 2 campos, se esperaban 6. Revise las comillas",
        "línea 5: Date = «ayer», se esperaba una fecha AAAA-MM-DD",
    ]


def test_times_that_cannot_be_are_named_and_left_out(tmp_path: Path) -> None:
    text = HEADER + "S,A,1970-01-02,i,5,1\nS,A,2017-01-06,i,5,1\nS,A,2099-01-02,i,5,1\n"
    events, gathered = read("charts", write(tmp_path, "spain.csv", text))
    assert events.height == 1
    file = gathered.account.files[0]
    assert file.named == {
        "future": ["línea 4: 2099-01-02 00:00"],
        "unset_clock": ["línea 2: 1970-01-02 00:00"],
    }


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("colombia.csv.gz", "CO"),
        ("united_states.csv", "US"),
        ("México.csv", "MX"),
        ("co.csv", "CO"),
        ("BR.csv", "BR"),
        ("Estados Unidos.csv", "US"),
        ("uk.csv", "GB"),
        ("USA.csv", "US"),
        ("czechia.csv", "CZ"),
        ("Czech Republic.csv", "CZ"),
        ("xk.csv", "XK"),
        ("kosovo.csv", "XK"),
        ("hong-kong.csv", "HK"),
        ("korea.csv", "KR"),
        ("laos.csv", "LA"),
        ("la.csv", "LA"),
        ("top200_colombia_2020.csv", "CO"),
        ("regional-ar-weekly-latest.csv", "AR"),
    ],
)
def test_the_country_is_read_from_the_name(name: str, code: str) -> None:
    assert country_of(Path(name)) == code


@pytest.mark.parametrize("name", ["lista.csv", "colombia y peru.csv", "charts.csv", "2024.csv"])
def test_a_name_that_says_no_country_is_not_guessed(name: str) -> None:
    assert read_name(name).country is None


def test_a_file_of_no_one_country_is_refused_and_a_code_can_be_given(tmp_path: Path) -> None:
    path = write(tmp_path, "global.csv", HEADER + "S,A,2017-01-06,i,1,1\n")
    with pytest.raises(InputError, match="no es de un país"):
        read("charts", path)
    other = write(tmp_path, "lista.csv", HEADER + "S,A,2017-01-06,i,1,1\n")
    with pytest.raises(InputError, match=r"lista\.csv=CO"):
        read("charts", other)
    assert read("charts", f"{other}=ar")[0]["country"].to_list() == ["AR"]
    assert read("charts", f"{other}=uk")[0]["country"].to_list() == ["GB"]
    with pytest.raises(InputError, match="ZZ"):
        split_country("lista.csv=ZZ")
    viral = DOWNLOAD.replace(",streams", "").replace(',"900000"', "")
    with pytest.raises(InputError, match="viral"):
        read("charts", write(tmp_path, "viral-co-weekly-2024-01-04.csv", viral))
    with pytest.raises(InputError, match="la fecha"):
        read("charts", write(tmp_path, "regional-co-weekly-latest.csv", DOWNLOAD))


def test_a_folder_gives_the_countries_asked_for_and_says_what_it_left(tmp_path: Path) -> None:
    for name in ("spain.csv", "chile.csv", "global.csv", "notas.txt"):
        write(tmp_path, name, HEADER + "S,A,2017-01-06,i,1,1\n")
    (tmp_path / "deep").mkdir()
    write(tmp_path / "deep", "regional-es-weekly-2017-01-19.csv", DOWNLOAD)
    events, gathered = read("charts", tmp_path, countries=["ES"])
    assert events["event_id"].to_list() == ["chart:ES:2017-01-06:1", "chart:ES:2017-01-13:1"]
    assert {item.name for item in gathered.account.not_read} == {
        "chile.csv", "global.csv", "notas.txt"
    }  # fmt: skip


def test_a_folder_in_which_nothing_is_usable_lists_each_file(tmp_path: Path) -> None:
    write(tmp_path, "lista.csv", HEADER + "S,A,2017-01-06,i,1,1\n")
    write(tmp_path, "notas.txt", "hola\n")
    write(tmp_path, "foto.png", b"\x89PNG....")
    with pytest.raises(InputError) as caught:
        read("charts", tmp_path)
    for reason in ("lista.csv: el nombre no dice", "notas.txt no es", "foto.png es una imagen"):
        assert reason in str(caught.value)
    with pytest.raises(InputError, match=r"No existe .*nada\.csv"):
        read("charts", tmp_path / "nada.csv")


def test_a_zip_of_downloads_is_one_chart(tmp_path: Path) -> None:
    path = tmp_path / "archive.zip"
    with zipfile.ZipFile(path, "w") as zipped:
        zipped.writestr("regional-co-weekly-2024-01-04.csv", DOWNLOAD)
        zipped.writestr("regional-co-weekly-2024-01-11.csv", DOWNLOAD)
        zipped.writestr("README.txt", "hola")
    events, gathered = read("charts", path)
    assert events["event_time"].dt.date().to_list() == [date(2023, 12, 29), date(2024, 1, 5)]
    assert [item.name for item in gathered.account.not_read] == ["archive.zip/README.txt"]
    alone = tmp_path / "colombia.zip"
    with zipfile.ZipFile(alone, "w") as zipped:
        zipped.writestr("data.csv", HEADER + "S,A,2017-01-06,i,1,1\n")
    assert read("charts", alone)[0]["country"].to_list() == ["CO"]


def week(*days: str) -> str:
    return HEADER + "".join(f"S,A,{day},i,1,1\n" for day in days)


@pytest.mark.parametrize(
    ("profile", "days", "message"),
    [
        ("charts", ["2017-01-05", "2017-01-12"], "ÚLTIMO día .*chart_dates=last"),
        ("charts", ["2017-01-05"], "ÚLTIMO día"),
        ("charts", ["2017-01-06", "2017-01-07", "2017-01-08"], "lista diaria .*charts_daily"),
        ("charts", ["2017-01-03", "2017-01-10"], "martes .*viernes: cambia window_offset"),
        ("charts", ["2017-01-06", "2017-01-13", "2017-01-21"], "línea 4: la semana empieza en sáb"),
        (DAILY, ["2017-01-06", "2017-01-13"], "lista semanal .*--params charts"),
        ("local", ["2017-01-06"], "window = 1h: usa --params charts"),
    ],
)
def test_days_that_are_not_the_windows_are_refused_with_what_to_do(
    tmp_path: Path, profile: str, days: list[str], message: str
) -> None:
    path = write(tmp_path, "spain.csv", week(*days))
    with pytest.raises(ParamsError, match=message):
        read("charts", path, profile)


def test_daily_files_of_one_day_each_are_one_daily_chart(tmp_path: Path) -> None:
    for day in ("2017-01-06", "2017-01-07"):
        write(tmp_path, f"es_{day}.csv", week(day))
    assert read("charts", tmp_path, DAILY)[0].height == 2
    with pytest.raises(ParamsError, match="lista diaria"):
        read("charts", tmp_path)


def test_last_days_are_moved_to_the_first_where_the_params_say_so(tmp_path: Path) -> None:
    path = write(tmp_path, "spain.csv", week("2017-01-12", "2017-01-19"))
    events, _ = read("charts", path, chart_dates="last")
    assert events["event_time"].dt.date().to_list() == [date(2017, 1, 6), date(2017, 1, 13)]


@pytest.mark.parametrize("shape", shapes.SHAPES, ids=lambda shape: shape.name)
def test_no_shape_hides_behind_another(shape: shapes.Shape) -> None:
    found = shapes.recognise([plain_header(name) for name in shape.columns])
    assert found is not None
    assert found.shape is shape


def test_the_sample_is_a_chart() -> None:
    events, _ = read("charts", SAMPLE)
    assert set(events["country"]) == {"CO", "ES", "MX", "US"}
    assert events["event_id"].is_unique().all()


@pytest.mark.skipif(not REAL.is_dir(), reason="the real charts are not on this machine")
def test_every_row_of_the_real_charts_is_read_in_order() -> None:
    events, gathered = read("charts", REAL)
    assert len(events) == 4 * 200 * 213
    assert events["event_id"].is_unique().all()
    assert events["event_time"].is_sorted()
    assert events["count"].min() > 0
    assert len(gathered.account.not_read) == 3
    everywhere = params.load("charts").sources.countries
    assert gathered.countries == set(everywhere)


@pytest.mark.skipif(not POPULARITY.is_dir(), reason="the real Top 50 is not on this machine")
def test_every_row_of_the_real_top_50_is_read() -> None:
    events, _ = read("charts", POPULARITY, DAILY)
    assert events.height == 2 * 27_800
    assert set(events["country"]) == {"ES", "US"}
    assert events["popularity"].null_count() == 0
