"""Acts for robots: each new line in the log of a robot becomes a reaction, and each due reaction an ordinary command."""

from __future__ import annotations

from typing import Any, assert_never
from uuid import UUID, uuid5

from sqlalchemy import Connection, Row, delete, func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from weelo_api.commands.internal import wake
from weelo_api.sandbox.behaviours import NEXT_STATUS, Action, Behaviour, reaction
from weelo_api.sandbox.fleets import post
from weelo_workers.contracts.command import Command
from weelo_workers.contracts.offers import AcceptTrucks, DeclineOffer, Truck
from weelo_workers.contracts.reasons import ProviderReason
from weelo_workers.contracts.statuses import AssignmentStatus, Role
from weelo_workers.contracts.trips import AdvanceTrip, DriverAccepts, DriverDeclines, GiveBack
from weelo_workers.models import Driver, Vehicle, driver_busy, vehicle_busy
from weelo_workers.models.engine import engine
from weelo_workers.models.mailbox import MAILBOX, unsettled
from weelo_workers.models.sandbox import REACTIONS, ROBOTS

AT_ONCE = 200
"""One turn reads at most this many lines, and at most this many reactions."""

_UNREAD = text(f"""
    SELECT robot.user_id, robot.fleet_id, line.seq, fleet.behaviour, event.id, event.event,
           event.data || COALESCE(line.own, '{{}}') AS data,
           event.at + make_interval(secs => fleet.after_seconds) AS due_at
      FROM sandbox.robots AS robot
      JOIN sandbox.fleets AS fleet ON fleet.transporter_id = robot.fleet_id
      JOIN log_heads AS head ON head.user_id = robot.user_id AND head.seq > robot.seen_seq
      JOIN log_lines AS line ON line.user_id = robot.user_id AND line.seq > robot.seen_seq
      JOIN events AS event ON event.id = line.event_id
     ORDER BY event.position LIMIT {AT_ONCE}
""")


def read_logs() -> None:
    """Store a reaction for each new line that leads to one, and in the same transaction the number of the last line."""
    with engine().begin() as connection:
        seen: dict[UUID, int] = {}
        for line in connection.execute(_UNREAD).all():
            seen[line.user_id] = line.seq
            action = reaction(
                Behaviour(line.behaviour), line.event, line.data, is_driver=line.user_id != line.fleet_id
            )
            if action is not None:
                values = {
                    "id": uuid5(line.id, f"reaction of {line.user_id}"),
                    "fleet_id": line.fleet_id,
                    "user_id": line.user_id,
                    "action": action,
                    "about": line.data,
                    "due_at": line.due_at,
                }
                connection.execute(insert(REACTIONS).values(values).on_conflict_do_nothing())
        for user_id, seq in seen.items():
            connection.execute(update(ROBOTS).where(ROBOTS.c.user_id == user_id).values(seen_seq=seq))


def act() -> None:
    """Store the command of each reaction that is due, each in a transaction of its own, and wake a worker for it."""
    with engine().connect() as connection:
        query = select(REACTIONS).where(REACTIONS.c.due_at <= func.statement_timestamp())
        due = connection.execute(query.order_by(REACTIONS.c.due_at).limit(AT_ONCE)).all()
    for row in due:
        if (command := _act(row)) is not None:
            wake(row.id, command)


def _act(row: Row[Any]) -> Command | None:
    """Replace the reaction by its command, in one transaction. Return the command, or None if nothing was stored."""
    with engine().begin() as connection:
        if row.action == Action.ACCEPT_OFFER and _is_accepting(connection, row.fleet_id):
            # The trucks of the earlier accept look free until it is executed, so the next turn tries again.
            return None
        if connection.execute(delete(REACTIONS).where(REACTIONS.c.id == row.id)).rowcount == 0:
            return None
        command = _command_of(connection, row)
        if command is not None:
            role = Role.TRANSPORTER if row.user_id == row.fleet_id else Role.DRIVER
            post(connection, (row.id, command), row.user_id, role)
        return command


def _is_accepting(connection: Connection, fleet_id: UUID) -> bool:
    query = select(MAILBOX.c.id).where(
        unsettled(), MAILBOX.c.name == AcceptTrucks.name, MAILBOX.c.caller_id == fleet_id
    )
    return connection.execute(query.limit(1)).first() is not None


def _command_of(connection: Connection, row: Row[Any]) -> Command | None:
    """Return the command for a reaction; None if the fleet has no free truck."""
    user_id: UUID = row.user_id
    match Action(row.action):
        case Action.ACCEPT_OFFER:
            wanted = len(row.about["truckRequestIds"])
            trucks = _free_trucks(connection, row.fleet_id)[:wanted]
            return (
                AcceptTrucks(
                    broadcast_id=row.about["broadcastId"],
                    transporter_id=user_id,
                    trucks=tuple(trucks),
                    partial=True,
                )
                if trucks
                else None
            )
        case Action.DECLINE_OFFER:
            return DeclineOffer(
                broadcast_id=row.about["broadcastId"],
                transporter_id=user_id,
                reason_code=ProviderReason.OTHER,
            )
        case Action.ACCEPT_TRIP:
            return DriverAccepts(assignment_id=row.about["assignment"]["id"], driver_id=user_id)
        case Action.DECLINE_TRIP:
            return DriverDeclines(
                assignment_id=row.about["assignment"]["id"],
                driver_id=user_id,
                reason_code=ProviderReason.OTHER,
            )
        case Action.GIVE_BACK:
            return GiveBack(
                assignment_id=row.about["assignment"]["id"],
                user_id=user_id,
                role=Role.DRIVER,
                reason_code=ProviderReason.BREAKDOWN,
            )
        case Action.ADVANCE_TRIP:
            return AdvanceTrip(
                trip_id=row.about["assignment"]["tripId"],
                driver_id=user_id,
                status=NEXT_STATUS[AssignmentStatus(row.about["assignment"]["status"])],
            )
        case unknown:
            assert_never(unknown)


def _free_trucks(connection: Connection, fleet_id: UUID) -> list[Truck]:
    session = Session(connection)
    vehicles = session.scalars(
        select(Vehicle.id)
        .where(Vehicle.transporter_id == fleet_id, ~vehicle_busy)
        .order_by(Vehicle.vehicle_number)
    )
    drivers = session.scalars(
        select(Driver.id).where(Driver.transporter_id == fleet_id, ~driver_busy).order_by(Driver.id)
    )
    return [
        Truck(vehicle_id=vehicle, driver_id=driver)
        for vehicle, driver in zip(vehicles, drivers, strict=False)
    ]
