"""TRYI-01: the commands of docs/sandbox.md lead from nothing to a completed trip, with curl alone, in under 60 seconds."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.programs import without_weelo
from tests.support.waiting import eventually, slowdown
from weelo_workers.runtime.ports import free_port

pytestmark = pytest.mark.xdist_group("system")

PAGE = Path(__file__).parents[2] / "docs" / "sandbox.md"
WITHIN_SECONDS = 60.0
ADDRESS = "http://127.0.0.1:8000"


def blocks(name: str) -> list[str]:
    """Return the shell commands of the page that are marked with this name."""
    return re.findall(rf"<!-- trial:{name} -->\n```sh\n(.*?)```", PAGE.read_text(), re.DOTALL)


@pytest.mark.long
def test_TRYI_01_the_page_leads_to_a_completed_trip_in_under_a_minute(tmp_path: Path) -> None:
    port = free_port()
    [start] = blocks("start")
    session = "set -e\n" + "\n".join(blocks("session"))
    assert session.count(ADDRESS) == 1
    arguments = start.split()
    assert arguments.pop(0) == ".venv/bin/weelo"
    output = tmp_path / "output"
    began = time.monotonic()
    with output.open("w") as file:
        running = subprocess.Popen(
            [sys.executable, "-m", "weelo_workers.cli", *arguments, "--port", str(port)],
            env=without_weelo(),
            cwd=tmp_path,  # an empty folder, as a new user has it
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    try:
        eventually(lambda: "weelo ready on" in output.read_text(), within=WITHIN_SECONDS)
        pasted = subprocess.run(
            ["bash"],
            input=session.replace(ADDRESS, f"http://127.0.0.1:{port}"),
            env={"PATH": os.environ["PATH"]},
            capture_output=True,
            text=True,
            check=False,
            timeout=WITHIN_SECONDS,
        )
        took = time.monotonic() - began
    finally:
        running.send_signal(signal.SIGTERM)
        running.wait(timeout=30)
    assert (pasted.returncode, pasted.stderr) == (0, "")
    answers = [json.loads(text) for text in re.split(r"(?<=})\s*(?={)", pasted.stdout.strip())]
    fleet, _booking, clock, history, events = answers
    assert fleet["behaviour"] == "drives"
    assert clock["offsetSeconds"] == 60
    assert [broadcast["status"] for broadcast in history["items"]] == ["completed"]
    assert [line["event"] for line in events["items"]][-1] == "booking_completed"
    assert took < WITHIN_SECONDS * slowdown()
    assert (tmp_path / ".weelo-sandbox").is_dir() and not (tmp_path / ".weelo").exists()


def test_the_page_shows_curl_and_nothing_that_has_to_be_installed() -> None:
    programs = set(re.findall(r"(?:^|\$\(|\| )([a-z]+) ", "\n".join(blocks("session")), re.MULTILINE))
    assert programs == {"curl", "sed"}
