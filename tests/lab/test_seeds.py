"""LABS-01: runs with the same seed have the same events, also with injected faults; another seed has other events."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from weelo_lab.demand import parse, read
from weelo_lab.faults import NO_FAULTS, ROUGH, Faults
from weelo_lab.playing import Job, explain, play
from weelo_lab.policies import NamedPolicy
from weelo_lab.servers import Servers

pytestmark = pytest.mark.xdist_group("lab")

SMALL = parse({"requests": 4, "hours": 0.1, "settles_minutes": 5, "fleets": [{"count": 6}]})
DEFAULTS = NamedPolicy("defaults")


@pytest.mark.parametrize("faults", [NO_FAULTS, ROUGH], ids=["smooth", "rough"])
def test_LABS_01_the_same_seed_gives_the_same_events_and_another_seed_others(
    lab: Servers, tmp_path: Path, faults: Faults
) -> None:
    logs = [tmp_path / f"{number}.jsonl" for number in range(3)]
    runs = [
        play(lab, Job(SMALL, DEFAULTS, seed, faults), log) for seed, log in zip((1, 1, 2), logs, strict=True)
    ]
    assert logs[0].read_bytes() == logs[1].read_bytes()
    assert runs[0].hash == runs[1].hash != runs[2].hash
    assert runs[0].figures == runs[1].figures
    kinds = {json.loads(line)["kind"] for line in logs[0].read_text().splitlines()}
    assert {"post", "deliver", "event", "line", "heartbeats"} <= kinds
    assert ({"lose", "crash"} <= kinds) == faults.any


def test_LABS_01_another_process_with_servers_of_its_own_prints_the_same_hash(
    lab: Servers, tmp_path: Path
) -> None:
    values = "{requests: 2, hours: 0.1, settles_minutes: 3, fleets: [{count: 4}]}"
    (tmp_path / "demand.yaml").write_text(values)
    command = [sys.executable, "-m", "weelo_workers.entry", "lab", "replay", "--seed", "5"]
    # Each Python process hashes texts with its own random seed, so it iterates over sets in another order. The result must
    # not depend on this order.
    printed = subprocess.run(
        [*command, "--demand", str(tmp_path / "demand.yaml")], capture_output=True, text=True, check=True
    )
    assert printed.stdout.strip() == play(lab, Job(read(tmp_path / "demand.yaml"), DEFAULTS, 5)).hash


def test_a_broadcast_is_explained_as_the_console_tells_it(lab: Servers) -> None:
    told = explain(lab, Job(SMALL, DEFAULTS, 1), 2)
    assert told.startswith("Request 2: ")
    made = (
        "+0.000 s  broadcast create: created  (policy: scope default, version 0; create booking by customer "
    )
    assert made in told
    assert ", step 1: asked, " in told
    with pytest.raises(LookupError, match="there is no request 5"):
        explain(lab, Job(SMALL, DEFAULTS, 1), 5)
