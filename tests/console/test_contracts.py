"""The page of a customer: an operator finds it, records contracts with fleets, and deletes them."""

from __future__ import annotations

import re
from uuid import UUID, uuid4

from tests.console.operator import Operator
from tests.support.relations import new_customer
from tests.support.world import Fleet, World


def words(page: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))


def contracts(world: World, customer: UUID) -> list[UUID]:
    query = "SELECT transporter_id FROM relations WHERE customer_id = :id AND contracted_at IS NOT NULL"
    return [row.transporter_id for row in world.rows(query, id=customer)]


def record(world: World, operator: Operator, customer: UUID, fleet: Fleet, key: str) -> None:
    form = {"fleet": str(fleet.id), "reason": "a contract from April on", "key": key}
    command = operator.command_id(operator.send(f"/customers/{customer}/contracts", form))
    world.bus.execute(command)
    assert "applied" in operator.get(f"/commands/{command}")


def test_an_operator_records_lists_and_deletes_contracts(world: World, operator: Operator) -> None:
    customer, fleet, other = new_customer(world), world.fleet(), world.fleet()
    assert "This customer has no contract." in words(operator.get(f"/customers/{customer}"))
    record(world, operator, customer, fleet, "the first form")
    record(world, operator, customer, other, "the second form")
    page = operator.get(f"/customers/{customer}")
    for each in (fleet, other):
        assert f"/console/customers/{customer}/contracts/{each.id}/delete" in page
    outcome = operator.use(
        f"/customers/{customer}/contracts/{fleet.id}/delete", "it has ended", key="to delete"
    )
    world.bus.execute(operator.command_id(outcome))
    assert contracts(world, customer) == [other.id]
    audit = words(operator.get("/audit"))
    assert "record contract" in audit and "delete contract" in audit and "it has ended" in audit


def test_a_fleet_is_named_by_its_plate_and_must_be_the_only_one(world: World, operator: Operator) -> None:
    customer, fleet, _ = new_customer(world), world.fleet(), world.fleet()
    path, reason = f"/customers/{customer}/contracts", "a contract"
    plate = world.value("SELECT vehicle_number FROM vehicles WHERE transporter_id = :id", id=fleet.id)
    assert "no fleet matches" in operator.send(path, {"fleet": "nobody", "reason": reason}).text
    assert "reason" in operator.send(path, {"fleet": plate, "reason": " ", "key": "without a reason"}).text
    assert world.value("SELECT count(*) FROM mailbox WHERE name = 'relations.set_by_operator'") == 0
    outcome = operator.send(path, {"fleet": plate, "reason": reason, "key": "by the plate"})
    world.bus.execute(operator.command_id(outcome))
    assert contracts(world, customer) == [fleet.id]


def test_a_form_of_another_session_records_nothing(world: World, operator: Operator) -> None:
    customer, fleet = new_customer(world), world.fleet()
    fields = {"fleet": str(fleet.id), "reason": "a contract", "form_token": "of another session"}
    assert operator.send(f"/customers/{customer}/contracts", fields).status_code == 403
    assert contracts(world, customer) == []


def test_the_page_of_policies_leads_to_a_customer(world: World, operator: Operator) -> None:
    customer = new_customer(world)
    assert 'action="/console/customers"' in operator.get("/policies")
    found = operator.client.get(f"/console/customers?q={customer}")
    assert (found.status_code, found.headers["Location"]) == (303, f"/console/customers/{customer}")
    for text in (str(uuid4()), "nobody", "", "%"):
        assert operator.client.get("/console/customers", query_string={"q": text}).status_code == 404
