"""Shared by all tests."""

import tempfile
from collections.abc import Iterator

import pytest
from hypothesis import settings

# A busy machine makes a step wait for seconds: how long an example takes says nothing here.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")


@pytest.fixture(scope="session", autouse=True)
def _temporary_files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What a library forgets to remove, Beam a folder for each job, goes with the session."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("TMPDIR", str(tmp_path_factory.mktemp("tmp")))
        patched.setattr(tempfile, "tempdir", None)  # what the variable said before
        yield
