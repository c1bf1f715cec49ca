"""What the program of infra/platform declares for params: without an engine, and without a network.

Pulumi's own mocks take the place of its engine; what they are given is what would be made.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pulumi
from pulumi.runtime import mocks
from spotify_platform import program

from spotify_mlops.config.params import Params

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
        return super().RegisterResource(request)


def declared(params: Params) -> list[Declared]:
    """Run the program for params and return what it declares, providers too.

    Raises:
        ParamsError: the program refuses the params.
    """
    from pulumi.runtime.rpc import deserialize_properties

    monitor = _Monitor()
    mocks.set_mocks(monitor.mocks, project="spotify-mlops", stack="test", monitor=monitor)

    @pulumi.runtime.test
    def run() -> None:
        program.make(params)

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
