"""`weelo lab fit` estimates how people answer. Given answers drawn from known values, it finds these values again."""

from __future__ import annotations

import math
import random
import re
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from weelo_lab.cli import lab as commands
from weelo_lab.demand import parse, read
from weelo_lab.fit_report import wilson
from weelo_lab.fitting import ACCEPT, DECLINE, NAMES, NOTHING, Observed, fit, solve
from weelo_lab.habits import Answers
from weelo_lab.observing import fit_price
from weelo_lab.playing import Job, environment
from weelo_lab.policies import parse as policy
from weelo_lab.run import play
from weelo_lab.servers import Servers, processes, submit

KNOWN = Answers(
    sees=0.85,
    accepts=0.6,
    half_km=20,
    load=0.5,
    price=1.5,
    declines=0.4,
    seconds=30,
    seconds_per_km=0.5,
    spread=0.6,
)


def drawn(count: int, known: Answers = KNOWN) -> list[Observed]:
    """Return offers that end at random times, each with an answer that is drawn from the values in `known`."""
    dice, offers = random.Random("fit"), []
    for _ in range(count):
        km, busy, hour = dice.uniform(0, 50), dice.choice((0.0, 0.0, 0.5, 1.0)), dice.randrange(24)
        ratio, shown = math.exp(0.3 * dice.gauss(0, 1)), 5 + dice.expovariate(1 / 60)
        seconds = known.median_seconds(km) * math.exp(known.spread * dice.gauss(0, 1))
        answer = NOTHING
        if dice.random() < known.sees and seconds < shown:
            if dice.random() < known.willingness(km, busy, ratio, hour):
                answer = ACCEPT
            elif dice.random() < known.declines:
                answer = DECLINE
        until = shown if answer == NOTHING else seconds
        offers.append(Observed(km, busy, ratio, hour, answer, until, shown))
    return offers


def test_the_values_of_known_people_are_in_the_intervals() -> None:
    found = fit(drawn(1_500))
    for each in found.parameters:
        known = getattr(KNOWN, each.name)
        assert each.low < known < each.high, (each, known)
    values = {each.name: each.value for each in found.parameters}
    assert values["seconds"] == pytest.approx(30, rel=0.2)
    assert values["half_km"] == pytest.approx(20, rel=0.4)
    assert values["sees"] * values["accepts"] == pytest.approx(0.51, rel=0.3)


def test_hours_with_fewer_accepts_get_smaller_factors() -> None:
    by_hour = (0.2,) * 12 + (1.0,) * 12
    known = KNOWN.model_copy(update={"by_hour": by_hour, "price": 0.0, "half_km": 200.0})
    factors = fit(drawn(1_500, known)).answers.by_hour
    assert factors is not None
    assert max(factors[:12]) < min(factors[12:])


def test_without_an_accept_nothing_is_fitted() -> None:
    with pytest.raises(ValueError, match="no offer was accepted"):
        fit([Observed(1, 0, 1, 8, NOTHING, 30, 30)])


def test_the_usual_price_is_found() -> None:
    dice = random.Random("prices")
    trips = [(km, round((900 + 40 * km) * math.exp(0.1 * dice.gauss(0, 1)))) for km in range(1, 200)]
    price = fit_price([*trips, (5.0, None)])
    assert price is not None
    assert (price.base, price.per_km, price.spread) == pytest.approx((900, 40, 0.1), rel=0.15)
    assert price.share == pytest.approx(199 / 200)
    assert fit_price(trips[:5]) is None


def test_equations_and_intervals() -> None:
    assert solve([[0.0, 2.0], [1.0, 1.0]], [4.0, 5.0]) == pytest.approx([3.0, 2.0])
    # Wilson's interval (1927) for one success in ten trials.
    assert wilson(0.1, 10) == pytest.approx((0.0179, 0.4042), abs=0.0005)


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.xdist_group("lab")
def test_the_people_of_a_run_are_found_in_its_database(lab: Servers, tmp_path: Path) -> None:
    """The run has about 2,000 offers. More offers would allow smaller tolerances."""
    people = {**KNOWN.model_dump(), "driver_accepts": 0.8, "driver_seconds": 9.0}
    demand = parse(
        {
            "requests": 120, "hours": 8, "begins_at_hour": 8, "settles_minutes": 5, "trucks_wanted": {1: 3, 3: 1},
            "towns": [{"name": "here", "latitude": 28.6, "longitude": 77.2, "spread_km": 15}],
            "price": {"base": 900, "per_km": 40, "spread": 0.3},
            "fleets": [{"count": 40, "trucks": {1: 1, 3: 1}, "answers": people}],
        }
    )  # fmt: skip
    rings = policy("rings", {"radius_steps_km": [30], "broadcast_timeout_seconds": 120})
    with lab.run_environment() as given, processes(1) as pool:
        submit(pool, environment(Job(demand, rings, 1), given), play, demand, 1).result()
        url = re.sub(r"\?.*", "", given["DATABASE_URL"])
        arguments = ["fit", "--database-url", url, "--time-zone", "Etc/GMT-8", "--out", str(tmp_path)]
        result = CliRunner().invoke(commands, arguments)
    assert result.exit_code == 0, result.output
    found = yaml.safe_load((tmp_path / "people.yaml").read_text())
    answers, price = found["answers"], found["price"]
    assert answers["seconds"] == pytest.approx(30, rel=0.2)
    assert answers["spread"] == pytest.approx(0.6, rel=0.2)
    # The probability at a distance of 10 km is compared. It can be estimated better than the two values from which it
    # follows: the probability at the pickup, and the distance at which it is halved.
    willing = answers["sees"] * Answers.model_validate(answers).willingness(10, 0, 1, 12)
    assert willing == pytest.approx(KNOWN.sees * KNOWN.willingness(10, 0, 1, 12), rel=0.3)
    assert answers["price"] == pytest.approx(1.5, abs=0.7)
    assert answers["driver_accepts"] == pytest.approx(0.8, abs=0.1)
    assert answers["driver_seconds"] == pytest.approx(9, rel=0.25)
    assert price["base"] + 30 * price["per_km"] == pytest.approx(2_100, rel=0.15)
    page = (tmp_path / "fit.html").read_text()
    assert page.count("<svg") == 5
    assert all(f"<code>{name}</code>" in page for name in NAMES)
    (tmp_path / "demand.yaml").write_text("requests: 1\n")
    assert (
        read(tmp_path / "demand.yaml", tmp_path / "people.yaml").fleets[0].answers.half_km
        == answers["half_km"]
    )
