"""Running checks: all at once, each in bounded time, and none that fails stops the others."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from importlib import import_module

from google.auth.exceptions import GoogleAuthError

from ....config.errors import UserError, one_line
from ....io.google_apis import RefusedError
from ...engines import cluster
from .finding import Check, Context, Finding, State

PATIENCE = 30.0
"""Seconds for all of them."""


def run(
    context: Context,
    checks: Mapping[str, Check],
    patience: float = PATIENCE,
    fault: State = "bad",
) -> list[Finding]:
    """Return what each check found, in their order; one that does not end is not known.

    Args:
        context: what they look at.
        checks: by their names.
        patience: seconds; a check that is still waiting then is left behind.
        fault: what it is where something does not answer.
    """
    _import_shared(context)
    found: dict[str, Finding | None] = {}

    def look(name: str, check: Check) -> None:
        found[name] = guarded(name, check, context, fault)

    threads = {
        # Left behind when time is up, and not waited for at the end of the process either.
        name: threading.Thread(target=look, args=(name, check), name=name, daemon=True)
        for name, check in checks.items()
    }
    for thread in threads.values():
        thread.start()
    deadline = time.monotonic() + patience
    for thread in threads.values():
        thread.join(max(0.0, deadline - time.monotonic()))
    slow = {"seconds": patience}
    results = (found.get(name, Finding(name, "unknown", "slow", slow)) for name in checks)
    return [finding for finding in results if finding is not None]


def _import_shared(context: Context) -> None:
    """Import what several checks need: threads that meet in a circle of imports find half of it."""
    if context.params.engine.runner != "prism":
        cluster.of(context.params)
    if context.is_in_google:
        import_module("google.cloud.bigquery")
        import_module("google.cloud.aiplatform_v1")


def guarded(name: str, check: Check, context: Context, fault: State = "bad") -> Finding | None:
    """Return what a check found, or why it could not look."""
    try:
        return check(context)
    except RefusedError as error:
        reason = "forbidden" if error.is_forbidden else "refused"
        return Finding(name, "unknown", reason, {"status": error.status, "said": one_line(error)})
    except Exception as error:
        said = {"said": one_line(error, 300)}
        if any(isinstance(each, GoogleAuthError) for each in _causes(error)):
            return Finding(name, "unknown", "no_identity", said)
        if isinstance(error, UserError):
            return Finding(name, fault, "said", said)
        return Finding(
            name, "unknown", "failed", {"said": f"{type(error).__name__}: {said['said']}"}
        )


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
