"""One API process for the tests of a file, and people who have not been here before."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import pytest

from tests.sockets.driver import Api

if TYPE_CHECKING:
    from tests.scribe import Scribe


@pytest.fixture(scope="module")
def api(migrated: None) -> Iterator[Api]:
    api = Api()
    yield api
    api.stop()


@pytest.fixture
def scribe(migrated: None) -> Scribe:
    from tests.scribe import Scribe

    return Scribe()


@pytest.fixture
def someone() -> UUID:
    return uuid4()
