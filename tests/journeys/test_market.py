"""An operator reads the market figures of a running system, and the counters and two service level objectives at /metrics."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from tests.support.figures import scrape, total
from tests.support.people import Listener, Truck, book
from tests.support.system import System
from tests.support.waiting import eventually
from weelo_workers.contracts.statuses import Role

pytestmark = pytest.mark.xdist_group("system")

OPEN = {"area": "default", "vehicle_type": "open"}


def figure(system: System, name: str, **labels: str) -> float:
    return total(scrape(f"{system.url}/metrics"), name, **labels)


def test_a_won_slot_is_in_the_figures_and_at_metrics(system: System) -> None:
    counted = [
        ("weelo_market_requests_total", OPEN),
        ("weelo_market_slots_won_total", {**OPEN, "ring": "1"}),
        ("weelo_market_to_first_seconds_count", OPEN),
        ("weelo_market_to_full_seconds_count", OPEN),
        ("weelo_slo_events_total", {"slo": "accept_to_frame"}),
        ("weelo_accept_frame_seconds_count", {}),
        ("weelo_slo_events_total", {"slo": "timer_lateness"}),
        ("weelo_slo_good_events_total", {"slo": "timer_lateness"}),
    ]
    before = [figure(system, name, **labels) for name, labels in counted]
    start = datetime.now(UTC) - timedelta(seconds=1)
    truck, customer = Truck(system), system.client(Role.CUSTOMER, uuid4())
    fleet = Listener(truck.client)
    booking = book(customer)["id"]
    fleet.until("new_broadcast", broadcastId=booking)
    truck.accept(booking)
    fleet.until("command_settled", command="offers.accept")
    shown = system.client(Role.ADMIN, uuid4()).market(start.isoformat())
    assert shown["total"]["requests"] >= 1
    [group] = [each for each in shown["groups"] if each["vehicleType"] == "open"]
    assert group["slotsFilled"] >= 1
    assert 0 < group["secondsToFull"]["p50"] < 60
    for (name, labels), value in zip(counted, before, strict=True):
        assert eventually(lambda: figure(system, name, **labels) > value, within=15), name  # noqa: B023
    good = figure(system, "weelo_slo_good_events_total", slo="accept_to_frame")
    assert good <= figure(system, "weelo_slo_events_total", slo="accept_to_frame")
    fleet.close()
    truck.available(False)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"from": "yesterday"}, "from"),
        ({"from": "2026-02-19T10:00:00"}, "from"),
        ({"to": "1771495200"}, "to"),
        ({"from": "2026-02-19T10:00:00Z", "to": "2026-02-19T10:00:00Z"}, "from"),
        ({"from": "2026-02-20T10:00:00Z", "to": "2026-02-19T10:00:00Z"}, "from"),
        ({"from": "2026-01-01T00:00:00Z", "to": "2026-02-01T00:00:01Z"}, "from"),
        ({"from": "2999-01-01T00:00:00Z"}, "from"),
        ({"area": "nowhere"}, "area"),
        ({"area": ""}, "area"),
    ],
    ids=str,
)
def test_a_window_that_makes_no_sense_is_refused_with_its_field(
    system: System, query: dict[str, str], field: str
) -> None:
    with system.http(Role.ADMIN, uuid4()) as admin:
        answer = admin.get("/admin/market", params=query)
    assert (answer.status_code, answer.json()["code"]) == (400, "VALIDATION_ERROR")
    assert [each["field"] for each in answer.json()["errors"]] == [field]


def test_a_window_may_be_a_month_and_has_zones(system: System) -> None:
    with system.http(Role.ADMIN, uuid4()) as admin:
        window = {"from": "2026-01-01T05:30:00+05:30", "to": "2026-02-01T00:00:00Z", "area": "default"}
        answer = admin.get("/admin/market", params=window)
    shown = answer.json()
    assert answer.status_code == 200
    assert (shown["from"], shown["to"]) == ("2026-01-01T00:00:00.000Z", "2026-02-01T00:00:00.000Z")
    assert shown["total"]["requests"] == 0 and shown["groups"] == []
    assert shown["total"]["fillRate"] is None and shown["total"]["secondsToFirst"]["p50"] is None


@pytest.mark.parametrize("role", [Role.CUSTOMER, Role.TRANSPORTER, Role.DRIVER])
def test_only_operators_read_the_figures(system: System, role: Role) -> None:
    with system.http(role, uuid4()) as stranger:
        assert stranger.get("/admin/market").status_code == 403
