"""The requests and fleets that a seed draws: they do not depend on the policy, and follow the weights in the demand file."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from weelo_lab.comparing import estimate
from weelo_lab.demand import HOUR, FileError, draw, parse, read
from weelo_lab.figures import gini, quantile
from weelo_lab.policies import parse as parse_policy, read as read_policy
from weelo_lab.virtual_clock import SECOND

TOWNS = [
    {"name": "large", "latitude": 28.6, "longitude": 77.2, "weight": 3, "spread_km": 0},
    {"name": "small", "latitude": 29.0, "longitude": 77.7, "weight": 1},
]


def test_a_request_stays_as_it_is_when_others_are_added() -> None:
    few = draw(parse({"requests": 5, "towns": TOWNS}), "seed", 0)
    more = draw(parse({"requests": 9, "towns": TOWNS, "fleets": [{"count": 7}]}), "seed", 0)
    drawn = {(each.customer_id, each.micros, each.pickup, each.trucks) for each in few.requests}
    assert drawn <= {(each.customer_id, each.micros, each.pickup, each.trucks) for each in more.requests}
    assert draw(parse({"requests": 5, "towns": TOWNS}), "other", 0).requests != few.requests


def test_times_and_towns_follow_their_weights() -> None:
    by_hour = [0.0] * 24
    by_hour[8], by_hour[9] = 1.0, 3.0
    demand = parse({"requests": 4_000, "hours": 2, "by_hour": by_hour, "towns": TOWNS, "fleets": []})
    requests = draw(demand, "seed", 0).requests
    assert [each.number for each in requests] == list(range(1, 4_001))
    assert all(0 <= each.micros < 2 * HOUR * SECOND for each in requests)
    late = sum(each.micros >= HOUR * SECOND for each in requests)
    assert late == pytest.approx(3_000, abs=150)
    assert Counter(each.town for each in requests)["large"] == pytest.approx(3_000, abs=150)


def test_the_default_demand_has_real_towns() -> None:
    assert "Delhi" in {town.name for town in read(None).towns}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("requests: many", "requests: "),
        ("colour: red", "colour: "),
        ("fleets: [{count: 1, towns: [nowhere]}]", "there is no town nowhere"),
        ("- 1", "has to be a mapping"),
        ("a: [", "line 1, column 5: .*<stream end>"),
        ("a: 1\na: 2", "line 2, column 1: found duplicate key 'a'"),
        ("people:\n  share: 1\n  share: 2", "line 3, column 3: found duplicate key 'share'"),
        ("? [a]\n: 1", "line 1, column 3: found unhashable key"),
        ("[" * 20_000, "nested too deeply"),
    ],
    ids=["number", "unknown", "town", "list", "yaml", "repeated", "repeated-below", "key", "deep"],
)
def test_a_file_that_cannot_be_used_is_refused_in_one_line(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "demand.yaml"
    path.write_text(text)
    with pytest.raises(FileError, match=problem) as refused:
        read(path)
    assert "\n" not in str(refused.value)


def test_a_policy_file_names_values_of_a_policy(tmp_path: Path) -> None:
    path = tmp_path / "small rings.yaml"
    path.write_text("radius_steps_km: [5, 10.5]\nhold_seconds: 30\n")
    assert read_policy(path).name == "small rings"
    assert read_policy(path).environment == {"RADIUS_STEPS_KM": "5,10.5", "HOLD_SECONDS": "30"}
    with pytest.raises(FileError, match="rings is not a value of a policy"):
        parse_policy("one", {"rings": 3})
    with pytest.raises(FileError, match="radius_steps_km"):
        parse_policy("one", {"radius_steps_km": [10, 5]})


def test_figures() -> None:
    assert quantile([1.0, 2.0, 3.0, 4.0], 0.5) == 2.5
    assert quantile([], 0.5) is None
    assert gini([1, 1, 1]) == pytest.approx(0)
    assert gini([0, 0, 0, 8]) == pytest.approx(0.75)
    assert gini([0, 0]) is None


def test_the_interval_of_a_mean_is_that_of_Student() -> None:
    found = estimate([1.0, 2.0, 3.0, 4.0])
    assert found.mean == 2.5
    # 2.0540 = 3.182 × 1.2910 / √4: quantile of Student's distribution × standard deviation / √(number of values)
    assert found.high == pytest.approx(2.5 + 2.0540, abs=0.0005)
    assert estimate([1.0]).low is None
    assert estimate([]).mean is None
