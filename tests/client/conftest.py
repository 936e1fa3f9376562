from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.client.scripted_api import ScriptedApi, serving


@pytest.fixture
def api() -> Iterator[ScriptedApi]:
    with serving() as scripted:
        yield scripted
