"""The session of README's "Try it by hand", pasted as one block."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.programs import without_weelo
from tests.support.system import System
from weelo_workers.runtime.ports import free_port

ROOT = Path(__file__).parents[2]


def pasted(url: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the session in bash, as its standard input, against the system at `url`."""
    _, _, rest = (ROOT / "README.md").read_text().partition("## Try it by hand")
    session = rest.split("```sh\n", 1)[1].split("```", 1)[0]
    assert session.count("http://127.0.0.1:8000") == 1
    session = session.replace("http://127.0.0.1:8000", url)
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


def test_without_a_running_system_the_session_ends_with_one_line() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    session = pasted(url, **without_weelo())
    assert session.returncode != 0
    assert session.stdout == ""
    assert session.stderr == f"No system is ready on {url}: start one with make run\n"


@pytest.mark.xdist_group("system")
def test_with_a_running_system_a_truck_is_won_and_the_output_is_readable(system: System) -> None:
    session = pasted(system.url, **os.environ)
    assert (session.returncode, session.stderr) == (0, "")
    assert "Traceback" not in session.stdout
    steps = re.findall(r"^\S+Z  (\w+) +(\w+|–) → (\w+)  by (\S+)", session.stdout, re.MULTILINE)
    assert ("assignment", "pending", "driver_accepted", "trips.driver_accept") in [
        (subject, before, after, cause) for subject, before, after, cause in steps
    ]
    assert '"assignmentsCancelled": 1' in session.stdout
    assert max(len(line) for line in session.stdout.splitlines()) < 200
