"""Robot fleets: their rows, their vehicles and drivers, and their heartbeats.

A fleet is set up by the same commands that an app sends. The ids of these commands are derived from the
fleet's id, so repeating a part of the setup has no effect.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid5

from sqlalchemy import Connection, delete, func, insert, select, update

from weelo_api.commands.internal import wake
from weelo_api.telemetry import transporter_heartbeat
from weelo_workers.contracts.command import Caller, Command
from weelo_workers.contracts.fleet import (
    DriverDetails,
    RegisterDriver,
    RegisterVehicle,
    SetAvailability,
    VehicleDetails,
)
from weelo_workers.contracts.statuses import Role
from weelo_workers.messaging import mailbox
from weelo_workers.models.engine import autocommit_engine, engine
from weelo_workers.models.mailbox import MAILBOX
from weelo_workers.models.sandbox import FLEETS, ROBOTS
from weelo_workers.settings import settings

MAX_TRUCKS = 50
Sent = tuple[UUID, Command]
"""A command and its id."""


def driver_ids(transporter_id: UUID, trucks: int) -> list[UUID]:
    """Return the ids of the fleet's drivers."""
    return [uuid5(transporter_id, f"driver {number}") for number in range(1, trucks + 1)]


def store(values: dict[str, Any]) -> bool:
    """Store a fleet and its robots; the process of the sandbox sets them up. Return False if the id is in use."""
    with engine().begin() as connection:
        if connection.execute(
            select(FLEETS).where(FLEETS.c.transporter_id == values["transporter_id"])
        ).first():
            return False
        connection.execute(insert(FLEETS).values(created_at=func.clock_timestamp(), **values))
        users = [values["transporter_id"], *driver_ids(values["transporter_id"], values["trucks"])]
        connection.execute(
            insert(ROBOTS),
            [{"user_id": user_id, "fleet_id": values["transporter_id"], "seen_seq": 0} for user_id in users],
        )
        return True


def remove(transporter_id: UUID) -> bool:
    """Delete the fleet and take its transporter offline. Return False if there is no such fleet."""
    command = SetAvailability(transporter_id=transporter_id, is_available=False)
    command_id = uuid5(transporter_id, "goes offline")
    with engine().begin() as connection:
        if connection.execute(delete(FLEETS).where(FLEETS.c.transporter_id == transporter_id)).rowcount == 0:
            return False
        post(connection, (command_id, command), transporter_id, Role.TRANSPORTER)
    wake(command_id, command)
    return True


def post(connection: Connection, sent: Sent, user_id: UUID, role: Role) -> None:
    """Store a command of a robot, as the API stores those of apps. Posting the same id again has no effect."""
    command_id, command = sent
    mailbox.post(connection, command, Caller(user_id, role, "Robot"), command_id, "robot")


# --- setup ----------------------------------------------------------------------------------------------


def set_up() -> None:
    """Continue the setup of each fleet that is not ready.

    The steps are: register vehicles and drivers, go online, send the position. Each waits for the one before.
    """
    with autocommit_engine().connect() as connection:
        unready = connection.execute(select(FLEETS).where(FLEETS.c.ready_at.is_(None))).all()
    for fleet in unready:
        fleet_id = fleet.transporter_id
        if not _all_settled(fleet_id, list(_trucks(fleet))):
            continue
        online = SetAvailability(transporter_id=fleet_id, is_available=True)
        if not _all_settled(fleet_id, [(uuid5(fleet_id, "goes online"), online)]):
            continue
        transporter_heartbeat(fleet_id, fleet.latitude, fleet.longitude)
        with autocommit_engine().connect() as connection:
            ready = update(FLEETS).where(FLEETS.c.transporter_id == fleet_id)
            connection.execute(ready.values(ready_at=func.clock_timestamp()))


def _trucks(fleet: Any) -> Iterator[Sent]:
    """Yield the commands that register the vehicles and drivers of a fleet."""
    fleet_id: UUID = fleet.transporter_id
    kind = VehicleDetails(vehicle_type=fleet.vehicle_type, vehicle_subtype=fleet.vehicle_subtype)
    for number, driver_id in enumerate(driver_ids(fleet_id, fleet.trucks), start=1):
        plate = f"SB {fleet_id.hex[:12].upper()} {number:02}"
        yield (
            uuid5(fleet_id, f"vehicle {number}"),
            RegisterVehicle(transporter_id=fleet_id, vehicle_number=plate, details=kind),
        )
        details = DriverDetails(name=f"Robot {number}", phone=f"+91 90000 {number:05}")
        yield (
            uuid5(fleet_id, f"driver {number} joins"),
            RegisterDriver(transporter_id=fleet_id, driver_id=driver_id, details=details),
        )


def _all_settled(fleet_id: UUID, commands: list[Sent]) -> bool:
    """Post those of the commands that are not stored yet. Return whether all of them are settled."""
    with engine().begin() as connection:
        query = select(MAILBOX.c.id, MAILBOX.c.settled_at).where(
            MAILBOX.c.id.in_([command_id for command_id, _ in commands])
        )
        stored = {row.id: row.settled_at for row in connection.execute(query)}
        missing = [(command_id, command) for command_id, command in commands if command_id not in stored]
        for sent in missing:
            post(connection, sent, fleet_id, Role.TRANSPORTER)
    for command_id, command in missing:
        wake(command_id, command)
    return not missing and None not in stored.values()


# --- heartbeats -----------------------------------------------------------------------------------------


class Heartbeats:
    """Sends the heartbeats of all fleets, three in each PRESENCE_TTL_SECONDS of the sandbox's clock, as an app does."""

    def __init__(self) -> None:
        self._sent_at: datetime | None = None

    def next_at(self) -> datetime | None:
        """Return when the next heartbeats are due; None if none have been sent yet."""
        if self._sent_at is None:
            return None
        return self._sent_at + timedelta(seconds=settings().presence_ttl_seconds / 3)

    def send(self, now: datetime) -> None:
        """Send the heartbeats if they are due."""
        next_at = self.next_at()
        # If a reset has moved the clock back, `now` is before `_sent_at`, and the heartbeats are due.
        if next_at is not None and self._sent_at is not None and self._sent_at <= now < next_at:
            return
        with autocommit_engine().connect() as connection:
            query = select(FLEETS.c.transporter_id, FLEETS.c.latitude, FLEETS.c.longitude)
            ready = connection.execute(query.where(FLEETS.c.ready_at.is_not(None))).all()
        self._sent_at = now if ready else None
        for fleet in ready:
            transporter_heartbeat(fleet.transporter_id, fleet.latitude, fleet.longitude)
