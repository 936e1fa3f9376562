"""Runs `promtool` of Debian's package `prometheus`."""

from __future__ import annotations

import shutil
import subprocess

import pytest

MISSING = "Prometheus is not installed: apt-get install prometheus"


def promtool(*arguments: object) -> str:
    """Return what promtool prints. Skips the test where it is missing, and fails it if promtool finds a fault."""
    if shutil.which("promtool") is None:
        pytest.skip(MISSING)
    done = subprocess.run(
        ["promtool", *map(str, arguments)], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
