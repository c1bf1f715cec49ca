"""The Web API's client against a server on loopback: tokens, limits, refusals, faults."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from hands import Hands
from spotify_mlops.config import params
from spotify_mlops.config.errors import ParamsError, ServiceError, UserError
from spotify_mlops.io import webapi
from spotify_mlops.io.http import peers
from spotify_mlops.io.webapi.budget import Budget
from webapi_server import CLIENT, ENVIRONMENT, REFRESH, Reply, WebApi, serving

SECRETS = (CLIENT[1], REFRESH)


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[WebApi]:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    with serving() as found:
        found.contents["search"] = Reply.of({"found": 1})
        yield found


@pytest.fixture
def hands() -> Hands:
    return Hands(datetime(2026, 5, 1, tzinfo=UTC))


def profile(api: WebApi, **changes: Any) -> params.Params:
    return params.load("local", **{"webapi_address": api.address} | changes)


def client(
    api: WebApi, hands: Hands, told: list[str] | None = None, **changes: Any
) -> webapi.Client:
    say = (told if told is not None else []).append
    return webapi.Client(profile(api, **changes), hands.clock(), say, pause=1e-4)


def test_one_token_serves_many_requests_and_is_renewed_before_it_ends(
    api: WebApi, hands: Hands
) -> None:
    with client(api, hands) as ours:
        for _ in range(3):
            assert ours.get("search", q="a b&c", limit=10) == {"found": 1}
        hands.clock().wait(3600 - 30)
        ours.get("search")
    assert api.tokens == 2
    assert api.asked[0].query == {"grant_type": "client_credentials"}
    assert api.asked[1].query == {"q": "a b&c", "limit": "10"}
    assert ours.requests == 6


def test_a_listener_has_a_token_of_their_own(api: WebApi, hands: Hands) -> None:
    with client(api, hands) as ours:
        assert ours.get("search", as_listener=True) == {"found": 1}
    assert api.asked[0].query == {"grant_type": "refresh_token", "refresh_token": REFRESH}


def test_a_token_that_is_not_taken_is_renewed_once(api: WebApi, hands: Hands) -> None:
    with client(api, hands) as ours:
        ours.get("search")
        api.fail("search", Reply.error(401, "The access token expired"))
        assert ours.get("search") == {"found": 1}
        assert api.tokens == 2
        api.fail("search", *[Reply.error(401, "Invalid access token")] * 2)
        with pytest.raises(webapi.CredentialsError, match=r"401: Invalid access token.*panel"):
            ours.get("search")
    assert api.tokens == 3


@pytest.mark.parametrize("which", ["SPOTIFY_CLIENT_SECRET", "SPOTIFY_REFRESH_TOKEN"])
def test_secrets_that_are_not_taken_are_named_and_not_shown(
    api: WebApi, hands: Hands, monkeypatch: pytest.MonkeyPatch, which: str
) -> None:
    monkeypatch.setenv(which, "planted-wrong")
    with client(api, hands) as ours, pytest.raises(ParamsError, match=which) as raised:
        ours.get("search", as_listener="REFRESH" in which)
    assert raised.value.exit_code == 2
    assert "planted" not in str(raised.value)


def test_a_missing_secret_is_named(
    api: WebApi, hands: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SPOTIFY_CLIENT_SECRET")
    with pytest.raises(ParamsError, match="Falta la variable de entorno SPOTIFY_CLIENT_SECRET"):
        client(api, hands)


def test_it_waits_as_long_as_it_is_asked_to(api: WebApi, hands: Hands) -> None:
    told: list[str] = []
    api.fail("search", Reply.error(429, Retry_After="70"), Reply.error(429, Retry_After="0"))
    with client(api, hands, told) as ours:
        assert ours.get("search") == {"found": 1}
    assert hands.waits == [30, 30, 10, 1]
    assert told[0] == "La Web API pide esperar (429): faltan 70 s"


def test_a_wait_of_no_stated_length_has_one(api: WebApi, hands: Hands) -> None:
    api.fail("search", Reply.error(429), Reply.error(429, Retry_After="mañana"))
    with client(api, hands) as ours:
        ours.get("search")
    assert sum(hands.waits) == 60


@pytest.mark.parametrize(
    ("replies", "told"),
    [
        ([Reply.error(429, Retry_After="86400")], r"24,0 h \(429.*webapi_max_wait admite 300 s"),
        ([Reply.error(429, Retry_After="200")] * 2, "pide esperar 400 s"),
        (
            [Reply.error(429, "quota", "QUOTA_EXCEEDED", Retry_After="3600")],
            r"agotada \(QUOTA_EXCEEDED\)\. Pide esperar 60 min",
        ),
        ([Reply.error(429, "quota", "QUOTA_EXCEEDED")], r"agotada \(QUOTA_EXCEEDED\)\.$"),
    ],
)
def test_too_long_a_wait_ends_it(
    api: WebApi, hands: Hands, replies: list[Reply], told: str
) -> None:
    api.fail("search", *replies)
    with client(api, hands) as ours, pytest.raises(webapi.LimitError, match=told):
        ours.get("search")
    assert sum(hands.waits) <= 300


def test_a_wait_that_is_asked_to_end_ends(api: WebApi) -> None:
    hands = Hands(datetime(2026, 5, 1, tzinfo=UTC), until=datetime(2026, 5, 1, 0, 0, 5, tzinfo=UTC))
    api.fail("search", Reply.error(429, Retry_After="20"))
    with client(api, hands) as ours, pytest.raises(webapi.StoppedError):
        ours.get("search")


BROKEN = {
    "500": Reply.error(500),
    "503": Reply(b"upstream connect error", 503),
    "html": Reply(b"<html>"),
    "list": Reply(b"[1]"),
    "half": Reply(b'{"tracks": {"items": ['),
    "surrogate": Reply(b'{"a": "\\ud800"}'),
    "not_utf8": Reply(b'{"a": "\xff"}'),
    "deep": Reply(b'{"a": ' * 100_000),
    "cut": Reply(b'{"found": 1, "more": "xxxxxxxxxxxxxxxxxxxx"}', cut=True),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_what_passes_is_asked_for_again(api: WebApi, hands: Hands, fault: str) -> None:
    told: list[str] = []
    api.fail("search", *[BROKEN[fault]] * 4)
    with client(api, hands, told) as ours:
        assert ours.get("search") == {"found": 1}
    assert len(told) == 4
    assert told[3].endswith("Se intenta otra vez (5 de 5).")


@pytest.mark.parametrize("fault", BROKEN)
def test_what_does_not_pass_is_told(api: WebApi, hands: Hands, fault: str) -> None:
    api.fail("search", *[BROKEN[fault]] * 5)
    with client(api, hands) as ours, pytest.raises(webapi.AwayError, match="La Web API de Spotify"):
        ours.get("search")
    assert api.paths() == ["search"] * 5


def test_a_token_that_is_not_given_for_a_moment_is_asked_for_again(
    api: WebApi, hands: Hands
) -> None:
    api.fail("token", Reply.error(503), Reply(b"{}"), Reply.error(429, Retry_After="2"))
    with client(api, hands) as ours:
        assert ours.get("search") == {"found": 1}
    assert hands.waits == [2]


def test_nobody_there_is_told(api: WebApi, hands: Hands) -> None:
    gone = profile(api, webapi_address="http://127.0.0.1:9")
    ours = webapi.Client(gone, hands.clock(), pause=1e-4)
    with ours, pytest.raises(ServiceError, match=r"no responde en 127\.0\.0\.1"):
        ours.get("search")


@pytest.mark.parametrize("status", [400, 403, 404, 302])
def test_a_refusal_is_not_asked_for_again(api: WebApi, hands: Hands, status: int) -> None:
    api.fail("search", Reply.error(status, "Forbidden", Location="http://127.0.0.1:9/"))
    with client(api, hands) as ours, pytest.raises(webapi.RefusedError) as raised:
        ours.get("search")
    assert (raised.value.status, raised.value.reason) == (status, "Forbidden")
    assert api.paths() == ["search"]


def test_an_empty_answer_is_one(api: WebApi, hands: Hands) -> None:
    api.contents["search"] = Reply(b"", 204)
    with client(api, hands) as ours:
        assert ours.get("search") == {}


def test_no_minute_has_more_requests_than_its_budget(hands: Hands) -> None:
    told: list[str] = []
    budget = Budget(5, hands.clock(), told.append)
    times = []
    for number in range(23):
        budget.take()
        times.append(hands.clock().monotonic())
        hands.clock().wait(number % 3)
    for first in times:
        assert sum(first <= time < first + 60 for time in times) <= 5
    assert budget.total == 23
    assert told[0].startswith("Presupuesto de peticiones por minuto agotado: faltan ")


def test_failed_attempts_are_in_the_budget(api: WebApi, hands: Hands) -> None:
    api.fail("search", *[Reply.error(500)] * 3)
    with client(api, hands, webapi_requests_per_minute=2) as ours:
        ours.get("search")
    assert len(api.asked) == 5
    assert sum(hands.waits) == 120


@pytest.mark.parametrize(
    "address",
    ["http://example.org", "http://127.0.0.1.example.org:80", "ftp://127.0.0.1", "https://", "api",
     "https://example.org/?q=1"],
)  # fmt: skip
def test_secrets_go_over_tls_or_stay_on_this_machine(address: str) -> None:
    with pytest.raises(ParamsError, match="webapi_address"):
        params.load("local", webapi_address=address)


@pytest.mark.parametrize("address", ["https://example.org", "http://[::1]:8", "http://localhost:8"])
def test_an_address_is_https_or_of_this_machine(address: str) -> None:
    assert params.load("local", webapi_address=f"{address}/").webapi.address == address


def test_another_users_server_gets_no_secret(
    api: WebApi, hands: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peers, "is_owners_server", lambda port: False)
    with pytest.raises(ServiceError, match="otro usuario"):
        client(api, hands)
    assert api.asked == []


def test_a_secret_in_the_params_is_refused() -> None:
    with pytest.raises(ParamsError, match="webapi_client_secret") as raised:
        params.load("local", webapi_client_secret="planted")
    assert "planted" not in str(raised.value)


def test_no_secret_is_told_or_logged(
    api: WebApi, hands: Hands, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    told: list[str] = []
    api.fail("search", Reply.error(500), Reply(b"<html>"), Reply(b"{}", cut=True))
    api.fail("token", Reply.error(500))
    with client(api, hands, told) as ours:
        ours.get("search", as_listener=True)
        api.fail("search", *[Reply.error(401)] * 2)
        with pytest.raises(UserError) as raised:
            ours.get("search")
    everything = "\n".join([*told, caplog.text, str(raised.value), repr(ours)])
    assert not any(secret in everything for secret in (*SECRETS, "token-"))


def test_a_proxy_of_the_environment_sees_nothing_of_this_machine(
    api: WebApi, hands: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    with client(api, hands) as ours:
        assert ours.get("search") == {"found": 1}
