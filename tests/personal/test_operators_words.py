"""What operators wrote about a person is exported and erased with the person, and the operators' own data stay."""

from __future__ import annotations

from uuid import UUID

import pytest
from sqlalchemy import text

from tests.personal.scene import Person, Scene
from tests.support.world import World
from weelo_workers.contracts.broadcasts import CancelByOperator, WidenByOperator
from weelo_workers.contracts.command import Command
from weelo_workers.contracts.fleet import SetAvailabilityByOperator
from weelo_workers.contracts.reasons import CustomerReason
from weelo_workers.contracts.statuses import EndOutcome, Role
from weelo_workers.contracts.trips import EndTrip
from weelo_workers.models.engine import engine
from weelo_workers.person.exporting import export

OPERATOR = Person("Wolframite", Role.ADMIN)
WORDS = "caller from Hazelgrove Lane"
"""What the operator writes about the person, without their name."""


@pytest.fixture
def scene(world: World) -> Scene:
    """Return a scene in which an operator puts a fleet offline, widens a search, ends a trip and cancels the broadcast."""
    scene = Scene(world)
    scene.prepare()
    scene.book()
    act(
        scene,
        SetAvailabilityByOperator(transporter_id=scene.transporter.id, is_available=False, reason=WORDS),
    )
    act(scene, WidenByOperator(broadcast_id=scene.broadcast, reason=WORDS, step=2, round=0))
    scene.accept()
    [assignment] = world.assignments(scene.broadcast)
    act(scene, ending(assignment.id))
    act(scene, CancelByOperator(broadcast_id=scene.broadcast, reason=WORDS))
    return scene


def act(scene: Scene, command: Command) -> None:
    scene.act(OPERATOR, command)


def ending(assignment: UUID) -> EndTrip:
    return EndTrip(
        assignment_id=assignment, outcome=EndOutcome.FAILED, reason_code=CustomerReason.OTHER, note=WORDS
    )


SUBJECTS = {
    "customer": {"trips.end", "broadcasts.cancel_by_operator", "broadcasts.widen_by_operator"},
    "transporter": {"trips.end", "fleet.set_availability_by_operator"},
    "driver": {"trips.end"},
}
"""The operator's commands about each person."""


def names(scene: Scene, table: str, column: str) -> set[str]:
    """Return the names of the commands that still have the operator's words in this table."""
    query = f"SELECT {'command' if table == 'audit' else 'name'} AS name FROM {table} WHERE {column}::text LIKE :words"
    return {row.name for row in scene.world.rows(query, words=f"%{WORDS}%")}


@pytest.mark.parametrize("role", SUBJECTS)
def test_they_are_erased_with_the_person_they_are_about(scene: Scene, role: str) -> None:
    everything = set.union(*SUBJECTS.values())
    assert names(scene, "audit", "reason") == names(scene, "mailbox", "payload") == everything
    assert scene.erase(getattr(scene, role).id).status == "succeeded"
    left = everything - SUBJECTS[role]
    assert names(scene, "audit", "reason") == names(scene, "mailbox", "payload") == left


def test_they_are_nowhere_after_all_are_erased_and_the_operators_own_data_stay(scene: Scene) -> None:
    for person in scene.people:
        scene.erase(person.id)
    found = {table for table, dumped in scene.dump().items() if WORDS in dumped}
    assert found == set()
    rows = scene.world.rows(
        "SELECT caller_name, caller_phone, request_id FROM mailbox WHERE caller_id = :id", id=OPERATOR.id
    )
    mine = (OPERATOR.name, OPERATOR.phone, f"request-of-{OPERATOR.word}")
    assert [tuple(row) for row in rows] == [mine] * 4


@pytest.mark.parametrize("role", SUBJECTS)
def test_they_are_exported(scene: Scene, role: str) -> None:
    with engine().connect() as connection:
        tables = export(connection, getattr(scene, role).id)["tables"]
    assert {row["command"] for row in tables["audit"]} == SUBJECTS[role]
    about = {row["name"] for row in tables["mailbox"] if row["caller_id"] == str(OPERATOR.id)}
    assert about >= SUBJECTS[role]


def test_an_operators_waiting_command_about_the_person_is_executed_first(scene: Scene) -> None:
    waiting = scene.world.post(
        CancelByOperator(broadcast_id=scene.broadcast, reason=WORDS), OPERATOR.id, Role.ADMIN
    )
    erase = scene.send_erase(scene.customer.id)
    scene.world.bus.execute(erase)
    scene.world.bus.execute(waiting)
    scene.tick_until_erased(erase)
    assert names(scene, "mailbox", "payload") == names(scene, "audit", "reason")
    assert "broadcasts.cancel_by_operator" not in names(scene, "mailbox", "payload")


def test_an_operators_parked_command_about_the_person_is_deleted(scene: Scene) -> None:
    stuck = scene.world.post(
        CancelByOperator(broadcast_id=scene.broadcast, reason=WORDS), OPERATOR.id, Role.ADMIN
    )
    with scene.world.engine.begin() as connection:
        connection.execute(
            text("UPDATE mailbox SET attempts = 5, parked_at = clock_timestamp() WHERE id = :id"),
            {"id": stuck},
        )
    assert scene.erase(scene.customer.id).status == "succeeded"
    assert scene.world.rows("SELECT 1 FROM mailbox WHERE id = :id", id=stuck) == []


def test_what_was_written_about_others_stays(scene: Scene) -> None:
    """The erasure of a driver must not erase words about the customer's broadcast, although the driver was on its trip."""
    scene.erase(scene.driver.id)
    assert "broadcasts.cancel_by_operator" in names(scene, "mailbox", "payload")
