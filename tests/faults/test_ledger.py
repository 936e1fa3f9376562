"""Nothing lost, nothing twice: people play through the public API while everything that can break does, and in the end
it is counted. The short form of `make soak`: each fault at least once.

The plan is made of a seed: `WEELO_SEED=… pytest tests/faults/test_ledger.py` plays another one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults import reckoning  # noqa: F401 (it fills what is counted)
from tests.faults.counting import COUNTS
from tests.faults.faults import FAULTS
from tests.faults.plan import plan
from tests.faults.play import Play, perform
from tests.faults.report import told, write

pytestmark = [pytest.mark.xdist_group("faults"), pytest.mark.timeout(300)]

SEED = int(os.environ.get("WEELO_SEED") or 1)
SECONDS = 100.0


@pytest.fixture(scope="module")
def play(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Play]:
    print(f"WEELO_SEED={SEED}")  # noqa: T201 (how to play it again)
    folder = tmp_path_factory.mktemp("ledger")
    into = Path(os.environ.get("WEELO_REPORT") or folder / "report")
    into.mkdir(parents=True, exist_ok=True)
    played = perform(folder / "data", SEED, SECONDS, log=into / "system.log", hurried=True)
    write(played, into)
    yield played
    if any(count.wrong for count in played.counted):
        print(told(played))  # noqa: T201 (what was broken when)


def test_the_same_seed_is_the_same_plan_and_every_fault_is_in_it() -> None:
    assert plan(SEED, SECONDS, list(FAULTS)) == plan(SEED, SECONDS, list(FAULTS))
    assert {moment.fault for moment in plan(SEED, SECONDS, list(FAULTS))} == set(FAULTS)


def test_every_fault_has_happened(play: Play) -> None:
    assert {each.fault for each in play.broken} == set(FAULTS)
    assert play.ledger.entries and play.delays


@pytest.mark.parametrize("sentence", list(COUNTS))
def test_TIMR_02_whatever_breaks(play: Play, sentence: str) -> None:
    (count,) = [count for count in play.counted if count.sentence == sentence]
    assert not count.wrong, f"{count.figure}: {count.wrong[:10]}"
