"""Chromium, driven by Playwright, and an API process that serves the pages."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.api_process import Api
from tests.support.visits import Browser, chromium


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    yield from chromium()


@pytest.fixture(scope="package")
def api(migrated: None) -> Iterator[Api]:
    api = Api()
    yield api
    api.stop()
