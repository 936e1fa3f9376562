"""Chromium, driven by Playwright, and an API process that serves the pages."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from tests.support.api_process import Api
from tests.support.visits import Browser


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Yield a browser. Skips the tests if Debian's package `chromium` is not installed."""
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("Chromium is not installed: apt-get install chromium")
    with Browser(chromium) as browser:
        yield browser


@pytest.fixture(scope="package")
def api(migrated: None) -> Iterator[Api]:
    api = Api()
    yield api
    api.stop()
