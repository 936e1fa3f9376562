"""Responses over 1 KiB are compressed for clients that accept gzip. Apart from that, all clients get the same response."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from uuid import uuid4

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.api_process import Api
from tests.support.raw_http import exchange, request
from tests.support.tokens import token


@pytest.fixture(scope="module")
def api(migrated: None) -> Iterator[Api]:
    api = Api()
    yield api
    api.stop()


def fetch(api: Api, path: str, accept: str | None, method: str = "GET") -> tuple[dict[str, str], bytes]:
    """Return the headers and the body as they were sent."""
    headers = [] if accept is None else [f"Accept-Encoding: {accept}"]
    [answer] = exchange(api.port, request(f"{method} {path}", *headers, role="customer", content_type=None))
    assert answer.status < 400
    return answer.headers, answer.body


LARGE, SMALL = "/api/v1/vehicle-kinds", "/healthz"


@pytest.mark.parametrize(
    ("accept", "compressed"),
    [
        ("gzip", True),
        ("GZIP", True),
        ("br, gzip;q=0.5", True),
        ("*", True),
        ("*;q=0.1", True),
        ("identity;q=0.5, gzip", True),
        (None, False),
        ("", False),
        ("br, deflate", False),
        ("gzip;q=0", False),
        ("gzip;q=0, *;q=1", False),
        ("*;q=0", False),
        ("identity, gzip;q=0.5", False),
        ("gzip;q=none", False),
    ],
)
def test_a_large_answer_is_compressed_if_the_client_accepts_it(
    api: Api, accept: str | None, compressed: bool
) -> None:
    headers, body = fetch(api, LARGE, accept)
    assert headers["vary"] == "Accept-Encoding"
    assert ("content-encoding" in headers) is compressed
    assert len(json.loads(gzip.decompress(body) if compressed else body)["items"]) > 20


def test_a_small_answer_is_sent_as_it_is(api: Api) -> None:
    headers, body = fetch(api, SMALL, "gzip")
    assert "content-encoding" not in headers
    assert json.loads(body) == {"status": "ok"}


@pytest.mark.parametrize("path", [LARGE, "/openapi.json", "/metrics", "/"])
def test_the_compressed_answer_is_the_same(api: Api, path: str) -> None:
    plain, packed = fetch(api, path, None), fetch(api, path, "gzip")
    assert packed[0]["content-encoding"] == "gzip"
    assert packed[0]["content-type"] == plain[0]["content-type"]
    assert len(packed[1]) < len(plain[1]) * 0.6
    if path == "/metrics":
        assert list(text_string_to_metric_families(gzip.decompress(packed[1]).decode()))
    else:
        assert gzip.decompress(packed[1]) == plain[1]


def test_HEAD_has_the_headers_of_GET(api: Api) -> None:
    with httpx.Client(headers={"Authorization": f"Bearer {token('customer', uuid4())}"}) as client:
        answer = client.head(f"http://127.0.0.1:{api.port}{LARGE}", headers={"Accept-Encoding": "gzip"})
    assert (answer.headers["Content-Encoding"], answer.content) == ("gzip", b"")
