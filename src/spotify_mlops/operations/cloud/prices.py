"""What things cost, as the one file of list prices says: `prices.yaml`."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Literal

import yaml

FILE = Path(__file__).with_name("prices.yaml")
HOURS = 730
"""Of a month, as Google Cloud counts it."""
Basis = Literal["list", "derived", "other_cloud"]


@dataclass(frozen=True)
class Price:
    """What one unit of something costs."""

    usd: float | None
    """None where nobody knows it."""
    unit: str
    """Spanish, as bills have it: ``GiB mes``, ``vCPU h``."""
    source: str
    """The page that says it, or that is to be asked."""
    read: date | None = None
    """When that page was read."""
    free: float = 0.0
    """Units of a month that cost nothing."""
    basis: Basis = "list"

    def of(self, quantity: float) -> float | None:
        """Return the USD of so many units in a month; None where the price is not known."""
        return None if self.usd is None else self.usd * max(0.0, quantity - self.free)


@functools.cache
def _content() -> dict[str, Any]:
    return dict(yaml.safe_load(FILE.read_text(encoding="utf-8")))


def region() -> str:
    """Return where the prices hold."""
    return str(_content()["region"])


def price(name: str) -> Price:
    """Return a price by its name in the file."""
    return Price(**_content()[name])


def each(name: str) -> float:
    """Return the USD of a unit, where a cost cannot be worked out without.

    Raises:
        LookupError: the file has no price of it.
    """
    usd = price(name).usd
    if usd is None:
        raise LookupError(f"{FILE.name} has no price of {name}")
    return usd


def vertex_node(machine: str) -> Price:
    """Return what an hour of a machine costs that Vertex AI serves or trains with."""
    return _listed("machines", machine, "derived", _content()["vertex_times_compute"])


def atlas(tier: str) -> Price:
    """Return what an hour of a cluster of MongoDB Atlas costs."""
    return _listed("atlas", tier, _content()["atlas"]["basis"], 1.0)


def _listed(table: str, name: str, basis: Basis, times: float) -> Price:
    found = _content()[table]
    usd = found["usd"].get(name)
    return Price(
        usd=None if usd is None else usd * times,
        unit="h",
        source=found["source"],
        read=None if usd is None else found["read"],
        basis=basis,
    )
