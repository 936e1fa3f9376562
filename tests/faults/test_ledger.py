"""No command is lost or executed twice: people use the public API while all faults are injected, then the checks run.
This is the short form of `make soak`, with each fault at least once.

`WEELO_SEED=… pytest tests/faults/test_ledger.py` runs the plan of another seed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults import verification  # noqa: F401 (importing it registers the checks)
from tests.faults.checks import CHECKS
from tests.faults.fault_system import FaultSystem
from tests.faults.faults import FAULTS
from tests.faults.moves import WAYS_OUT
from tests.faults.plan import plan
from tests.faults.play import Play, perform
from tests.faults.report import told, write

pytestmark = [
    pytest.mark.xdist_group("faults"),
    pytest.mark.alone,
    pytest.mark.long,
    pytest.mark.timeout(300),
]

SEED = int(os.environ.get("WEELO_SEED") or 1)
SECONDS = 90.0
WHERE_ROOT_MAY_MOUNT = {"the disk of Redis is full", "the disk of PostgreSQL is full"}


@pytest.fixture(scope="module")
def play(fault_system: FaultSystem, report: Path) -> Iterator[Play]:
    print(f"WEELO_SEED={SEED}")  # noqa: T201 (how to repeat the run)
    played = perform(fault_system, SEED, SECONDS, hurried=True)
    write(played, report)
    yield played
    if any(count.wrong for count in played.counted):
        print(told(played))  # noqa: T201 (the report of the failed run)


def test_the_same_seed_is_the_same_plan_and_every_fault_is_in_it() -> None:
    assert plan(SEED, SECONDS, list(FAULTS)) == plan(SEED, SECONDS, list(FAULTS))
    assert {moment.fault for moment in plan(SEED, SECONDS, list(FAULTS))} == set(FAULTS)


def test_every_fault_had_an_effect(play: Play) -> None:
    assert play.not_here.keys() <= WHERE_ROOT_MAY_MOUNT
    effective = {each.fault for each in play.broken if each.effect.much}
    assert set(FAULTS) - effective == play.not_here.keys(), [
        each for each in play.broken if not each.effect.much
    ]


def test_a_process_was_stopped_for_ten_seconds_and_rows_and_tables_were_locked_for_five(play: Play) -> None:
    def longest(faults: str) -> float:
        lasted = [
            each.ended - each.began for each in play.broken if faults in each.fault and each.effect.much
        ]
        return max(lasted, default=0.0)

    assert longest("is stopped for a while") >= 10
    assert longest("row locked") >= 5 and longest("table locked") >= 5


def test_there_were_commands_and_timers_to_count(play: Play) -> None:
    assert play.ledger.entries and play.delays


def test_WAYS_01_the_people_used_all_ways_out_of_a_won_truck_and_some_of_them_succeeded(play: Play) -> None:
    """Each command must have been tried. It suffices that one has succeeded, because a slow machine has few won trucks."""
    assert {each.command for each in play.moves} >= WAYS_OUT, play.moves
    assert any(each.command in WAYS_OUT and not each.effect.startswith("refused") for each in play.moves), (
        play.moves
    )


@pytest.mark.parametrize("sentence", list(CHECKS))
def test_TIMR_02_whatever_breaks(play: Play, sentence: str) -> None:
    (count,) = [count for count in play.counted if count.sentence == sentence]
    assert not count.wrong, f"{count.figure}: {count.wrong[:10]}"
