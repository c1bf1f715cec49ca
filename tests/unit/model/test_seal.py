"""Files that lie: what somebody else wrote in the archive is not served, and writes nowhere."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import storage_server
import tiny_model
from spotify_mlops.cli import main
from spotify_mlops.cli.main_job import _adopt
from spotify_mlops.config import params
from spotify_mlops.config.errors import InputError, IntegrityError
from spotify_mlops.config.params import Params
from spotify_mlops.io import files
from spotify_mlops.io.local import secret
from spotify_mlops.model import bundle
from spotify_mlops.model.predictor import Predictor
from spotify_mlops.model.promotions import Canary, PromotionHistory
from spotify_mlops.model.training_result import TrainingResult
from spotify_mlops.serving.models import FixedModel

START = tiny_model.START
DEEP = "[" * 50_000


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Params:
    """Return params with a state folder, and an archive in it, of their own."""
    monkeypatch.setenv("SPOTIFY_MLOPS_STATE", str(tmp_path / "state"))
    return tiny_model.settings()


@pytest.fixture
def promotions(own: Params, tmp_path: Path) -> PromotionHistory:
    """Return a history with two versions; the first is the champion."""
    promotions = PromotionHistory(own)
    for version, path in zip(("1", "2"), tiny_model.bundles(tmp_path / "b", 2), strict=True):
        promotions.keep(version, path)
    promotions.promote("1", START)
    return promotions


def record(promotions: PromotionHistory) -> Path:
    return Path(promotions.uri) / "schedule.json"


def rewrite(path: Path, change: Callable[[Any], Any]) -> None:
    """Change a JSON file as somebody would who has no secret."""
    content = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(change(content) or content), encoding="utf-8")


def forge(folder: Path, change: Callable[[dict[str, Any]], Any]) -> Path:
    """Change a bundle's description and set its hash right, as anyone can."""
    path = folder / bundle.DESCRIPTION
    content = json.loads(path.read_text(encoding="utf-8"))
    change(content)
    content["sha256"] = bundle._digest(content)
    path.write_text(json.dumps(content), encoding="utf-8")
    return folder


# --- descriptions -------------------------------------------------------------------------------


NAMES = ("../model.onnx", "/etc/passwd", "a/../../b", "..", "", "a\0b", "./model.onnx", "other.bin")


@pytest.mark.parametrize("name", NAMES)
def test_a_bundle_has_its_two_files_and_no_name_of_anyones_choice(
    own: Params, tmp_path: Path, name: str
) -> None:
    folder = tiny_model.bundles(tmp_path / "b", 1)[0]
    outside = tmp_path / "b" / "model.onnx"
    outside.write_bytes(b"outside")
    forge(folder, lambda d: d["files"].update({name: hashlib.sha256(b"outside").hexdigest()}))
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(IntegrityError, match=r"model\.json"):
        bundle.load(folder)
    with pytest.raises(IntegrityError):
        PromotionHistory(own, tmp_path / "archive").keep("1", folder)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("name", [bundle.GRAPH, bundle.CARD, bundle.DESCRIPTION])
@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_a_bundles_files_are_files(tmp_path: Path, name: str, kind: str) -> None:
    folder = tiny_model.bundles(tmp_path, 1)[0]
    path = folder / name
    moved = path.rename(tmp_path / "moved")
    if kind == "link":
        path.symlink_to(moved)
    elif kind == "pipe":
        os.mkfifo(path)  # who opens it to read would wait for ever
    else:
        path.mkdir()
    with pytest.raises((IntegrityError, InputError)):
        bundle.load(folder)


