"""The figures of a played day, from the endpoint's queries and from the counters, equal those of independent SQL."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from tests.market.day import play
from tests.market.sql import ByHand, percentile
from tests.support.world import World
from weelo_workers.metrics.counters import IN_THIS_PROCESS
from weelo_workers.models.engine import read_engine
from weelo_workers.queries import market

Samples = Counter[tuple[str, tuple[tuple[str, str], ...]]]


def counted() -> Samples:
    """Return the market's counters of this process."""
    return Counter(
        {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in IN_THIS_PROCESS.collect()
            for sample in family.samples
            if sample.name.startswith("weelo_market_") and not sample.name.endswith("_created")
        }
    )


def by(samples: Samples, name: str, *labels: str, vehicle_type: str | None) -> Counter[Any]:
    """Return the values of a counter by these labels (one label: its value; several: a tuple)."""
    found: Counter[Any] = Counter()
    for (sample, given), value in samples.items():
        values = dict(given)
        if sample == f"weelo_market_{name}" and vehicle_type in (None, values["vehicle_type"]):
            # Earlier tests in this process may have left counters of other areas. During this test those must not
            # change.
            assert values["area"] == "default" or not value
            key = tuple(values[label] for label in labels)
            found[key[0] if len(key) == 1 else key] += value
    return +found


def endpoint(start: datetime | None, end: datetime | None, area: str | None = None) -> dict[str, Any]:
    now = datetime.now(UTC)
    with Session(read_engine()) as session:
        return market.figures(session, market.window(start, end, area, now), now).json_dict()


def listed(figures: dict[str, Any], name: str, count: str, *labels: str) -> Counter[Any]:
    found: Counter[Any] = Counter()
    for each in figures[name]:
        key = tuple(each[label] or "none" for label in labels)
        found[key[0] if len(key) == 1 else key] = each[count]
    return found


def check_endpoint(figures: dict[str, Any], hand: ByHand) -> None:
    assert figures["requests"] == hand.requests()
    offers, trucks = hand.offers().total(), hand.trucks_of_requests()
    assert figures["offers"] == offers
    assert figures["offersPerWonSlot"] == (pytest.approx(offers / trucks, abs=0.001) if trucks else None)
    for name, transitions in (
        ("secondsToFirst", ("take_some", "take_last")),
        ("secondsToFull", ("take_last",)),
    ):
        seconds = hand.seconds(transitions)
        assert figures[name]["requests"] == len(seconds), name
        for part in (50, 95):
            expected = percentile(seconds, part / 100)
            assert figures[name][f"p{part}"] == (expected and pytest.approx(expected, abs=0.01)), (name, part)
    assert listed(figures, "acceptsLost", "accepts", "code") == hand.accepts_lost()
    assert figures["slotsAsked"] == hand.slots()
    assert figures["slotsFilled"] == hand.filled()
    assert figures["fillRate"] == (
        pytest.approx(hand.filled() / hand.slots(), abs=0.0001) if hand.slots() else None
    )
    won = hand.won()
    assert figures["slotsWon"] == won.total()
    assert listed(figures, "wonByRing", "trucks", "ring") == won
    assert sum(each["share"] for each in figures["wonByRing"]) == (pytest.approx(1, abs=0.001) if won else 0)
    assert listed(figures, "slotsExpired", "slots", "reason") == hand.expired()
    assert listed(figures, "cancels", "slots", "because", "stage", "code") == hand.cancels()
    assert figures["driverTimeouts"] == hand.timeouts()
    declines = hand.lost("driver_declined")
    del declines["driver_timeout"]
    assert listed(figures, "driverDeclines", "trucks", "code") == declines
    assert listed(figures, "givenBack", "trucks", "code") == hand.lost("given_back")


