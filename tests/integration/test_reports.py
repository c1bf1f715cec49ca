"""Reports of real papermill runs: two seeds, the second with its notebooks in another order."""

from __future__ import annotations

import os
import re
import shutil
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import browser
import nbformat
import pages
import pytest
import worlds
import yaml

import lenient
from spotify_mlops import sources
from spotify_mlops.config import params, paths
from spotify_mlops.config.params import Params
from spotify_mlops.config.spanish import number
from spotify_mlops.operations import apps, bounded
from spotify_mlops.presentation import notebooks, report, results
from spotify_mlops.presentation.report import history

SMALL: dict[str, Any] = {**worlds.NOTEBOOKS, "shards": 2, **lenient.GATE}
SEED = 7
ORDERS = {
    SEED: (1, 2, 3, 4, 5, 6),
    21: (1, 2, 3, 4, 5, 2, 6),  # once all have run, in any order
}
"""The notebooks that run, by seed."""
SCORES = {
    "01_business": {"persistence_macro_f1": 0.532},
    "04_modeling": {"validation_macro_f1": 0.622},
    "05_evaluation": {"macro_f1": 0.597, "macro_f1_persistence": 0.522, "average_precision": 0.550},
}
"""What models of that seed's events score. The last digits are the machine's own."""
COUNTS = {
    "01_business": {"rows": 12_766},
    "02_eda": {
        "events": 39_600, "late": 400, "duplicates": 800, "dead_letters": 400,
        "repeated_in_view": 0,
    },
    "03_preparation": {
        "records": 41_204, "feature_rows": 13_209, "labels": 12_766,
        "leak_differences": 0, "same_without_beam": True,
    },
    "05_evaluation": {"rows": 2_520, "leak_differences": 0, "approved": True},
    "06_deployment": {"version": "1", "answers": 4, "audit_missing": 0, "audit_holds": True},
}  # fmt: skip
RESULT = re.compile(r"\d+,\d{3}\b")
"""A score or a difference, as reports write them."""


@dataclass(frozen=True)
class Run:
    """One run's reports."""

    settings: Params
    folder: Path

    @property
    def pages(self) -> list[Path]:
        return sorted(self.folder.glob("*.html"))

    def text(self, name: str) -> str:
        """Return what was generated in a page: findings, decisions, warnings."""
        html = (self.folder / name).read_text(encoding="utf-8")
        boxes = re.findall(r'<div class="(?:finding|decision|warning)".*?</div>', html, re.DOTALL)
        return re.sub(r"<[^>]+>", " ", " ".join(boxes))


@pytest.fixture(scope="module")
def runs(services: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[int, Run]:
    found = {}
    source = paths.root() / "notebooks"
    with pytest.MonkeyPatch.context() as patched:
        for seed, order in ORDERS.items():
            home = tmp_path_factory.mktemp(f"home-{seed}")
            shutil.copytree(source, home / "notebooks")
            patched.setenv("SPOTIFY_MLOPS_HOME", str(home))
            found[seed] = _run(home, seed, order)
    return found


def _run(home: Path, seed: int, order: tuple[int, ...]) -> Run:
    unique = f"test-{uuid.uuid4().hex[:10]}"
    own = {
        "profile": unique,
        "topic": unique,
        "dataset": unique.replace("-", "_"),
        "mongo_database": unique.replace("-", "_"),
        "simulator_seed": seed,
        "model_seed": seed,
    }
    (home / "params").mkdir()
    file = home / "params" / "run.yaml"
    file.write_text(yaml.safe_dump(params.nested(SMALL | own)), encoding="utf-8")
    settings = params.load("run")
    sources.ingest_simulator(settings)
    bounded.run(settings)
    try:
        for each in order:
            notebooks.run("run", only=each)
    finally:
        apps.stop_apps()
    folder = home / "reports" / unique
    report.render(settings, folder / "executed", folder)
    return Run(settings, folder)


def test_every_page_is_there_in_spanish_and_shows_no_code(runs: dict[int, Run]) -> None:
    for run in runs.values():
        assert len(run.pages) == len(notebooks.NOTEBOOKS) + 4  # index, card, glossary, comparison
        assert pages.faults(run.pages) == []


@browser.needs_chromium
def test_pages_of_a_fresh_run_are_whole_in_a_browser(runs: dict[int, Run]) -> None:
    with browser.chromium() as chromium:
        for path in runs[SEED].pages:
            for width, scheme in ((browser.PHONE, "dark"), (browser.LAPTOP, "light")):
                with browser.opened(chromium, path.as_uri(), width, scheme) as visit:
                    visit.check()
                    assert browser.figure_faults(visit.page) == [], path.name
                    if width == browser.PHONE:
                        assert browser.accessibility_faults(visit.page) == [], path.name


@pytest.mark.parametrize("name", notebooks.NOTEBOOKS)
def test_a_fixed_seed_gives_what_it_gave(runs: dict[int, Run], name: str) -> None:
    kept = results.read(runs[SEED].folder / "executed" / f"{name}.ipynb")
    found = kept["results"]
    assert found.items() >= COUNTS.get(name, {}).items()
    scores = SCORES.get(name, {})
    assert {score: found[score] for score in scores} == pytest.approx(scores, abs=0.015)
    compared = [value for key, value in found.items() if key == "leak_compared"]
    assert all(value > 0 for value in compared)
    assert kept["parameters"] == {"profile": "run"}
    assert kept["versions"] == results.versions()


@pytest.mark.parametrize("name", ["04_modeling.html", "05_evaluation.html"])
def test_the_words_change_with_the_numbers(runs: dict[int, Run], name: str) -> None:
    """A result that somebody had written by hand would stand in both."""
    one, other = (set(RESULT.findall(run.text(name))) for run in runs.values())
    assert len(one) > 10
    allowed = {number(value, 3) for value in SMALL.values() if isinstance(value, (int, float))}
    same = (one & other) - allowed
    # Three decimals of two runs meet by chance, now and then.
    assert len(same) <= 0.25 * min(len(one), len(other)), same


def test_no_cell_leaves_a_script(runs: dict[int, Run]) -> None:
    """Interactive Beam's would be fetched from elsewhere by whoever opens the notebook."""
    copies = [path for run in runs.values() for path in (run.folder / "executed").glob("*.ipynb")]
    assert len(copies) == len(runs) * len(notebooks.NOTEBOOKS)
    for path in copies:
        outputs = (out for cell in nbformat.read(path, 4).cells for out in cell.get("outputs", ()))
        kinds = {kind for output in outputs for kind in output.get("data", {})}
        assert kinds
        assert "application/javascript" not in kinds, path.name


def test_the_cover_says_what_the_run_found(runs: dict[int, Run]) -> None:
    scores = set()
    for run in runs.values():
        facts = history.last(run.folder)
        shown = number(facts["macro_f1"]["value"], 3)
        scores.add(shown)
        assert shown in (run.folder / "index.html").read_text(encoding="utf-8")
    assert len(scores) == len(runs)


def test_no_temporary_folder_is_told(runs: dict[int, Run]) -> None:
    for run in runs.values():
        for path in run.pages:
            html = path.read_text(encoding="utf-8")
            assert str(run.folder) not in html
            assert os.environ["SPOTIFY_MLOPS_STATE"] not in html
