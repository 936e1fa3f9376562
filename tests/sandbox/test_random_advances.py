"""TRYI-01: the clock is moved again and again, by a random time. After each move the invariants of the rows hold."""

from __future__ import annotations

import random
from contextlib import suppress
from uuid import UUID

import pytest

from tests.sandbox.sandbox_system import Sandbox
from tests.support.long import rounds
from weelo_api.sandbox.behaviours import Behaviour
from weelo_client import Rejected, WeeloClient
from weelo_lab.truths import AT_MOST_ALL_ROUNDS, TRUTHS, WHEN_AT_REST

pytestmark = pytest.mark.xdist_group("system")

ADVANCES = rounds(15, 100)
# By how many seconds to move the clock: around the times of the timers, between them, and far beyond them. Their sum stays
# below the age at which logs are purged.
LENGTHS = (0.1, 1, 4, 14.9, 16, 44, 46, 61, 121, 121, 400)

WAITS = (7, 13, 40)
# A test begins with one fleet whose drivers decline. No other one is added, because two such fleets would win the same
# slot in turn, without end.
REPLACEMENTS = [each for each in Behaviour if each is not Behaviour.ACCEPTS_DRIVER_DECLINES]

# A reset does not reset the numbers of logs, so the first `seq` of a log may be greater than 1.
NO_GAP = "no user's log has a gap"
TRUTHS_HERE = {
    **{sentence: query for sentence, query in {**TRUTHS, **AT_MOST_ALL_ROUNDS}.items() if sentence != NO_GAP},
    NO_GAP: "SELECT user_id FROM log_lines GROUP BY 1 HAVING max(seq) - min(seq) + 1 <> count(*)",
    "nothing due is left": """
        SELECT name, due_at FROM mailbox WHERE settled_at IS NULL AND due_at < sandbox.clock_timestamp() - interval '5 s'""",
    "no timer acted early": "SELECT name FROM mailbox WHERE settled_at < due_at",
}


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", [1])
def test_advances_of_random_length_keep_every_truth(sandbox: Sandbox, seed: int) -> None:
    chance = random.Random(seed)
    people = [sandbox.customer() for _ in range(2)]
    fleets = [
        sandbox.fleet(behaviour, after=chance.choice(WAITS), km_north=chance.choice((1, 8, 30)))
        for behaviour in Behaviour
    ]
    executed = 0
    expected = 0.0
    for number in range(ADVANCES):
        act(sandbox, chance, people, fleets)
        seconds = chance.choice(LENGTHS) * chance.uniform(0.9, 1.1)
        answer = sandbox.advance(seconds)
        executed += answer["timersExecuted"]
        expected += seconds
        assert answer["offsetSeconds"] == pytest.approx(expected, abs=0.001)
        assert sandbox.violations(TRUTHS_HERE) == {}, f"after advance {number} by {seconds} s, seed {seed}"
    assert executed > ADVANCES
    # Let all remaining timers come due. The robots are removed first, because their commands would set new timers.
    for fleet in fleets:
        sandbox.routes.delete(f"/fleets/{fleet}")
    sandbox.advance(86_400)
    assert sandbox.violations({**TRUTHS_HERE, **WHEN_AT_REST}) == {}
    ended = {row["status"] for row in sandbox.rows("SELECT DISTINCT status FROM broadcasts")}
    assert {"completed", "expired", "cancelled"} <= ended


def act(sandbox: Sandbox, chance: random.Random, people: list[WeeloClient], fleets: list[UUID]) -> None:
    """Let one customer act: request trucks, cancel a request, or go on with the trucks of an expired one."""
    customer = chance.choice(people)
    # A booking is rejected if the customer has an open request; a cancel is rejected if its request has ended.
    with suppress(Rejected):
        match chance.choice(("book", "book", "book", "cancel", "fleet", "nothing")):
            case "book":
                sandbox.book(customer, trucks=chance.randint(1, 2))
            case "cancel":
                current = customer.current_broadcast()
                customer.cancel_booking(current["id"] if current is not None else sandbox.book(customer))
            case "fleet":
                sandbox.routes.delete(f"/fleets/{fleets.pop(0)}")
                fleets.append(sandbox.fleet(chance.choice(REPLACEMENTS), after=chance.choice(WAITS)))
