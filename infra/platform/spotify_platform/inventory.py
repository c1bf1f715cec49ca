"""What the program declares for params: without an engine, and without a network.

Pulumi's own mocks take the place of its engine; what they are given is what would be made. As a
command it counts that, by kinds, for the params of its environment.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pulumi
from pulumi.runtime import mocks
from pulumi.runtime.rpc import deserialize_properties

from spotify_mlops.config import params as parameters
from spotify_mlops.config.errors import UserError
from spotify_mlops.config.params import Params

from . import program

BILLING_ACCOUNT = "AAAAAA-BBBBBB-CCCCCC"
PROJECT_NUMBER = "123456789012"
LEAVES_BY = "203.0.113.7"
"""The address that Google gives for what leaves the network."""


@dataclass(frozen=True)
class Declared:
    """A resource, as the engine is asked for it."""

    kind: str
    """Pulumi's type: ``gcp:storage/bucket:Bucket``."""
    name: str
    inputs: Mapping[str, Any]
    """By Pulumi's names, in camel case."""
    protected: bool
    provider: str
    after: frozenset[str]
    """The names of what it depends on."""

    @property
    def short(self) -> str:
        """Module and class, such as ``storage.Bucket``."""
        module, _, kind = self.kind.removeprefix("gcp:").partition("/")
        return f"{module}.{kind.rpartition(':')[2]}"


class _Mocks(mocks.Mocks):
    def call(self, args: mocks.MockCallArgs) -> Any:
        assert args.token == "gcp:organizations/getProject:getProject", args.token
        return {"billingAccount": BILLING_ACCOUNT, "number": PROJECT_NUMBER}

    def new_resource(self, args: mocks.MockResourceArgs) -> Any:
        known: dict[str, Any] = {"name": args.name}  # which Google gives, where nobody says one
        if args.typ == "gcp:serviceaccount/account:Account":
            email = f"{args.inputs['accountId']}@project.iam.gserviceaccount.com"
            known |= {"email": email, "member": f"serviceAccount:{email}"}
        if args.typ == "gcp:compute/address:Address":
            known |= {"address": LEAVES_BY, "selfLink": f"addresses/{args.name}"}
        return f"{args.name}-id", known | dict(args.inputs)


class _Monitor(mocks.MockMonitor):
    def __init__(self) -> None:
        super().__init__(_Mocks())
        self.requests: list[Any] = []

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802
        if request.type != "pulumi:pulumi:Stack":
            self.requests.append(request)
        return super().RegisterResource(request)  # type: ignore[no-untyped-call]


@contextmanager
def _event_loop() -> Iterator[None]:
    """Give Pulumi a loop of its own: it wants a current one, which ``asyncio.run`` takes away."""
    loop = asyncio.SelectorEventLoop()
    asyncio.set_event_loop(loop)
    try:
        yield
    finally:
        asyncio.set_event_loop(None)
        loop.close()


def declared(params: Params) -> list[Declared]:
    """Run the program for params and return what it declares, providers too.

    Raises:
        ParamsError: the program refuses the params.
    """
    monitor = _Monitor()

    @pulumi.runtime.test  # type: ignore[untyped-decorator]
    def run() -> None:
        program.make(params)

    with _event_loop():
        mocks.set_mocks(monitor.mocks, project="spotify-mlops", stack="test", monitor=monitor)
        run()
    return [
        Declared(
            request.type,
            request.name,
            deserialize_properties(request.object),
            request.protect,
            request.provider,
            frozenset(urn.rpartition("::")[2] for urn in request.dependencies),
        )
        for request in monitor.requests
    ]


def of_kind(resources: Iterable[Declared], short: str) -> list[Declared]:
    """Return those of a kind, such as ``storage.Bucket``."""
    return [resource for resource in resources if resource.short == short]


def main() -> None:
    """Write how many resources of each kind the program declares, as JSON."""
    try:
        made = declared(parameters.load("gcp"))
    except UserError as error:
        sys.exit(str(error))
    kinds = Counter(one.short for one in made if not one.kind.startswith("pulumi:"))
    sys.stdout.write(json.dumps(kinds))


if __name__ == "__main__":
    main()
