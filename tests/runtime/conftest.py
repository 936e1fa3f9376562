"""Gives each test a data directory on a real disk, and ends everything that the test has started."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.programs import Begin, without_weelo
from weelo_workers.runtime.embedded import Postgres, Valkey


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """Yield a path for a data directory. Unlike pytest's folders, the folder above it may be entered by other users."""
    above = Path(tempfile.mkdtemp(prefix="weelo-test-"))
    above.chmod(0o755)
    yield above / ".weelo"
    Postgres(above / ".weelo").remove()
    Valkey(above / ".weelo").remove()
    shutil.rmtree(above)


@pytest.fixture
def begin() -> Iterator[Begin]:
    """Yield a function that starts a Python program and pipes its output. The programs are killed after the test."""
    begun: list[subprocess.Popen[str]] = []

    def python(*arguments: str, **environment: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, *arguments],
            env={**without_weelo(), **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        begun.append(process)
        return process

    yield python
    for process in begun:
        process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()
