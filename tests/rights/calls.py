"""What was asked of Google, as recorded, and what each call needs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from . import tables
from .recorder.sitecustomize import GOOGLE, TEST
from .tables import Method

PROJECT = ("project", "")
RPC = "RPC"
_NESTED = re.compile(r"^([A-Z]+) (\S+) HTTP/1\.1\r?$", re.MULTILINE)
"""A request within another (a batch)."""
_SCHEMA = re.compile(r"\b(\w+)`?\.`?(?:spotify_\w+|__TABLES__|INFORMATION_SCHEMA)")
"""A dataset in a query."""


@dataclass(frozen=True)
class Need:
    """A permission that an account needs on something, and the call that needs it."""

    who: str
    permission: str
    on: tuple[str, str]
    """Kind and name; `PROJECT` for what is of no resource."""
    method: str

    def __str__(self) -> str:
        kind, name = self.on
        return f"{self.who}: {self.permission} on {kind} {name}".rstrip() + f", for {self.method}"


@dataclass(frozen=True)
class Call:
    """A call as it was heard."""

    who: str
    where: str
    """Host and port; empty in gRPC."""
    verb: str
    """Of HTTP, or ``RPC``."""
    path: str
    """In gRPC, the method and what routes the call."""
    body: str
    is_beside: bool = False
    """Whether whoever made it does as well without it."""

    @property
    def resource(self) -> str:
        """Return the path of what is asked for, without a query."""
        return self.path if self.verb == RPC else unquote(urlsplit(self.path).path)

    @property
    def is_of_an_account(self) -> bool:
        """Tell whether an account of the platform made it."""
        return self.who not in (TEST, GOOGLE)


def read(file: Path) -> list[Call]:
    """Return the calls that were recorded, those of a batch one by one."""
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    bodies: dict[tuple[int, int], str] = {}
    for line in lines:
        if "body" in line:
            key = line["pid"], line["call"]
            bodies[key] = bodies.get(key, "") + line["body"]
    found = []
    for line in lines:
        if "rpc" in line:
            path = f"{line['rpc']}?{unquote(line['routing'])}"
            found.append(Call(line["who"], "", RPC, path, ""))
        elif "path" in line:
            body = bodies.get((line["pid"], line["call"]), "")
            heard = (line["who"], line["where"], line["method"], line["path"])
            found.append(Call(*heard, body, line["beside"]))
    return found


def needs(calls: Iterable[Call]) -> set[Need]:
    """Return what the calls of the platform's accounts need.

    Raises:
        AssertionError: a call is of no method that `tables` knows; the message has each.
    """
    found: set[Need] = set()
    unknown: set[str] = set()
    for call in (part for each in calls for part in _parts(each) if each.is_of_an_account):
        if call.is_beside or tables.NO_METHOD.fullmatch(call.resource):
            continue
        for method in tables.METHODS:
            named = method.path.fullmatch(call.resource)
            if call.verb in method.verbs and named is not None:
                found |= set(_needs(call, method, named.groupdict()))
                break
        else:
            unknown.add(f"{call.who}: {call.verb} {call.where}{call.resource}")
    assert not unknown, f"no methods of tables.METHODS: {sorted(unknown)}"
    return found


def _parts(call: Call) -> Iterator[Call]:
    yield call
    if call.path.startswith("/batch/"):
        for verb, path in _NESTED.findall(call.body):
            yield Call(call.who, call.where, verb, path, "")


def _needs(call: Call, method: Method, named: Mapping[str, str]) -> Iterator[Need]:
    asked_for = [*((permission, named) for permission in method.needs), *_asked_for(method, call)]
    for permission, resources in asked_for:
        on = _on(permission, resources)
        # Where BigQuery keeps the results of a query, for whoever asked it.
        if on[0] != "dataset" or not on[1].startswith("_"):
            yield Need(call.who, permission, on, method.name)


def _on(permission: str, resources: Mapping[str, str]) -> tuple[str, str]:
    """Return on what a permission is needed, of the resources that a call names."""
    if permission not in tables.ON_PROJECT:
        for beginning, kind in tables.KINDS.items():
            if permission.startswith(beginning):
                return kind, resources[kind]
    return PROJECT


def _content(body: str) -> dict[str, Any]:
    """Return the JSON of a request; nothing where that is none, or a batch."""
    try:
        found = json.loads(body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _asked_for(method: Method, call: Call) -> Iterator[tuple[str, Mapping[str, str]]]:
    """Yield what a call needs by what it says: permissions, and the resources of them."""
    content = _content(call.body)
    if method.name == "bigquery.jobs.query":
        yield from _of_query(content)
    elif method.name == "bigquery.jobs.insert" and call.verb == "POST":  # and PUT brings the rows
        job = content["configuration"]
        yield from _of_query(job["query"]) if "query" in job else _of_load(job["load"])
    elif method.name == "run.workerPools.patch":  # what runs there is who watches
        yield tables.ACT_AS, {"account": "watcher"}
    for email in _accounts(content):
        yield tables.ACT_AS, {"account": email.partition("@")[0]}


def _of_query(query: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, str]]]:
    sql = query["query"]
    datasets = set(_SCHEMA.findall(sql)) or {query["defaultDataset"]["datasetId"]}
    for permission in tables.STATEMENTS[sql.split(None, 1)[0].upper()]:
        yield from ((permission, {"dataset": dataset}) for dataset in datasets)


def _of_load(load: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, str]]]:
    dataset = {"dataset": load["destinationTable"]["datasetId"]}
    yield from ((permission, dataset) for permission in tables.LOAD)
    for bucket in {uri.split("/")[2] for uri in load.get("sourceUris", ())}:
        yield from ((permission, {"bucket": bucket}) for permission in tables.LOAD_FROM)


def _accounts(content: Any) -> Iterator[str]:
    """Yield the service accounts that something is to run as, wherever a request says it."""
    if isinstance(content, dict):
        for name, value in content.items():
            if name in ("serviceAccount", "serviceAccountEmail"):
                yield value
            else:
                yield from _accounts(value)
    elif isinstance(content, list):
        for value in content:
            yield from _accounts(value)
