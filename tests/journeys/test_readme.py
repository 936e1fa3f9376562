"""The session "Try it by hand" of the README works if it is pasted into a shell as one block."""

from __future__ import annotations

import os
import re

import pytest

from tests.support.pasted import pasted
from tests.support.programs import without_weelo
from tests.support.sources import ROOT
from tests.support.system import System
from weelo_workers.runtime.ports import free_port


def session() -> str:
    _, _, rest = (ROOT / "README.md").read_text().partition("## Try it by hand")
    return rest.split("```sh\n", 1)[1].split("```", 1)[0]


def test_without_a_running_system_the_session_ends_with_one_line() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    ended = pasted(session(), url, **without_weelo())
    assert ended.returncode != 0
    assert ended.stdout == ""
    assert ended.stderr == f"No system is ready on {url}: start one with make run\n"


@pytest.mark.xdist_group("system")
def test_with_a_running_system_a_truck_is_won_and_the_output_is_readable(system: System) -> None:
    ended = pasted(session(), system.url, **os.environ)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "Traceback" not in ended.stdout
    steps = re.findall(r"^\S+Z  (\w+) +(\w+|–) → (\w+)  by (\S+)", ended.stdout, re.MULTILINE)
    assert ("assignment", "pending", "driver_accepted", "trips.driver_accept") in [
        (subject, before, after, cause) for subject, before, after, cause in steps
    ]
    assert '"assignmentsCancelled": 1' in ended.stdout
    assert max(len(line) for line in ended.stdout.splitlines()) < 200
