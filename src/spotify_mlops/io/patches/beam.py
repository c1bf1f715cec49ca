"""Apache Beam 2.77: how often a worker samples where its time goes, and what it reads of methods.

A bundle that has done its work waits until the thread that samples it wakes up and sees that it can
end (``stop`` in ``runners/worker/statesampler_fast.pyx``): up to a sixth of what the bundle took,
in each stage one after the other. Beam's period grows with the bundle, up to 200 ms. Prism's loop
over the bundle (``Execute`` in ``runners/prism/internal/stage.go``) spins meanwhile, as the
bundle's output is there and its answer is not. There is no option: ``BundleProcessor`` makes its
sampler with the default.

To know whether a ``DoFn`` has state, Beam reads the arguments of all its methods from their
signatures (``get_dofn_specs`` of ``transforms/userstate.py``), again each time that a graph is
written or read: a quarter of what an interactive pipeline takes.
"""

from __future__ import annotations

from types import FunctionType, MethodType
from typing import Any
from weakref import WeakKeyDictionary

from apache_beam.runners.worker import statesampler
from apache_beam.transforms import core

SAMPLING_MS = 2


class _BriefSampler(statesampler.StateSampler):
    def __init__(self, prefix: str, counter_factory: Any) -> None:
        super().__init__(prefix, counter_factory, sampling_period_ms=SAMPLING_MS)


_Arguments = tuple[list[str], list[Any]]
_read_arguments = core.get_function_args_defaults
_arguments: WeakKeyDictionary[FunctionType, _Arguments] = WeakKeyDictionary()
"""Of methods, without the first: a function's never change."""


def _arguments_of(f: Any) -> _Arguments:
    own = getattr(f, "__func__", None)
    if not (isinstance(f, MethodType) and isinstance(own, FunctionType)):
        return _read_arguments(f)
    if own not in _arguments:
        _arguments[own] = _read_arguments(f)
    names, defaults = _arguments[own]
    return [*names], [*defaults]


def apply() -> None:
    """Make the workers of this process sample often, and Beam read each method's arguments once.

    Harmless when repeated.
    """
    statesampler.StateSampler = _BriefSampler  # type: ignore[misc, assignment]
    core.get_function_args_defaults = _arguments_of
