"""What a JobManager's answers say of a job."""

from __future__ import annotations

from typing import Any

import pytest

from spotify_mlops.io import flink

END = str(2**63 - 1)
NODES = [{"id": "read"}, {"id": "write", "inputs": [{"id": "read"}]}]


@pytest.mark.parametrize(
    ("plan", "reached", "exhausted"),
    [
        ({"nodes": NODES}, [END, END], True),
        ({"nodes": NODES}, [END, "5"], False),
        ({"nodes": NODES}, [], False),
        ({"nodes": []}, [END], False),
        ({}, [END], False),  # as Flink answers of a job that has only begun
    ],
)
def test_a_job_is_exhausted_when_its_last_steps_are(
    plan: dict[str, Any], reached: list[str], exhausted: bool
) -> None:
    answers: dict[str, Any] = {
        "/jobs/a": {"plan": plan},
        "/jobs/a/vertices/write/watermarks": [{"id": "0", "value": each} for each in reached],
    }
    assert flink.is_exhausted(answers.__getitem__, "a") is exhausted
