"""No header changes the path, scheme, host or client that the API takes from the connection itself."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.api_process import Api
from tests.support.raw_http import Answer, exchange, problem, request

# Headers that gunicorn, Werkzeug, other servers or proxies interpret.
CLAIMS = [
    "SCRIPT_NAME: /x",
    "Script-Name: /x",
    "PATH_INFO: /metrics",
    "Path-Info: /metrics",
    "X-Script-Name: /x",
    "X-Forwarded-Prefix: /x",
    "X-Forwarded-Path: /metrics",
    "X-Original-URL: /metrics",
    "X-Original-URI: /metrics",
    "X-Rewrite-URL: /metrics",
    "X-Envoy-Original-Path: /metrics",
    "X-Forwarded-Proto: https",
    "X-Forwarded-Protocol: ssl",
    "X-Forwarded-Ssl: on",
    "X-Forwarded-Scheme: https",
    "X-Forwarded-Host: elsewhere.example",
    "X-Forwarded-Port: 1",
    "X-Forwarded-For: 203.0.113.9",
    "X-Real-IP: 203.0.113.9",
    "Forwarded: for=203.0.113.9;host=elsewhere.example;proto=https",
    "X-HTTP-Method-Override: GET",
    "X-HTTP-Method: GET",
    "X-Method-Override: GET",
    "REQUEST_METHOD: GET",
    "QUERY_STRING: limit=1",
    "CONTENT_LENGTH: 5",
    "REMOTE_ADDR: 203.0.113.9",
    "REMOTE_USER: admin",
    "HTTP_AUTHORIZATION: Bearer x",
    "wsgi.url_scheme: https",
    "SERVER_NAME: elsewhere.example",
    "Proxy: http://elsewhere.example",
    "Upgrade: h2c",
    "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA",
    "Connection: X-Forwarded-For",
]


@pytest.fixture(
    scope="module", params=[{}, {"SCRIPT_NAME": "/x", "FORWARDED_ALLOW_IPS": "*"}], ids=["", "environment"]
)
def api(request: pytest.FixtureRequest, migrated: None) -> Iterator[Api]:
    api = Api(**request.param)
    yield api
    api.stop()


def answer_to(api: Api, line: str, *headers: str, role: str | None = None) -> Answer:
    [answer] = exchange(api.port, request(line, *headers, role=role, content_type=None))
    return answer


@pytest.mark.parametrize("claim", CLAIMS)
def test_a_header_does_not_change_which_route_is_called(api: Api, claim: str) -> None:
    problem(answer_to(api, "GET /x/metrics", claim), 404, "NOT_FOUND")
    problem(answer_to(api, "GET /nothing", claim), 404, "NOT_FOUND")
    problem(answer_to(api, "POST /metrics", claim), 405, "METHOD_NOT_ALLOWED")
    assert answer_to(api, "GET /healthz", claim).status == 200
    problem(answer_to(api, "GET /api/v1/broadcasts", claim), 401, "UNAUTHORIZED")
    assert answer_to(api, "GET /api/v1/broadcasts", claim, role="customer").status == 200


@pytest.mark.parametrize("claim", CLAIMS)
@pytest.mark.parametrize("path", ["/docs", "/api/v1//bookings", "/api/v1/bookings/", "/"])
def test_no_answer_sends_a_client_to_another_host_or_scheme(api: Api, claim: str, path: str) -> None:
    plain = answer_to(api, f"GET {path}")
    claimed = answer_to(api, f"GET {path}", claim)
    assert (claimed.status, claimed.body) == (plain.status, plain.body)
    assert claimed.headers.get("location", "/").startswith("/")
    assert not claimed.headers.get("location", "").startswith("//")


@pytest.mark.parametrize(
    "host", ["elsewhere.example", "a b", "[::1", "a/b", "@", "", "a:99999999", "ü", "\x80"]
)
def test_the_host_header_is_not_used_for_anything(api: Api, host: str) -> None:
    sent = f"GET /docs HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode("latin-1")
    [answer] = exchange(api.port, sent)
    if answer.status == 400:
        problem(answer, 400, "VALIDATION_ERROR")
    else:
        assert answer.status == 200
        assert "location" not in answer.headers
        assert answer.body == answer_to(api, "GET /docs").body