def check_counters(samples: Samples, hand: ByHand, vehicle_type: str | None) -> None:
    def of(name: str, *labels: str) -> Counter[Any]:
        return by(samples, name, *labels, vehicle_type=vehicle_type)

    assert of("requests_total", "area").total() == hand.requests()
    assert of("offers_total", "ring") == hand.offers()
    assert of("slots_asked_total", "area").total() == hand.slots()
    assert of("slots_won_total", "ring") == hand.won()
    assert of("slots_expired_total", "reason") == hand.expired()
    assert of("accepts_lost_total", "code") == hand.accepts_lost()
    assert of("driver_timeouts_total", "area").total() == hand.timeouts()
    declines = hand.lost("driver_declined")
    del declines["driver_timeout"]
    assert of("driver_declines_total", "code") == declines
    assert of("cancels_total", "because", "stage", "code") == hand.cancels()
    assert of("given_back_total", "code") == hand.lost("given_back")
    for name, transitions in (
        ("to_first_seconds", ("take_some", "take_last")),
        ("to_full_seconds", ("take_last",)),
    ):
        seconds = hand.seconds(transitions)
        assert of(f"{name}_count", "area").total() == len(seconds), name
        for limit in (10.0, 30.0, 120.0):
            below = sum(each <= limit for each in seconds)
            at_limit = {
                given: value
                for (sample, given), value in samples.items()
                if sample == f"weelo_market_{name}_bucket"
                and dict(given)["le"] == str(limit)
                and vehicle_type in (None, dict(given)["vehicle_type"])
            }
            assert sum(at_limit.values()) == below, (name, limit)


EVERY_KIND_OF_FIGURE = {
    "expired": {"partly_filled", "no_transporter_online", "nobody_free", "nobody_accepted", "truck_lost"},
    "won": {"1", "2", "4", "last"},
    "lost": {"REQUEST_ALREADY_TAKEN", "NOT_ENOUGH_AVAILABLE", "HOLD_EXPIRED"}
    | {"BROADCAST_FILLED", "BROADCAST_CANCELLED", "BROADCAST_EXPIRED"},
    "because": {"customer_cancelled", "customer_no_show", "ended_by_operator"},
    "stages": {"offer", "pending", "driver_accepted", "en_route_pickup", "at_pickup", "in_transit"},
}


OLD = 6


def _move_some_to_the_day_before_yesterday(world: World) -> None:
    some = f"IN (SELECT id FROM broadcasts ORDER BY id LIMIT {OLD})"
    with world.engine.begin() as connection:
        for table, columns, key in (
            ("broadcasts", ("created_at", "first_won_at", "filled_at"), "id"),
            ("transitions", ("at",), "broadcast_id"),
        ):
            earlier = ", ".join(f"{column} = {column} - interval '2 days'" for column in columns)
            connection.execute(text(f"UPDATE {table} SET {earlier} WHERE {key} {some}"))


@pytest.mark.long
def test_endpoint_and_counters_agree_with_sql_by_hand_over_a_played_day(world: World) -> None:
    before = counted()
    play(world, seed=17)
    samples = counted()
    samples.subtract(before)
    now = datetime.now(UTC)
    _move_some_to_the_day_before_yesterday(world)
    with world.engine.begin() as connection:
        # An earlier version of the program stored no ring in assignments. Some rows are made to look like that.
        connection.execute(
            text("UPDATE assignments SET ring = NULL WHERE id IN (SELECT id FROM assignments LIMIT 9)")
        )

    month = (now - timedelta(days=31) + timedelta(hours=1), now + timedelta(hours=1))
    everything = ByHand(world, month)
    assert set(everything.expired()) == EVERY_KIND_OF_FIGURE["expired"]
    assert set(everything.won()) >= EVERY_KIND_OF_FIGURE["won"]
    assert set(everything.accepts_lost()) == EVERY_KIND_OF_FIGURE["lost"]
    assert {because for because, _, _ in everything.cancels()} == EVERY_KIND_OF_FIGURE["because"]
    assert {stage for _, stage, _ in everything.cancels()} == EVERY_KIND_OF_FIGURE["stages"]
    assert {"stalled", "driver_timeout"} < set(everything.lost("given_back"))
    assert everything.slots() > everything.filled() and everything.won().total() > everything.filled()

    shown = endpoint(*month)
    check_endpoint(shown["total"], everything)
    check_counters(samples, everything, None)
    assert {group["vehicleType"] for group in shown["groups"]} == {"open", "container", "several"}
    for group in shown["groups"]:
        hand = ByHand(world, month, group["vehicleType"])
        check_endpoint(group, hand)
        check_counters(samples, hand, group["vehicleType"])
    assert endpoint(*month, area="default")["groups"] == shown["groups"]

    last_day = endpoint(None, None)
    check_endpoint(last_day["total"], ByHand(world, (now - timedelta(days=1), now + timedelta(hours=1))))
    assert last_day["total"]["requests"] == shown["total"]["requests"] - OLD
