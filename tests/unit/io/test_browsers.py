"""What the HTTP servers refuse because a web page may have sent it."""

from __future__ import annotations

import pytest

from spotify_mlops.io.http.browsers import Rule

PROGRAMS = Rule(uploads={"/upload/": frozenset({"multipart/related"})})
PAGE = Rule(page=True)
OURS = {"host": "127.0.0.1:8080"}
JSON = {"content-type": "application/json; charset=utf-8", "content-length": "2"}


def status(rule: Rule, method: str, path: str, headers: dict[str, str]) -> int | None:
    refused = rule.refusal(method, path, headers)
    return None if refused is None else refused.status


@pytest.mark.parametrize("rule", [PROGRAMS, PAGE])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:9050", "LOCALHOST:1", "[::1]:65535"])
def test_programs_of_this_machine_are_answered(rule: Rule, host: str) -> None:
    assert rule.refusal("GET", "/", {"host": host}) is None
    assert rule.refusal("POST", "/", {"host": host} | JSON) is None
    assert rule.refusal("POST", "/", {"host": host, "content-length": "0"}) is None


@pytest.mark.parametrize("rule", [PROGRAMS, PAGE])
@pytest.mark.parametrize(
    "host",
    [
        "",
        "evil.example",
        "evil.example:8080",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "127.0.0.1@evil.example",
        "evil.example, 127.0.0.1",
        "localhost:8080\nevil.example",
        "0.0.0.0:8080",
        "127.0.0.2",
    ],
)
def test_another_name_of_this_machine_is_refused(rule: Rule, host: str) -> None:
    assert status(rule, "GET", "/", {"host": host}) == 403


def test_a_request_without_a_host_is_refused() -> None:
    assert status(PROGRAMS, "GET", "/", {}) == 403


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1:8081", ""])
@pytest.mark.parametrize("rule", [PROGRAMS, PAGE])
def test_other_origins_are_refused(rule: Rule, origin: str) -> None:
    for method in ("GET", "POST", "OPTIONS", "DELETE"):
        assert status(rule, method, "/", OURS | JSON | {"origin": origin}) == 403


def test_only_a_page_has_an_origin_of_its_own() -> None:
    own = OURS | JSON | {"origin": "http://127.0.0.1:8080", "sec-fetch-site": "same-origin"}
    assert status(PAGE, "POST", "/", own) is None
    assert status(PROGRAMS, "POST", "/", own) == 403


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_what_a_page_embeds_is_refused_though_it_says_no_origin(site: str) -> None:
    image = OURS | {"sec-fetch-site": site, "sec-fetch-mode": "no-cors", "sec-fetch-dest": "image"}
    frame = image | {"sec-fetch-mode": "navigate", "sec-fetch-dest": "iframe"}
    for headers in (image, frame):
        assert status(PROGRAMS, "GET", "/", headers) == 403
        assert status(PAGE, "GET", "/", headers) == 403


def test_a_link_leads_to_the_page_and_to_no_other_server() -> None:
    link = OURS | {"sec-fetch-site": "cross-site", "sec-fetch-dest": "document"}
    assert status(PAGE, "GET", "/", link) is None
    assert status(PAGE, "POST", "/", link | JSON) == 403  # a form
    assert status(PROGRAMS, "GET", "/", link) == 403


@pytest.mark.parametrize(
    "kind", ["text/plain", "text/plain;a=application/json", "multipart/form-data", "", "*/*"]
)
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
@pytest.mark.parametrize("rule", [PROGRAMS, PAGE])
def test_a_body_is_json(rule: Rule, method: str, kind: str) -> None:
    for length in ({"content-length": "9"}, {"transfer-encoding": "chunked"}):
        headers = OURS | length | ({"content-type": kind} if kind else {})
        assert status(rule, method, "/", headers) == 415


def test_uploads_take_their_own_types_where_they_go_and_nowhere_else() -> None:
    upload = OURS | {"content-type": "multipart/related; boundary=x", "content-length": "9"}
    assert status(PROGRAMS, "POST", "/upload/jobs", upload) is None
    assert status(PROGRAMS, "POST", "/jobs", upload) == 415
    assert status(PROGRAMS, "POST", "/upload/jobs", upload | {"content-type": "text/plain"}) == 415
