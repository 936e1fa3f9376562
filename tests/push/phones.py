"""Users with devices, with open sockets, and with acknowledged events."""

from __future__ import annotations

from uuid import UUID, uuid4

from tests.support.world import Fleet, World
from weelo_workers.contracts.fleet import RegisterDevice
from weelo_workers.contracts.statuses import Role
from weelo_workers.notifications import socket_sessions
from weelo_workers.redis_client import redis


def device(world: World, of_user: UUID, platform: str = "android") -> str:
    token = f"token-{uuid4()}"
    command = RegisterDevice(user_id=of_user, token=token, platform=platform)
    assert world.execute(command, of_user, Role.TRANSPORTER).status == "succeeded"
    return token


def fleet_with_phone(world: World) -> tuple[Fleet, str]:
    fleet = world.fleet()
    return fleet, device(world, fleet.id)


def connect(of_user: UUID) -> None:
    """Record an open socket of this user, as an API process does."""
    redis().set(socket_sessions.alive("p"), 1)
    redis().zadd(socket_sessions.sockets_of(of_user), {"p/1": 1})


def acknowledge_all(world: World, of_user: UUID) -> None:
    """Record that this user has acknowledged all events, as an API process does."""
    redis().set(socket_sessions.acked_by(of_user), world.events_of(of_user)[-1]["seq"])


def pushes_to_send(world: World) -> list[UUID]:
    """Execute everything else that is due, then return the pushes that are due."""
    due = "SELECT id FROM mailbox WHERE settled_at IS NULL AND due_at <= clock_timestamp() AND name "
    while others := world.rows(f"{due} <> 'notifications.push' ORDER BY received_at"):
        for row in others:
            world.bus.execute(row.id)
    return [row.id for row in world.rows(f"{due} = 'notifications.push' ORDER BY received_at")]
