"""A block and an accept, a hold or a new request at the same time: what commits first decides, and no offer stays open."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from tests.support.locks import wait_for_waiting
from tests.support.relations import SIDES, Side, block, new_customer, told
from tests.support.world import Fleet, World
from weelo_workers.contracts.command import Command
from weelo_workers.contracts.relations import SetByCustomer, SetByTransporter
from weelo_workers.contracts.statuses import Role


def blocking(by: Side, customer: UUID, fleet: Fleet) -> tuple[Command, UUID, Role]:
    """Return the command by which this side blocks the other, its caller and the caller's role."""
    if by == "customer":
        command: Command = SetByCustomer(customer_id=customer, transporter_id=fleet.id, relation="blocked")
        return command, customer, Role.CUSTOMER
    command = SetByTransporter(transporter_id=fleet.id, customer_id=customer, relation="blocked")
    return command, fleet.id, Role.TRANSPORTER


def second_waits_for_first(world: World, broadcast: UUID, first: UUID, second: UUID) -> None:
    """Let two commands wait for the broadcast's lock, `first` before `second`, then release the lock."""
    lock = text("SELECT FROM broadcasts WHERE id = :id FOR NO KEY UPDATE")
    threads = []
    with world.engine.begin() as connection:
        connection.execute(lock, {"id": broadcast})
        for number, command in enumerate((first, second), start=1):
            threads.append(threading.Thread(target=world.bus.execute, args=(command,)))
            threads[-1].start()
            wait_for_waiting(world, number)
    for thread in threads:
        thread.join(timeout=30)
        assert not thread.is_alive()


@pytest.mark.parametrize("by", SIDES)
@pytest.mark.parametrize("first", ["block", "accept"])
def test_the_first_of_both_decides(world: World, by: Side, first: str) -> None:
    customer, fleet = new_customer(world), world.fleet()
    broadcast = world.broadcast(2, customer=customer)
    blocks = world.post(*blocking(by, customer, fleet))
    accepts = world.post(world.accepting(fleet, broadcast), fleet.id, Role.TRANSPORTER)
    in_order = (blocks, accepts) if first == "block" else (accepts, blocks)
    second_waits_for_first(world, broadcast, *in_order)
    accepted = world.outcome(accepts, fleet.id)
    assert world.outcome(blocks, customer if by == "customer" else fleet.id).status == "succeeded"
    if first == "block":
        assert accepted.error is not None
        assert accepted.error["code"] == "BLOCKED"
        assert world.live_assignments(broadcast) == 0
    else:
        assert accepted.status == "succeeded"
        assert world.live_assignments(broadcast) == 1
    world.drain()
    assert told(world, fleet, broadcast).count("offer_withdrawn") == 1


@pytest.mark.parametrize("by", SIDES)
def test_block_and_accept_at_once_have_one_outcome(world: World, by: Side) -> None:
    fleet = world.fleet()
    for _ in range(10):
        customer = new_customer(world)
        broadcast = world.broadcast(1, customer=customer)
        blocked, accepted = world.race(
            partial(block, world, by, customer, fleet), partial(world.accept, fleet, broadcast), spread=0.01
        )
        assert blocked.status == "succeeded"
        won = accepted.status == "succeeded"
        assert won or accepted.error["code"] == "BLOCKED"
        assert world.live_assignments(broadcast) == won
        world.drain()
        if won:
            world.cancel(broadcast)
            world.drain()


@pytest.mark.parametrize("by", SIDES)
def test_a_block_during_a_new_request_leaves_no_open_offer(world: World, by: Side) -> None:
    fleet = world.fleet()
    for _ in range(10):
        customer = new_customer(world)
        booking: Callable[[], Any] = partial(world.book, customer)
        blocked, booked = world.race(partial(block, world, by, customer, fleet), booking, spread=0.01)
        assert blocked.status == booked.status == "succeeded"
        world.drain()
        broadcast = UUID(booked.result["id"])
        open_offers = "SELECT count(*) FROM offers WHERE broadcast_id = :id AND declined_at IS NULL"
        assert world.value(open_offers, id=broadcast) == 0
        events = told(world, fleet, broadcast)
        assert events in ([], ["new_broadcast", "offer_withdrawn"])
        assert world.accept(fleet, broadcast).error["code"] == "BLOCKED"
        world.cancel(broadcast)
        world.drain()


@pytest.mark.parametrize("by", SIDES)
def test_a_block_that_waits_for_a_new_request_withdraws_its_offer(world: World, by: Side) -> None:
    """The block finds no open broadcast, waits for the lock of the transporter's row, and then finds the new offer."""
    customer, fleet = new_customer(world), world.fleet()
    booked = world.post(world.booking(customer), customer, Role.CUSTOMER)
    blocks = world.post(*blocking(by, customer, fleet))
    threads = [threading.Thread(target=world.bus.execute, args=(each,)) for each in (booked, blocks)]
    with world.engine.begin() as connection:
        connection.execute(
            text("SELECT FROM transporters WHERE id = :id FOR NO KEY UPDATE"), {"id": fleet.id}
        )
        for number, thread in enumerate(threads, start=1):
            thread.start()
            wait_for_waiting(world, number)
    for thread in threads:
        thread.join(timeout=30)
        assert not thread.is_alive()
    broadcast = UUID(world.outcome(booked, customer).result["id"])
    world.drain()
    assert told(world, fleet, broadcast) == ["new_broadcast", "offer_withdrawn"]
    assert world.accept(fleet, broadcast).error["code"] == "BLOCKED"
