"""The catalog refuses a route that reads a field which its event lacks. `publish` refuses undeclared recipients."""

from __future__ import annotations

from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any, cast
from uuid import UUID, uuid4

import pytest
from pydantic import ValidationError
from sqlalchemy.orm import Session

from weelo_workers.contracts.broadcasts import BookingCancelled
from weelo_workers.contracts.delivery import EventEnvelope
from weelo_workers.contracts.event import Event
from weelo_workers.contracts.fleet import DriverStatusChanged
from weelo_workers.contracts.offers import HoldExpired
from weelo_workers.contracts.recipients import (
    Recipients,
    ToCaller,
    ToDriver,
    ToOffered,
    ToTransporter,
    ToTransportersWithTrucks,
)
from weelo_workers.contracts.trips import TripAssigned
from weelo_workers.messaging.unit_of_work import UnitOfWork
from weelo_workers.notifications import catalog
from weelo_workers.notifications.catalog import Route, check

ONE, TWO = "6f1c3a52-7f0e-4c37-9f5c-0d3a1c2b4e5f", "0b7e2c1d-94aa-4a3e-8f21-5d6c7b8a9e0f"


@pytest.mark.parametrize(
    ("event", "route", "says"),
    [
        (
            DriverStatusChanged,
            Route("x", (catalog.named_transporter,), pushed=catalog.always),
            "broadcast_id",
        ),
        (BookingCancelled, Route("x", (), pushed=catalog.while_unanswered), "assignment"),
        (DriverStatusChanged, Route("x", (catalog.customer,)), "broadcast_id"),
        (DriverStatusChanged, Route("x", (catalog.notified,)), "version"),
        (HoldExpired, Route("x", (catalog.driver,)), "assignment"),
        (TripAssigned, Route("x", (catalog.named_transporter,)), "ToTransporter"),
        (HoldExpired, Route("x", (catalog.transporters_with_trucks,)), "ToTransportersWithTrucks"),
    ],
)
def test_a_route_that_reads_what_its_event_has_not_is_refused(
    event: type[Event], route: Route, says: str
) -> None:
    with pytest.raises(TypeError, match=says):
        check(event, route)


def test_a_push_of_an_event_without_a_broadcast_prevents_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pushes are ordered by broadcast, so a push without one would fail when it is sent.

    The catalog detects this when it is imported.
    """
    entry = 'Route("driver_status_changed", (named_transporter,))'
    source = Path(catalog.__file__).read_text()
    assert source.count(entry) == 1
    name = "catalog_with_a_wrong_push"
    (tmp_path / f"{name}.py").write_text(source.replace(entry, f"{entry[:-1]}, pushed=always)"))
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(TypeError, match="DriverStatusChanged reads broadcast_id"):
        import_module(name)


@pytest.mark.parametrize("to", [Recipients(), ToCaller(caller_id=uuid4())])
def test_an_event_is_published_only_with_the_recipients_that_it_declares(to: Recipients) -> None:
    uow = UnitOfWork(Session(), uuid4(), "fleet.set_driver_availability", None)
    with pytest.raises(TypeError, match="DriverStatusChanged is published with ToTransporter"):
        uow.publish(DriverStatusChanged(driver_id=uuid4(), is_online=True), to)


@pytest.mark.parametrize(
    ("kind", "stored"),
    [
        (Recipients, {}),
        (ToCaller, {"caller_id": ONE}),
        (ToTransporter, {"transporter_id": ONE}),
        (ToTransportersWithTrucks, {"assigned_to": {}}),
        (ToTransportersWithTrucks, {"assigned_to": {ONE: 2, TWO: 1}}),
        (
            ToOffered,
            {
                "slots": {"open|17 Feet": [ONE]},
                "offered": {
                    TWO: {"km": 3.25, "kinds": ["open|17 Feet"], "gave_back": []},
                    ONE: {"km": None, "kinds": [], "gave_back": [TWO]},
                },
            },
        ),
        (ToDriver, {"driver_id": None}),
        (ToDriver, {"driver_id": ONE}),
    ],
)
def test_recipients_are_stored_in_this_form(kind: type[Recipients], stored: dict[str, Any]) -> None:
    assert kind.model_validate(stored).model_dump(mode="json") == stored


def test_recipients_of_an_earlier_version_gave_no_slot_back() -> None:
    """Rows of earlier versions have neither `gave_back` nor the recipients of `trip_cancelled`. They are read as empty."""
    stored = {
        "slots": {"open|17 Feet": [ONE]},
        "offered": {TWO: {"km": 3.25, "kinds": ["open|17 Feet"]}, ONE: {"km": None, "kinds": []}},
    }
    read = ToOffered.model_validate(stored)
    assert {each: own.gave_back for each, own in read.offered.items()} == {UUID(TWO): (), UUID(ONE): ()}
    assert ToDriver.model_validate({}).driver_id is None


def test_an_audience_reads_its_fields_and_ignores_the_others() -> None:
    """A stored event of another version may have further fields, and values that this version does not know."""
    data = {"assignment": {"id": ONE, "transporterId": TWO, "driverId": ONE, "status": "from the future"}}
    envelope = EventEnvelope(
        id=uuid4(), event="TripAssigned", at=datetime.now(UTC), data={**data, "broadcastId": ONE, "new": 1}
    )
    assert catalog.transporter(cast(Session, None), envelope) == {UUID(TWO): None}


def test_what_is_stored_in_an_unreadable_event_is_in_no_error() -> None:
    envelope = EventEnvelope(
        id=uuid4(), event="BookingExpired", at=datetime.now(UTC), data={"pickup": "12 Secret Street"}
    )
    with pytest.raises(ValidationError) as refused:
        catalog.customer(cast(Session, None), envelope)
    assert "broadcastId" in str(refused.value) and "Secret" not in str(refused.value)
