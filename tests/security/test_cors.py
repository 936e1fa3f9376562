"""CORS: only pages of the origins in CORS_ORIGINS may call the API and open sockets; apps have no origin."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import httpx
import pytest
import websocket

from tests.support.api_process import Api
from tests.support.people import BOOKING
from tests.support.tokens import token
from weelo_workers.settings import ConfigurationError, settings

ALLOWED, FOREIGN = "https://ops.example.com", "https://evil.example"
ALSO_ALLOWED = "http://localhost:5173"
EXPOSED = {
    "ETag",
    "Idempotency-Replayed",
    "Location",
    "Preference-Applied",
    "RateLimit",
    "RateLimit-Policy",
    "Retry-After",
    "X-Request-Id",
}


@pytest.fixture(scope="module")
def api(migrated: None) -> Iterator[Api]:
    api = Api(CORS_ORIGINS=f"{ALLOWED}, {ALSO_ALLOWED}")
    yield api
    api.stop()


@pytest.fixture(scope="module")
def usual_api(migrated: None) -> Iterator[Api]:
    api = Api()
    yield api
    api.stop()


def address(api: Api, path: str = "/api/v1/bookings") -> str:
    return f"http://127.0.0.1:{api.port}{path}"


def preflight(api: Api, origin: str, method: str = "POST") -> httpx.Response:
    return httpx.options(address(api), headers={"Origin": origin, "Access-Control-Request-Method": method})


def names(value: str) -> set[str]:
    return {each.strip() for each in value.split(",")}


@pytest.mark.parametrize("origin", [ALLOWED, ALSO_ALLOWED])
def test_a_page_of_an_allowed_origin_may_ask_first(api: Api, origin: str) -> None:
    answer = preflight(api, origin)
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["Access-Control-Allow-Origin"] == origin
    assert names(answer.headers["Access-Control-Allow-Methods"]) == {"GET", "POST", "PUT", "DELETE"}
    assert names(answer.headers["Access-Control-Allow-Headers"]) == {
        "Authorization",
        "Content-Type",
        "Idempotency-Key",
        "If-None-Match",
        "Prefer",
        "X-Request-Id",
    }
    assert "Access-Control-Allow-Credentials" not in answer.headers
    assert "Origin" in names(answer.headers["Vary"])


@pytest.mark.parametrize("status", [202, 400, 401])
def test_a_page_of_an_allowed_origin_may_read_every_answer(api: Api, status: int) -> None:
    headers = {"Origin": ALLOWED, "Authorization": f"Bearer {token('customer', uuid4())}"}
    if status == 401:
        del headers["Authorization"]
    answer = httpx.post(address(api), json={} if status == 400 else BOOKING, headers=headers)
    assert answer.status_code == status
    assert answer.headers["Access-Control-Allow-Origin"] == ALLOWED
    assert names(answer.headers["Access-Control-Expose-Headers"]) == EXPOSED


@pytest.mark.parametrize(
    "origin",
    [
        FOREIGN,
        "null",
        "",
        f"{ALLOWED}.evil.example",
        "http://ops.example.com",
        f"{ALLOWED}:8443",
        f"{ALLOWED}/",
        ALLOWED.upper(),
        f"{ALLOWED}, {FOREIGN}",
    ],
)
def test_a_page_of_another_origin_gets_no_permission(api: Api, origin: str) -> None:
    for answer in (preflight(api, origin), httpx.get(address(api, "/healthz"), headers={"Origin": origin})):
        assert not [name for name in answer.headers if name.startswith("access-control-")]
        assert "Origin" in names(answer.headers["Vary"]), "a cache must not give it to another origin"


def test_by_default_no_page_gets_permission(usual_api: Api) -> None:
    for answer in (
        preflight(usual_api, ALLOWED),
        httpx.get(address(usual_api, "/"), headers={"Origin": ALLOWED}),
    ):
        assert not [name for name in answer.headers if name.startswith("access-control-")]


def opens(api: Api, **options: Any) -> bool:
    """Return whether a socket opens. False stands for 403 FORBIDDEN; other refusals raise an error."""
    url = address(api, "/api/v1/ws").replace("http", "ws", 1)
    header = [f"Authorization: Bearer {token('customer', uuid4())}"]
    try:
        socket = websocket.create_connection(url, header=header, timeout=10, **options)
    except websocket.WebSocketBadStatusException as refused:
        if refused.status_code != 403 or b'"FORBIDDEN"' not in refused.resp_body:
            raise
        return False
    assert '"connected"' in socket.recv()
    socket.close()
    return True


@pytest.mark.parametrize(
    ("options", "opened"),
    [
        ({"suppress_origin": True}, True),
        ({}, True),  # by default the library sends the server's own address as the origin
        ({"origin": ALLOWED}, True),
        ({"origin": FOREIGN}, False),
        ({"origin": "null"}, False),
        ({"origin": "http://127.0.0.1"}, False),
        ({"origin": "http://127.0.0.1:1"}, False),
        ({"host": "api.example.com", "origin": "https://api.example.com"}, True),
        ({"host": "api.example.com:443", "origin": "https://api.example.com"}, True),
        ({"host": "api.example.com", "origin": "https://api.example.com.evil.example"}, False),
    ],
    ids=[
        "an app",
        "own page",
        "allowed",
        "foreign",
        "null",
        "another port",
        "port 1",
        "proxy",
        "proxy 443",
        "longer",
    ],
)
def test_a_socket_is_refused_to_foreign_pages_alone(api: Api, options: dict[str, Any], opened: bool) -> None:
    assert opens(api, **options) is opened


def test_by_default_a_socket_opens_for_apps_and_own_pages(usual_api: Api) -> None:
    assert opens(usual_api, suppress_origin=True) and opens(usual_api)
    assert not opens(usual_api, origin=ALLOWED)


def test_in_development_a_star_allows_all_origins_and_in_production_it_does_not_start(
    migrated: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = Api(CORS_ORIGINS="*")
    try:
        assert preflight(api, FOREIGN).headers["Access-Control-Allow-Origin"] == FOREIGN
        assert opens(api, origin=FOREIGN)
    finally:
        api.stop()
    monkeypatch.setenv("CORS_ORIGINS", "*")
    monkeypatch.setenv("WEELO_ENV", "production")
    monkeypatch.setenv("JWT_SECRET", "0123456789abcdef0123456789abcdef")
    settings.cache_clear()
    with pytest.raises(ConfigurationError, match=r"^CORS_ORIGINS: must name each origin"):
        settings()
    settings.cache_clear()
