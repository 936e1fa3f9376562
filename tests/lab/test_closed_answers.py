"""LABS-01: the lab computes the right figures in cases where they can also be computed by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from weelo_lab.cli import lab as commands
from weelo_lab.comparing import FIGURES, Comparison
from weelo_lab.demand import parse
from weelo_lab.playing import Job, play
from weelo_lab.policies import NamedPolicy, parse as policy
from weelo_lab.run import Run
from weelo_lab.servers import Servers

pytestmark = pytest.mark.xdist_group("lab")

PICKUP = {"name": "here", "latitude": 28.6, "longitude": 77.2, "spread_km": 0}
# This town is 0.27 degrees of latitude, or 29.9 km, north of the pickup. So its fleets are in the ring of 50 km.
YARD = {"name": "there", "latitude": 28.87, "longitude": 77.2, "spread_km": 0, "weight": 0}
CERTAIN = {
    "sees": 1, "accepts": 1, "half_km": 1e9, "load": 0, "spread": 0, "seconds": 7, "seconds_per_km": 0,
    "driver_accepts": 1, "gives_back": 0,
}  # fmt: skip
RINGS = policy(
    "rings", {"radius_steps_km": [10, 25, 50], "radius_step_seconds": 15, "min_offers_per_step": 0}
)


def played(lab: Servers, values: dict[str, Any], chosen: NamedPolicy = RINGS, seed: int = 1) -> Run:
    demand = {"hours": 0.1, "settles_minutes": 5, "trucks_wanted": {1: 1}, "towns": [PICKUP, YARD], **values}
    return play(lab, Job(parse(demand), chosen, seed))


def test_one_fleet_that_accepts_after_T_is_found_after_its_ring_and_T_exactly(lab: Servers) -> None:
    fleet = {"count": 1, "towns": ["there"], "trucks": {1: 1}, "answers": CERTAIN}
    run = played(lab, {"requests": 1, "fleets": [fleet]})
    assert run.details["first"] == [2 * 15 + 7]
    assert run.details["wonByRing"] == {"3": 1}
    assert run.figures["pickupKm"] == pytest.approx(29.9, abs=0.1)


def test_without_anybody_online_nothing_is_filled(lab: Servers) -> None:
    fleet = {"count": 2, "towns": ["there"], "answers": CERTAIN, "online_until_hour": 0}
    run = played(lab, {"requests": 3, "fleets": [fleet]})
    assert run.figures["requestsFilled"] == run.figures["slotsFilled"] == 0
    assert run.details["offers"] == 0


def test_ten_times_as_many_willing_fleets_as_needed_fill_everything(lab: Servers) -> None:
    fleet = {"count": 20, "towns": ["here"], "trucks": {1: 1}, "answers": CERTAIN}
    run = played(lab, {"requests": 2, "fleets": [fleet]})
    assert run.figures["requestsFilled"] == run.figures["slotsFilled"] == 1


def test_two_identical_policies_differ_by_exactly_nothing(lab: Servers) -> None:
    values = {"requests": 3, "fleets": [{"count": 4, "towns": ["here", "there"]}]}
    again = NamedPolicy("again", RINGS.values)
    runs = {each.name: {seed: played(lab, values, each, seed) for seed in (1, 2)} for each in (RINGS, again)}
    assert [run.hash for run in runs["rings"].values()] == [run.hash for run in runs["again"].values()]
    compared = Comparison(runs)
    for figure in FIGURES:
        assert not any(compared.difference("again", figure.name).values), figure.name


def test_run_writes_the_report_and_the_figures(tmp_path: Path) -> None:
    (tmp_path / "demand.yaml").write_text(
        "requests: 2\nhours: 0.1\nsettles_minutes: 3\nfleets: [{count: 4}]\n"
    )
    (tmp_path / "small.yaml").write_text("radius_steps_km: [5, 10, 20]\n")
    (tmp_path / "large.yaml").write_text("name: large rings\nradius_steps_km: [75]\n")
    files = [str(tmp_path / name) for name in ("small.yaml", "large.yaml")]
    out = tmp_path / "out"
    arguments = ["run", "--demand", str(tmp_path / "demand.yaml"), "--policies", *files]
    result = CliRunner().invoke(commands, [*arguments, "--seeds", "2", "--out", str(out)])
    assert result.exit_code == 0, result.output
    figures = json.loads((out / "figures.json").read_text())
    assert figures["policies"] == ["small", "large rings"]
    assert figures["seeds"] == [1, 2]
    assert len(figures["figures"][0]["differences"]["large rings"]["values"]) == 2
    page = (out / "report.html").read_text()
    assert "What the lab does not know" in page
    assert "<svg" in page
    assert "http" not in page  # without an address the page cannot load anything from a server
