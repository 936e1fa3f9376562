"""One running system, used first by the ledger test and then by the single faults."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.fault_system import FaultSystem


@pytest.fixture(scope="session")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder for the report of a fault test: a temporary one, or the one that `WEELO_REPORT` names."""
    folder = Path(os.environ.get("WEELO_REPORT") or tmp_path_factory.mktemp("report"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="package")
def fault_system(report: Path) -> Iterator[FaultSystem]:
    with FaultSystem(report / "system.log") as fault_system:
        yield fault_system
