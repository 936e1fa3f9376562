"""The session "A session with curl" of `/docs` works if it is pasted into a shell as one block."""

from __future__ import annotations

import json
import os
import re
from html import unescape

import httpx
import pytest

from tests.support.pasted import pasted
from tests.support.system import System

pytestmark = pytest.mark.xdist_group("system")


def test_the_session_of_the_page_ends_with_a_cancelled_booking_that_had_a_truck(system: System) -> None:
    page = httpx.get(f"{system.url}/docs").text
    [session] = re.findall(r"<code data-origin=[^>]*>(.*?)</code>", page, re.DOTALL)
    ended = pasted(unescape(session), system.url, **os.environ)
    assert (ended.returncode, ended.stderr) == (0, "")
    answers = [json.loads(line) for line in ended.stdout.splitlines() if line.startswith("{")]
    assert [each["code"] for each in answers if "code" in each] == []
    [offers] = [each for each in answers if "items" in each]
    assert len(offers["items"]) == 1
    [booking] = [each for each in answers if "truckRequests" in each]
    assert (booking["status"], len(booking["assignments"])) == ("fully_filled", 1)
    assert answers[-1]["broadcast"]["status"] == "cancelled"
    assert answers[-1]["assignmentsCancelled"] == 1
