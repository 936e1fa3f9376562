"""The session with curl that a sandbox shows on `/docs` works there, pasted as one block into a shell."""

from __future__ import annotations

import json
import os
import re
from html import unescape

import httpx
import pytest

from tests.sandbox.sandbox_system import Sandbox
from tests.support.pasted import pasted

pytestmark = pytest.mark.xdist_group("system")


@pytest.mark.long
def test_the_session_of_the_page_ends_with_a_cancelled_booking_that_had_a_truck(sandbox: Sandbox) -> None:
    page = httpx.get(f"{sandbox.url}/docs").text
    [session] = re.findall(r"<code data-origin=[^>]*>(.*?)</code>", page, re.DOTALL)
    # The session must not need the installation's files.
    assert ".venv" not in session
    ended = pasted(unescape(session), sandbox.url, PATH=os.environ["PATH"])
    assert (ended.returncode, ended.stderr) == (0, "")
    answers = [json.loads(line) for line in ended.stdout.splitlines() if line.startswith("{")]
    assert [each["code"] for each in answers if "code" in each] == []
    assert answers[-1]["broadcast"]["status"] == "cancelled"
    assert answers[-1]["assignmentsCancelled"] == 1


def test_a_fleet_has_the_spelling_of_the_catalogue(sandbox: Sandbox) -> None:
    body = {
        "latitude": 28.6,
        "longitude": 77.2,
        "vehicleType": "OPEN",
        "vehicleSubtype": "17 Foot",
        "behaviour": "silent",
    }
    answer = sandbox.post("/fleets", body)
    assert answer.status_code == 201, answer.text
    assert (answer.json()["vehicleType"], answer.json()["vehicleSubtype"]) == ("open", "17 Feet")


def test_an_unknown_type_is_reported_under_its_field(sandbox: Sandbox) -> None:
    body = {
        "latitude": 28.6,
        "longitude": 77.2,
        "vehicleType": "opn",
        "vehicleSubtype": "17 Feet",
        "behaviour": "silent",
    }
    answer = sandbox.post("/fleets", body)
    assert answer.status_code == 400
    assert [each["field"] for each in answer.json()["errors"]] == ["vehicleType"]
