"""The commands that set and remove relations: what is stored, what each side reads, and what is refused."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest
from sqlalchemy.orm import Session

from tests.support.relations import (
    SIDES,
    Side,
    block,
    new_customer,
    remove_by_operator,
    set_by_customer,
    set_by_operator,
    set_by_transporter,
    unblock,
)
from tests.support.world import Fleet, World
from weelo_workers.contracts.statuses import Role
from weelo_workers.queries.pages import PageRequest
from weelo_workers.queries.relations import own_relations, relations_of

MARKS = ("blocked_by_customer_at", "blocked_by_transporter_at", "preferred_at", "contracted_at")


def marks(world: World) -> list[set[str]]:
    """Return the marks of each stored relation."""
    return [
        {mark for mark in MARKS if getattr(row, mark) is not None}
        for row in world.rows("SELECT * FROM relations ORDER BY customer_id, transporter_id")
    ]


def listed(world: World, user_id: UUID, role: Role) -> list[tuple[str, str]]:
    """Return what a user reads in the list: pairs of the other user's id and the relation."""
    other = "transporterId" if role is Role.CUSTOMER else "customerId"
    with Session(world.engine) as session:
        page = own_relations(session, user_id, role, PageRequest(100, None))
    return [(item[other], item["relation"]) for item in page.items]


@pytest.mark.parametrize("by", SIDES)
def test_a_block_is_stored_once_and_removed(world: World, by: Side) -> None:
    customer, fleet = new_customer(world), world.fleet()
    first = block(world, by, customer, fleet)
    again = block(world, by, customer, fleet)
    assert first.result == {
        "customerId": str(customer),
        "transporterId": str(fleet.id),
        "relation": "blocked",
        "since": first.result["since"],
    }
    assert again.result == first.result
    assert (first.replayed, again.replayed) == (False, True)
    assert marks(world) == [{f"blocked_by_{by}_at"}]
    removed = unblock(world, by, customer, fleet)
    assert (removed.result["relation"], removed.result["since"]) == (None, None)
    assert marks(world) == []
    assert unblock(world, by, customer, fleet).replayed
    assert marks(world) == [], "removing nothing stores nothing"


def test_a_customer_either_blocks_or_prefers(world: World) -> None:
    customer, fleet = uuid4(), world.fleet()
    set_by_customer(world, customer, fleet, "preferred")
    set_by_customer(world, customer, fleet, "blocked")
    assert marks(world) == [{"blocked_by_customer_at"}]
    preferred = set_by_customer(world, customer, fleet, "preferred")
    assert (preferred.result["relation"], preferred.replayed) == ("preferred", False)
    assert marks(world) == [{"preferred_at"}]


def test_each_side_and_the_operator_change_their_own_mark_only(world: World) -> None:
    customer, fleet = new_customer(world), world.fleet()
    set_by_operator(world, customer, fleet)
    set_by_customer(world, customer, fleet)
    set_by_transporter(world, customer, fleet)
    assert marks(world) == [{"blocked_by_customer_at", "blocked_by_transporter_at", "contracted_at"}]
    unblock(world, "customer", customer, fleet)
    assert marks(world) == [{"blocked_by_transporter_at", "contracted_at"}]
    remove_by_operator(world, customer, fleet)
    assert marks(world) == [{"blocked_by_transporter_at"}]


def test_each_side_reads_what_it_has_set_and_nothing_of_the_other(world: World) -> None:
    customer, fleets = new_customer(world), [world.fleet(online=False) for _ in range(4)]
    set_by_customer(world, customer, fleets[0], "blocked")
    set_by_customer(world, customer, fleets[1], "preferred")
    set_by_transporter(world, customer, fleets[2])
    set_by_operator(world, customer, fleets[3])
    assert listed(world, customer, Role.CUSTOMER) == [
        (str(fleets[1].id), "preferred"),
        (str(fleets[0].id), "blocked"),
    ]
    assert listed(world, fleets[0].id, Role.TRANSPORTER) == []
    assert listed(world, fleets[2].id, Role.TRANSPORTER) == [(str(customer), "blocked")]
    with Session(world.engine) as session:
        assert len(relations_of(session, customer, Role.CUSTOMER, 100)) == 4
        [of_fleet] = relations_of(session, fleets[3].id, Role.TRANSPORTER, 100)
    assert of_fleet.contracted_at is not None


def test_the_list_has_pages(world: World) -> None:
    customer, fleets = uuid4(), [world.fleet(online=False) for _ in range(5)]
    for fleet in fleets:
        set_by_customer(world, customer, fleet)
    found, cursor = [], None
    with Session(world.engine) as session:
        for _ in range(3):
            page = own_relations(session, customer, Role.CUSTOMER, PageRequest(2, cursor))
            found += [item["transporterId"] for item in page.items]
            cursor = page.next_cursor
    assert cursor is None
    assert found == [str(fleet.id) for fleet in reversed(fleets)]


def test_unknown_ids_are_refused_with_404(world: World) -> None:
    customer, fleet, unknown = new_customer(world), world.fleet(online=False), Fleet(uuid4())
    stranger = Fleet(customer)  # this id belongs to a customer, so no transporter has it
    for other in (unknown, stranger):
        assert set_by_customer(world, customer, other).error["code"] == "TRANSPORTER_NOT_FOUND"
        assert unblock(world, "customer", customer, other).error["code"] == "TRANSPORTER_NOT_FOUND"
        assert set_by_operator(world, customer, other).error["code"] == "TRANSPORTER_NOT_FOUND"
    assert set_by_transporter(world, uuid4(), fleet).error["code"] == "NOT_FOUND"
    assert unblock(world, "transporter", fleet.id, fleet).error["code"] == "NOT_FOUND"
    assert remove_by_operator(world, uuid4(), fleet).error["code"] == "NOT_FOUND"
    assert marks(world) == []


def test_a_contract_is_audited_with_its_reason(world: World) -> None:
    customer, fleet = new_customer(world), world.fleet(online=False)
    set_by_operator(world, customer, fleet, "signed in March")
    remove_by_operator(world, customer, fleet)
    set_by_operator(world, uuid4(), fleet, "")
    rows = world.rows("SELECT command, subject, subject_id, reason, outcome, code FROM audit ORDER BY at")
    assert [tuple(row) for row in rows] == [
        ("relations.set_by_operator", "transporter", fleet.id, "signed in March", "applied", None),
        ("relations.remove_by_operator", "transporter", fleet.id, "it has ended", "applied", None),
        ("relations.set_by_operator", "transporter", fleet.id, "", "rejected", "NOT_FOUND"),
    ]
