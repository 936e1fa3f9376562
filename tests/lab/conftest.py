"""The servers of the lab, which all tests of this folder share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from weelo_lab import servers


@pytest.fixture(scope="session")
def lab() -> Iterator[servers.Servers]:
    with servers.running() as running:
        yield running