@pytest.mark.parametrize(
    "change",
    [
        *(lambda d, k=key: d.pop(k) for key in (
            "files", "features", "model_name", "training_end", "horizon", "metrics", "levels",
        )),
        lambda d: d.update(features="hour_of_day"),
        lambda d: d.update(features=[]),
        lambda d: d.update(features=[1]),
        lambda d: d.update(training_end="mañana"),
        lambda d: d.update(model_name="../../x"),
        lambda d: d.update(files=[]),
        lambda d: d["files"].pop(bundle.GRAPH),
        lambda d: d["files"].update({bundle.GRAPH: 1}),
        lambda d: d.update(metrics=[1]),
        lambda d: d.update(format=2),
    ],
)  # fmt: skip
def test_a_description_that_lacks_something_is_refused(
    tmp_path: Path, change: Callable[[dict[str, Any]], Any]
) -> None:
    folder = forge(tiny_model.bundles(tmp_path, 1)[0], change)
    with pytest.raises(IntegrityError, match=r"model\.json"):
        bundle.load(folder)


@pytest.mark.parametrize(
    "text",
    [DEEP, '{"a":' * 50_000, '{"a": ' + "[" * 500 + "]" * 500 + "}", "[]", "{", "null",
     '{"a": "\\ud800"}', "9" * 9000],
)  # fmt: skip
def test_a_description_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    folder = tiny_model.bundles(tmp_path, 1)[0]
    (folder / bundle.DESCRIPTION).write_text(text, encoding="utf-8")
    with pytest.raises(IntegrityError, match=r"model\.json"):
        bundle.load(folder)


def test_a_file_that_changes_while_it_is_copied_is_not_kept(own: Params, tmp_path: Path) -> None:
    loaded = bundle.load(tiny_model.bundles(tmp_path, 1)[0])
    (loaded.path / bundle.GRAPH).write_bytes(b"other")
    with pytest.raises(IntegrityError):
        bundle.publish(loaded, str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "name", ["..", "a/../../b", "/etc/x", "a//b", "", ".", "a\\b", "a\0b", "a/"]
)
def test_an_objects_name_does_not_lead_out_of_the_copy(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "_objects", lambda uri: ["model.onnx", name])
    monkeypatch.setattr("tempfile.mkdtemp", lambda **_: str(tmp_path))
    with pytest.raises(IntegrityError):
        files.local_folder("gs://bucket/models/1")
    assert list(tmp_path.iterdir()) == []
    assert files.check_name("features/part-0.parquet") == "features/part-0.parquet"


# --- the record of who serves -------------------------------------------------------------------


def test_what_is_written_here_is_read_here(promotions: PromotionHistory) -> None:
    promotions.promote("1", START + timedelta(hours=1), Canary("2", 0.1))
    again = PromotionHistory(tiny_model.settings())
    assert (again.versions(), again.champion()) == (["1", "2"], "1")
    assert Predictor.load(again.bundle("2")).name == "popularity@2"
    assert record(promotions).read_text(encoding="utf-8").count('"seal"') == 1


@pytest.mark.parametrize(
    "change",
    [
        lambda r: r["promotions"].append(r["promotions"][0] | {"version": "2"}),
        lambda r: r["promotions"][0].update(effective_from="2030-01-01T00:00:00Z"),
        lambda r: r["versions"].update({"1": r["versions"]["2"]}),
        lambda r: r.pop("versions") and None,
        lambda r: r.pop("seal") and None,
        lambda r: r.update(seal="0" * 64),
        lambda r: r.update(seal=None),
        lambda r: {"promotions": [r["promotions"][0] | {"version": "../../../x"}]},
    ],
)
def test_a_promotion_that_somebody_else_wrote_does_not_count(
    promotions: PromotionHistory, change: Callable[[Any], Any]
) -> None:
    rewrite(record(promotions), change)
    for read in (promotions.periods, promotions.versions, lambda: promotions.bundle("1"),
                 lambda: promotions.promote("1", START)):  # fmt: skip
        with pytest.raises(IntegrityError, match="spotify-mlops seal") as caught:
            read()
        assert caught.value.exit_code == 6


@pytest.mark.parametrize("text", [DEEP, "[]", "{", '{"promotions": 1}', "9" * 9000])
def test_a_damaged_record_is_one_error(promotions: PromotionHistory, text: str) -> None:
    record(promotions).write_text(text, encoding="utf-8")
    with pytest.raises(IntegrityError, match=r"schedule\.json"):
        promotions.periods()


