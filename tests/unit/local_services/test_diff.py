"""The patch of Prism's sources, and how it is applied and pinned."""

from __future__ import annotations

import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

from local_services import diff, prism
from spotify_mlops.config.errors import IntegrityError

PATCH = """Why.

--- a/one/file
+++ b/one/file
@@ -1,3 +1,4 @@
 first
-second
+2
+2.5
 third
@@ -9 +10 @@
-ninth
+9
--- /dev/null
+++ b/new/file
@@ -0,0 +1,2 @@
+--- not a file
+end
"""
WORDS = [
    "first",
    "second",
    "third",
    "fourth",
    "fifth",
    "sixth",
    "seventh",
    "eighth",
    "ninth",
    "tenth",
]


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "file").write_text("\n".join(WORDS) + "\n")
    return tmp_path


def test_hunks_and_new_files_are_applied(sources: Path) -> None:
    diff.apply(PATCH, sources)
    assert (sources / "one" / "file").read_text().split() == [
        *("first", "2", "2.5", *WORDS[2:8], "9", "tenth"),
    ]
    assert (sources / "new" / "file").read_text() == "--- not a file\nend\n"


@pytest.mark.skipif(shutil.which("patch") is None, reason="there is no patch(1) to compare with")
def test_it_does_what_patch_does(sources: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = tmp_path_factory.mktemp("other")
    shutil.copytree(sources, other, dirs_exist_ok=True)
    diff.apply(PATCH, sources)
    subprocess.run(["patch", "-s", "-p1"], cwd=other, input=PATCH, text=True, check=True)
    for name in ("one/file", "new/file"):
        assert (sources / name).read_bytes() == (other / name).read_bytes()


def test_sources_that_are_not_the_expected_ones_are_refused(sources: Path) -> None:
    (sources / "one" / "file").write_text("\n".join(["inserted", *WORDS]) + "\n")
    with pytest.raises(IntegrityError, match="one/file, línea 1"):
        diff.apply(PATCH, sources)


def test_a_module_with_another_hash_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "module.zip", "w") as module:
        module.writestr(f"{prism.MODULE}@{prism.VERSION}/go.mod", "module changed\n")
    with pytest.raises(IntegrityError, match="no es el módulo esperado"):
        prism._sources(tmp_path / "module.zip", tmp_path / "sources")
    assert not (tmp_path / "sources").exists()


def test_a_program_built_without_the_patch_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    ours = prism.location()
    monkeypatch.setattr(prism, "_read", lambda name: "another patch")
    assert prism.location() != ours
