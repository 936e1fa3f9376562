"""LABS-01: the search for faults plays scripts from seeds, finds disabled mechanisms, and shortens a failing script."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner

from weelo_lab.cli import lab as commands
from weelo_lab.demand import FileError
from weelo_lab.seeds import script
from weelo_lab.seeds.drawing import draw
from weelo_lab.seeds.fault_steps import OF_TIMERS, OFTEN
from weelo_lab.seeds.player import player
from weelo_lab.seeds.script import KINDS, Step
from weelo_lab.seeds.searching import Limits, search
from weelo_lab.seeds.shrinking import shrink
from weelo_lab.servers import Servers
from weelo_workers.app import load_handlers
from weelo_workers.contracts.command import REGISTRY
from weelo_workers.contracts.queues import NOTIFICATIONS, TIMERS, WEBHOOKS

pytestmark = pytest.mark.xdist_group("lab")

NOT_DRAWN = {
    "broadcasts.backfill": "sent by commands",
    "broadcasts.catch_up": "sent by commands and heartbeats",
    "broadcasts.offer_late": "sent by heartbeats",
    "broadcasts.offer_passed_over": "sent by commands",
    "broadcasts.reoffer": "sent by commands",
    "fleet.sync_presence": "sent by commands",
    "relations.withdraw_offer": "sent by commands",
    "fleet.register_vehicle": "part of the beginning of each script",
    "fleet.register_driver": "part of the beginning of each script",
    "fleet.register_device": "there are no pushes in the lab",
    "fleet.forget_device": "there are no pushes in the lab",
    "person.erase": "it removes the rows that the invariants read",
}
"""The commands of no queue for timers, pushes or webhooks that no step sends, and why."""


def test_each_command_of_people_is_a_step() -> None:
    load_handlers()
    sent = {name for kind in KINDS.values() for name in kind.commands}
    of_people = {
        name for name, each in REGISTRY.items() if each.queue not in (TIMERS, NOTIFICATIONS, WEBHOOKS)
    }
    assert sent | set(NOT_DRAWN) == of_people
    assert not sent & set(NOT_DRAWN)
    assert sorted(OF_TIMERS) == sorted(name for name, each in REGISTRY.items() if each.queue == TIMERS)
    assert set(OFTEN) <= set(REGISTRY)


def test_a_script_is_written_and_read(tmp_path: Path) -> None:
    steps = draw(1)
    assert steps == draw(1)
    assert steps != draw(2)
    path = tmp_path / "script.json"
    path.write_text(script.text(steps))
    assert script.read(path) == steps
    assert all(script.line(step) for seed in range(50) for step in draw(seed))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{", "line 1"),
        ("{}", "list of steps"),
        ('[{"at": 1, "do": "dance"}]', "step 1"),
        ('[{"at": 1, "do": "lose"}]', "step 1"),
        ('[{"at": "1", "do": "flush_redis"}]', "step 1"),
    ],
    ids=["no-json", "no-list", "unknown", "missing", "time"],
)
def test_a_file_that_is_no_script_is_refused(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "script.json"
    path.write_text(text)
    with pytest.raises(FileError, match=problem):
        script.read(path)


def test_shrinking_leaves_what_is_needed() -> None:
    steps: list[Step] = [{"at": 10.5 * number, "do": "flush_redis", "n": number} for number in range(40)]

    def fails(some: Sequence[Step]) -> bool:
        kept = {step["n"]: step["at"] for step in some}
        return {3, 17, 31} <= set(kept) and kept[31] - kept[17] >= 30

    assert [(step["n"], step["at"]) for step in shrink(steps, fails)] == [(3, 0.0), (17, 0.0), (31, 147.0)]


def test_no_seed_violates_an_invariant(lab: Servers) -> None:
    tried, failure = search(lab, 1, Limits(seeds=4), 1, lambda _: None)
    assert failure is None, failure
    assert tried.seeds == 4
    assert tried.faults


@pytest.mark.long
def test_the_hash_of_a_script_depends_on_nothing_else(lab: Servers, tmp_path: Path) -> None:
    """The script is played by two processes, and both runs have the same hash.

    The first process has played another script before. The second one has another seed for Python's hashes, another
    time zone and another language.
    """
    path = tmp_path / "script.json"
    path.write_text(script.text(draw(5)))
    with player(lab) as plays:
        plays.play(draw(2))
        expected = plays.play(draw(5)).hash
    elsewhere = {"PYTHONHASHSEED": "1", "TZ": "Asia/Kathmandu", "LC_ALL": "C"}
    printed = subprocess.run(
        [sys.executable, "-m", "weelo_workers.entry", "lab", "replay", "--script", str(path)],
        env={**os.environ, **elsewhere},
        capture_output=True,
        text=True,
        check=True,
    )
    assert printed.stdout.strip() == expected


@pytest.mark.long
@pytest.mark.timeout(600)
def test_a_disabled_mechanism_is_found_and_its_script_is_short(tmp_path: Path) -> None:
    found = CliRunner().invoke(
        commands,
        [
            *("seeds", "--mutant", "sweep", "--seed", "583", "--seeds", "1", "--jobs", "1"),
            *("--out", str(tmp_path)),
        ],
    )
    assert found.exit_code == 1, found.output
    [short] = tmp_path.glob("*-short.json")
    assert len(script.read(short)) < 10