@pytest.mark.parametrize(
    "content",
    [
        {"promotions": [{"effective_from": "ayer", "version": "1", "promoted_at": "ayer"}]},
        {"promotions": [{"version": "1"}]},
        {"promotions": [], "versions": {"../../x": "0"}},
    ],
)
def test_a_record_of_another_shape_is_not_adopted(
    promotions: PromotionHistory, content: Any
) -> None:
    record(promotions).write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(IntegrityError, match="está dañado"):
        promotions.adopt()


def test_a_bundle_takes_the_place_of_no_other(promotions: PromotionHistory, tmp_path: Path) -> None:
    """Its own hashes are right, whether it is somebody's own or another version's."""
    for source in (Path(promotions.uri) / "2", tiny_model.bundles(tmp_path / "c", 3)[2]):
        shutil.rmtree(Path(promotions.uri) / "1")
        shutil.copytree(source, Path(promotions.uri) / "1")
        bundle.load(Path(promotions.uri) / "1")
        with pytest.raises(IntegrityError, match="no es la que se guardó"):
            promotions.bundle("1")


def test_what_the_platform_hands_over_is_what_was_kept(
    promotions: PromotionHistory, tmp_path: Path
) -> None:
    one = f"file://{promotions.uri}/1"
    assert FixedModel(one, promotions).current().name == "popularity@1"
    shutil.copytree(Path(promotions.uri) / "2", Path(promotions.uri) / "1", dirs_exist_ok=True)
    with pytest.raises(IntegrityError, match="no es la que se guardó"):
        FixedModel(one, promotions)
    # A folder that its caller chose is believed as far as its hashes go.
    elsewhere = shutil.copytree(Path(promotions.uri) / "2", tmp_path / "mounted" / "7")
    assert FixedModel(str(elsewhere), promotions).current().name == "popularity@7"


def test_nothing_is_written_through_a_link(own: Params, tmp_path: Path) -> None:
    promotions = PromotionHistory(own)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    Path(promotions.uri).mkdir(parents=True)
    (Path(promotions.uri) / "1").symlink_to(elsewhere)
    with pytest.raises(IntegrityError, match="enlace"):
        promotions.keep("1", tiny_model.bundles(tmp_path / "b", 1)[0])
    assert list(elsewhere.iterdir()) == []


# --- training runs ------------------------------------------------------------------------------


def test_a_training_run_is_the_one_that_was_saved(own: Params, tmp_path: Path) -> None:
    result = tiny_model.result()
    folder = result.save(tmp_path / "runs")
    assert TrainingResult.load(tmp_path / "runs").metrics.equals(result.metrics)
    with pytest.raises(InputError):
        TrainingResult.load(tmp_path / "runs", "../runs/" + folder.name)
    whole = tmp_path / "whole"
    shutil.copytree(folder, whole)

    def spoilt(change: Callable[[], Any]) -> None:
        shutil.rmtree(folder)
        shutil.copytree(whole, folder)
        change()
        with pytest.raises(IntegrityError, match="notebooks --from 4"):
            TrainingResult.load(tmp_path / "runs")

    run = folder / "run.json"
    other = tiny_model.bundles(tmp_path / "b", 1)[0]
    spoilt(lambda: rewrite(run, lambda r: r.update(family="seed")))
    spoilt(lambda: rewrite(run, lambda r: r.update(predictions=1)))
    spoilt(lambda: rewrite(run, lambda r: r["digests"].pop("bundle") and None))
    spoilt(lambda: rewrite(run, lambda r: r.pop("seal") and None))
    spoilt(lambda: run.write_text(DEEP))
    spoilt(lambda: result.candidates.write_parquet(folder / "predictions.parquet"))
    spoilt(lambda: (folder / "predictions.parquet").unlink())
    spoilt(lambda: shutil.copytree(other, folder / "bundle", dirs_exist_ok=True))


