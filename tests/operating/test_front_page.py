"""`GET /`: a page that describes the server, links its other pages, and loads no other file."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator
from html import unescape
from typing import Any

import pytest
from flask.testing import FlaskClient

from weelo_workers.settings import settings


@pytest.fixture
def app(migrated: None) -> FlaskClient:
    from weelo_api import create_app

    return create_app().test_client()


@pytest.fixture(params=[None, "http://127.0.0.1:5555", 'http://a.example/"><script>x</script>'])
def flower(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("FLOWER_URL", request.param or "")
    settings.cache_clear()
    yield request.param
    monkeypatch.undo()
    settings.cache_clear()


def test_the_front_page_links_documentation_health_and_metrics_and_each_link_works(app: FlaskClient) -> None:
    page = app.get("/")
    assert (page.status_code, page.content_type) == (200, "text/html; charset=utf-8")
    links = re.findall(r'href="(/[^"]*)"', page.text)
    assert set(links) == {
        "/docs",
        "/console",
        "/openapi.json",
        "/asyncapi.json",
        "/healthz",
        "/readyz",
        "/metrics",
    }
    for link in links:
        assert app.get(link, follow_redirects=True).status_code == 200, link


def test_flower_is_linked_only_where_its_address_is_known(flower: str | None, app: FlaskClient) -> None:
    page = app.get("/").text
    links = [unescape(link) for link in re.findall(r'href="(http[^"]*)"', page)]
    assert links == ([flower] if flower else [])
    assert ("Flower" in page) == bool(flower)
    assert "<script" not in page


def test_the_front_page_loads_nothing_and_its_policy_permits_only_its_own_style(app: FlaskClient) -> None:
    page = app.get("/")
    assert not re.findall(r"<script|<img|@import|url\(|src=", page.text)
    [style] = re.findall(r"<style>(.*?)</style>", page.text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = page.headers["Content-Security-Policy"]
    assert f"style-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy
    assert "prefers-color-scheme: dark" in style
