"""TRYI-01: the clock moves by exactly the requested time, also if several requests move it at once."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
import websocket

from tests.sandbox.sandbox_system import Sandbox, moment
from tests.support.tokens import token
from weelo_workers.contracts.statuses import Role

pytestmark = pytest.mark.xdist_group("system")


def test_TRYI_01_the_clock_moves_by_exactly_what_was_asked_for_and_then_runs_on(sandbox: Sandbox) -> None:
    before = sandbox.clock()
    assert before["offsetSeconds"] == 0
    assert abs(moment(before["now"]) - datetime.now(UTC)) < timedelta(seconds=2)
    assert sandbox.advance(3_600)["offsetSeconds"] == 3_600
    assert sandbox.advance(0.5)["offsetSeconds"] == 3_600.5
    after = sandbox.clock()
    assert after["offsetSeconds"] == 3_600.5
    difference = moment(after["now"]) - datetime.now(UTC) - timedelta(seconds=3_600.5)
    assert abs(difference) < timedelta(seconds=2)
    time.sleep(0.05)
    assert sandbox.clock()["now"] > after["now"]


def test_every_answer_has_the_time_of_the_sandbox(sandbox: Sandbox) -> None:
    sandbox.advance(86_400)
    with sandbox.http(Role.CUSTOMER, uuid4()) as http:
        view = http.put(f"/devices/{uuid4()}", json={"platform": "android"}, headers={"Prefer": "wait=0"})
        assert moment(view.json()["serverTime"]) > datetime.now(UTC) + timedelta(hours=23)
        assert moment(view.json()["acceptedAt"]) > datetime.now(UTC) + timedelta(hours=23)


def test_every_frame_of_a_socket_has_the_time_of_the_sandbox(sandbox: Sandbox) -> None:
    sandbox.advance(86_400)
    bearer = f"Authorization: Bearer {token(Role.CUSTOMER, uuid4())}"
    address = f"{sandbox.url.replace('http', 'ws', 1)}/api/v1/ws"
    socket = websocket.create_connection(address, header=[bearer], timeout=10)
    try:
        connected = json.loads(socket.recv())
        socket.send(json.dumps({"op": "ping"}))
        pong = json.loads(socket.recv())
    finally:
        socket.close()
    assert (connected["event"], pong["event"]) == ("connected", "pong")
    for frame in (connected, pong):
        for time_of_frame in (frame["at"], frame["data"]["serverTime"]):
            assert moment(time_of_frame) > datetime.now(UTC) + timedelta(hours=23)


def test_two_advances_at_the_same_time_follow_one_another(sandbox: Sandbox) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(sandbox.advance, [100.0] * 8))
    assert sandbox.clock()["offsetSeconds"] == 800
    assert max(answer["offsetSeconds"] for answer in answers) == 800


def test_a_repeated_advance_with_a_key_moves_the_clock_once(sandbox: Sandbox) -> None:
    key = uuid4().hex
    for _ in range(2):
        assert sandbox.post("/clock/advance", {"seconds": 60}, Idempotency_Key=key).status_code == 200
    assert sandbox.clock()["offsetSeconds"] == 60
    other = sandbox.post("/clock/advance", {"seconds": 61}, Idempotency_Key=key)
    assert (other.status_code, other.json()["code"]) == (422, "IDEMPOTENCY_CONFLICT")


FLEET = {
    "latitude": 28.6,
    "longitude": 77.2,
    "vehicleType": "open",
    "vehicleSubtype": "17 Feet",
    "trucks": 1,
    "behaviour": "silent",
    "afterSeconds": 1,
}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/clock/advance", {"seconds": 0}),
        ("/clock/advance", {"seconds": -1}),
        ("/clock/advance", {"seconds": 31 * 86_400 + 1}),
        ("/clock/advance", {"seconds": "60"}),
        ("/clock/advance", {"seconds": None}),
        ("/clock/advance", {}),
        ("/clock/advance", {"seconds": 1, "minutes": 1}),
        ("/fleets", {}),
        *(
            ("/fleets", {**FLEET, name: wrong})
            for name, wrong in (
                ("latitude", 91),
                ("longitude", "77"),
                ("vehicleSubtype", "no such kind"),
                ("trucks", 0),
                ("trucks", 51),
                ("behaviour", "dances"),
                ("afterSeconds", -1),
                ("colour", "red"),
            )
        ),
        ("/tokens", {}),
        ("/tokens", {"role": "king"}),
        ("/tokens", {"role": "customer", "sub": "me"}),
        ("/reset", {"everything": True}),
    ],
    ids=lambda value: str(value).replace(" ", "")[:60],
)
def test_bad_input_is_a_400_and_changes_nothing(sandbox: Sandbox, path: str, body: Any) -> None:
    sandbox.advance(10)
    answer = sandbox.post(path, body)
    assert (answer.status_code, answer.json()["code"]) == (400, "VALIDATION_ERROR")
    assert sandbox.clock()["offsetSeconds"] == 10
    assert sandbox.rows("SELECT FROM sandbox.fleets") == []


def test_a_token_works_for_its_user_also_after_an_advance(sandbox: Sandbox) -> None:
    user_id = str(uuid4())
    answer = sandbox.post("/tokens", {"role": "transporter", "sub": user_id})
    assert answer.status_code == 201
    assert answer.json()["userId"] == user_id
    sandbox.advance(31 * 86_400)
    url = f"{sandbox.url}/api/v1/transporter/availability"
    bearer = {"Authorization": f"Bearer {answer.json()['token']}"}
    assert sandbox.routes.get(url, headers=bearer).status_code == 200
    ours = {"Authorization": f"Bearer {token('customer', user_id)}"}
    assert sandbox.routes.get(url, headers=ours).status_code == 403
    assert sandbox.post("/tokens", {"role": "admin"}).json()["userId"] != user_id


# A program that imports what the sandbox's process imports, and prints the commands that are not registered by this.
UNKNOWN = """
from weelo_api.sandbox import loop
from weelo_workers.contracts.command import REGISTRY
known = set(REGISTRY)
from weelo_workers.app import load_handlers
load_handlers()
print(*(set(REGISTRY) - known))
"""


@pytest.mark.long
def test_the_process_that_moves_the_clock_knows_every_command_that_may_come_due() -> None:
    """The process wakes no worker for a command that it does not know, so the command would wait a second for the sweep."""
    done = subprocess.run([sys.executable, "-c", UNKNOWN], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_no_default_of_a_column_escapes_to_the_plain_clock(sandbox: Sandbox) -> None:
    defaults = sandbox.rows("""
        SELECT set_config('search_path', 'pg_catalog', true), adrelid::regclass::text AS "table",
               pg_get_expr(adbin, adrelid) AS expression FROM pg_attrdef""")
    times = {row["table"]: row["expression"] for row in defaults if "timestamp()" in row["expression"]}
    assert set(times) == {"public.mailbox", "public.replays"}
    assert set(times.values()) == {"sandbox.clock_timestamp()"}