# --- state folders ------------------------------------------------------------------------------


def test_a_seal_moves_with_its_state_folder_and_is_no_other_clones(
    promotions: PromotionHistory, own: Params, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = tiny_model.result()
    result.save(tmp_path / "state" / "training")
    (tmp_path / "state").rename(tmp_path / "moved")
    monkeypatch.setenv("SPOTIFY_MLOPS_STATE", str(tmp_path / "moved"))
    assert PromotionHistory(own).champion() == "1"
    TrainingResult.load(tmp_path / "moved" / "training")
    monkeypatch.setenv("SPOTIFY_MLOPS_STATE", str(tmp_path / "other"))
    shared = own.replace(archive=str(tmp_path / "moved" / "archive" / own.profile))
    with pytest.raises(IntegrityError):
        PromotionHistory(shared).champion()
    with pytest.raises(IntegrityError):
        TrainingResult.load(tmp_path / "moved" / "training")


def without_seals(promotions: PromotionHistory) -> None:
    """Leave the archive as the release before seals did."""
    rewrite(record(promotions), lambda r: {"promotions": r["promotions"]})


def test_models_of_before_are_sealed_by_the_main_job_and_once(
    promotions: PromotionHistory, own: Params, capsys: pytest.CaptureFixture[str]
) -> None:
    periods = promotions.periods()
    without_seals(promotions)
    with pytest.raises(IntegrityError, match="versión anterior"):
        promotions.champion()
    _adopt(own)
    assert "sellados: 1, 2" in capsys.readouterr().err
    assert (promotions.periods(), promotions.versions()) == (periods, ["1", "2"])
    rewrite(record(promotions), lambda r: r["promotions"].clear())
    _adopt(own)  # somebody changed what was sealed: that is not of before
    with pytest.raises(IntegrityError):
        promotions.champion()


def test_models_of_before_elsewhere_are_sealed_by_who_vouches_for_them(
    promotions: PromotionHistory, own: Params, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    without_seals(promotions)
    shared = tmp_path / "shared"
    Path(promotions.uri).parent.parent.rename(shared)
    away = own.replace(archive=str(shared))
    _adopt(away)
    with pytest.raises(IntegrityError):
        PromotionHistory(away).champion()
    options = ["--set", f"archive={shared}", "--json"]
    main.app.main(["seal", *options], standalone_mode=False)
    answer = json.loads(capsys.readouterr().out)
    assert (sorted(answer["versions"]), answer["champion"]) == (["1", "2"], "1")
    assert PromotionHistory(away).champion() == "1"
    (shared / "models" / own.model.name / "2" / bundle.GRAPH).write_bytes(b"other")
    with pytest.raises(IntegrityError, match="SHA-256"):
        PromotionHistory(away).adopt()


def test_a_new_secret_makes_the_old_seals_void(
    promotions: PromotionHistory, tmp_path: Path
) -> None:
    (tmp_path / "state" / secret.FILE).unlink()
    with pytest.raises(IntegrityError, match="spotify-mlops seal"):
        promotions.champion()


def test_in_a_bucket_there_is_no_seal(monkeypatch: pytest.MonkeyPatch, own: Params) -> None:
    """No secret is asked for: a container has none."""
    monkeypatch.setattr(secret, "key", lambda purpose: pytest.fail("asked for a secret"))
    folder = tiny_model.bundles(Path(os.environ["SPOTIFY_MLOPS_STATE"]), 1)[0]
    with storage_server.running() as bucket:
        promotions = PromotionHistory(params.load("local", archive=f"{storage_server.URL}/x"))
        promotions.keep("1", folder)
        promotions.promote("1", START)
        assert (promotions.versions(), promotions.champion()) == (["1"], "1")
        assert promotions.bundle("1").digest == bundle.load(folder).digest
        content = bucket.blob("x/models/popularity/schedule.json").download_as_bytes()
    assert b"seal" not in content
