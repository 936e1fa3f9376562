"""TRYI-01: processes are killed while the clock moves. The clock still reaches its target, and each due timer acts once."""

from __future__ import annotations

import random
import threading
import time
from functools import partial
from uuid import uuid4

import httpx
import pytest

from tests.sandbox.sandbox_system import Sandbox
from tests.support.waiting import eventually, slowdown
from weelo_lab.truths import TRUTHS
from weelo_workers.contracts.queues import QUEUES
from weelo_workers.messaging.crashes import POSSIBLE_CRASH

pytestmark = pytest.mark.xdist_group("system")

WORKERS = ",".join(QUEUES)  # one worker consumes all queues, and its program is named after them
SECONDS = 1_800.0


@pytest.mark.long_except("sandbox")
@pytest.mark.parametrize(
    "program",
    [WORKERS, "beat", "gunicorn", "weelo_api.sandbox", "all"],
    ids=["workers", "beat", "api", "sandbox", "all"],
)
def test_an_advance_survives_kill_9(sandbox: Sandbox, program: str) -> None:
    sandbox.fleet("drives", trucks=3, after=20)
    sandbox.fleet("accepts_driver_silent", trucks=2, after=2, km_north=2)
    broadcast_ids = [sandbox.book(sandbox.customer(), trucks=2) for _ in range(3)]
    key = uuid4().hex

    def ask() -> None:
        # If the API is killed, the connection breaks. The request is then repeated with the same key, so the clock is not
        # moved a second time.
        def answered() -> bool:
            try:
                answer = sandbox.post("/clock/advance", {"seconds": SECONDS}, Idempotency_Key=key)
            except httpx.TransportError:
                return False
            return answer.status_code == 200

        eventually(answered, within=120)

    asking = threading.Thread(target=ask)
    asking.start()
    doomed = ["beat", "gunicorn", "weelo_api.sandbox", WORKERS] if program == "all" else [program]
    chance = random.Random(program)
    eventually(lambda: sandbox.rows("SELECT FROM sandbox.advances WHERE began_at IS NOT NULL"))
    for number in range(3):
        time.sleep(chance.uniform(0.1, 0.5))
        for each in doomed:
            eventually(partial(sandbox.pids, each), within=60)
            sandbox.kill(each)
            if number == 0:
                assert sandbox.rows("SELECT FROM sandbox.advances WHERE ended_at IS NULL"), (
                    "it was over before"
                )
    asking.join(timeout=150)
    assert not asking.is_alive()
    assert sandbox.clock()["offsetSeconds"] == SECONDS
    assert not sandbox.clock()["moving"]
    assert [sandbox.status(each) for each in broadcast_ids].count("active") == 0
    # Earlier tests have reset the sandbox, so the first `seq` of a log may be greater than 1.
    truths = {sentence: query for sentence, query in TRUTHS.items() if sentence != "no user's log has a gap"}
    assert sandbox.violations(truths) == {}
    late = sandbox.rows(
        """SELECT name, due_at, settled_at FROM mailbox WHERE settled_at > due_at + make_interval(secs => :late)
              OR (settled_at IS NULL AND due_at < sandbox.clock_timestamp()) OR parked_at IS NOT NULL""",
        late=60 * slowdown(),
    )
    assert late == []
    assert (
        sandbox.rows(
            "SELECT name, last_error FROM mailbox WHERE last_error <> :chance", chance=POSSIBLE_CRASH
        )
        == []
    )
