"""Runs sessions that readers of the documentation paste into a terminal."""

from __future__ import annotations

import re
import subprocess
import sys

from tests.support.sources import ROOT

PRINTED_URL = "http://127.0.0.1:8000"


def pasted(session: str, url: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the session against the system at `url`. bash reads the session from its standard input."""
    assert session.count(PRINTED_URL) == 1
    session = session.replace(PRINTED_URL, url)
    programs = {"python": sys.executable, "weelo": f"{sys.executable} -m weelo_workers.cli"}
    session = re.sub(r"\.venv/bin/(\w+)", lambda program: programs[program[1]], session)
    return subprocess.run(
        ["bash"],
        input=session,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
        cwd=ROOT,
    )
