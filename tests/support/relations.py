"""Sends the commands of relations in tests with the fixture `world`."""

from __future__ import annotations

from typing import Literal
from uuid import UUID, uuid4

from tests.support.world import Fleet, World
from weelo_workers.contracts.fleet import RegisterDevice
from weelo_workers.contracts.outcomes import CommandOutcome
from weelo_workers.contracts.relations import (
    RemoveByCustomer,
    RemoveByOperator,
    RemoveByTransporter,
    SetByCustomer,
    SetByOperator,
    SetByTransporter,
)
from weelo_workers.contracts.statuses import Role

Side = Literal["customer", "transporter"]
SIDES: tuple[Side, ...] = ("customer", "transporter")


def new_customer(world: World) -> UUID:
    """Return the id of a customer who has sent a command."""
    customer = uuid4()
    device = RegisterDevice(user_id=customer, token=f"token of {customer}", platform="ios")
    world.execute(device, customer, Role.CUSTOMER)
    return customer


def set_by_customer(
    world: World, customer: UUID, fleet: Fleet, relation: Literal["blocked", "preferred"] = "blocked"
) -> CommandOutcome:
    command = SetByCustomer(customer_id=customer, transporter_id=fleet.id, relation=relation)
    return world.execute(command, customer, Role.CUSTOMER)


def set_by_transporter(world: World, customer: UUID, fleet: Fleet) -> CommandOutcome:
    command = SetByTransporter(transporter_id=fleet.id, customer_id=customer, relation="blocked")
    return world.execute(command, fleet.id, Role.TRANSPORTER)


def set_by_operator(world: World, customer: UUID, fleet: Fleet, reason: str = "a contract") -> CommandOutcome:
    command = SetByOperator(
        customer_id=customer, transporter_id=fleet.id, relation="contracted", reason=reason
    )
    return world.execute(command, uuid4(), Role.ADMIN)


def remove_by_operator(world: World, customer: UUID, fleet: Fleet) -> CommandOutcome:
    command = RemoveByOperator(customer_id=customer, transporter_id=fleet.id, reason="it has ended")
    return world.execute(command, uuid4(), Role.ADMIN)


def block(world: World, by: Side, customer: UUID, fleet: Fleet) -> CommandOutcome:
    """Let this side block the other."""
    if by == "customer":
        return set_by_customer(world, customer, fleet)
    return set_by_transporter(world, customer, fleet)


def unblock(world: World, by: Side, customer: UUID, fleet: Fleet) -> CommandOutcome:
    """Let this side remove its block."""
    if by == "customer":
        removal = RemoveByCustomer(customer_id=customer, transporter_id=fleet.id)
        return world.execute(removal, customer, Role.CUSTOMER)
    command = RemoveByTransporter(transporter_id=fleet.id, customer_id=customer)
    return world.execute(command, fleet.id, Role.TRANSPORTER)


def told(world: World, fleet: Fleet, broadcast_id: UUID) -> list[str]:
    """Return the names of the events about this broadcast in the log of the fleet, in order."""
    return [
        each["event"] for each in world.events_of(fleet.id) if each.get("broadcastId") == str(broadcast_id)
    ]


def why(world: World, broadcast_id: UUID, fleet: Fleet) -> tuple[str, ...]:
    """Return the reasons for which the steps passed over this fleet, in order."""
    query = (
        "SELECT reason FROM passed_over WHERE broadcast_id = :broadcast AND transporter_id = :fleet"
        " ORDER BY round, step"
    )
    return tuple(row.reason for row in world.rows(query, broadcast=broadcast_id, fleet=fleet.id))
