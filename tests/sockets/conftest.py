"""One API process for the tests of a file, a log writer, and new users."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import pytest

from tests.support.api_process import Api

if TYPE_CHECKING:
    from tests.support.log_writer import LogWriter


@pytest.fixture(scope="module")
def api(migrated: None) -> Iterator[Api]:
    api = Api()
    yield api
    api.stop()


@pytest.fixture
def log_writer(migrated: None) -> LogWriter:
    from tests.support.log_writer import LogWriter

    return LogWriter()


@pytest.fixture
def someone() -> UUID:
    return uuid4()
