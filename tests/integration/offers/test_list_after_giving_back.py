"""A transporter's list of offers after the fleet gave a slot back."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy.orm import Session

from tests.support.world import Fleet, World
from weelo_workers.contracts.reasons import ProviderReason
from weelo_workers.contracts.statuses import Role
from weelo_workers.contracts.trips import GiveBack
from weelo_workers.queries import offer_list
from weelo_workers.queries.pages import PageRequest


def test_a_broadcast_of_which_only_the_slot_given_back_is_open_is_not_in_the_fleets_offers(
    world: World,
) -> None:
    """The fleet keeps its offer as long as it may take the other slot.

    When another fleet has taken that slot, the list no longer has the broadcast.
    """
    fleet, other = world.fleet(trucks=2), world.fleet()
    broadcast = world.broadcast(2)
    world.accept(fleet, broadcast, fleet.trucks[:1])
    [assignment] = world.assignments(broadcast)
    world.answer(assignment, yes=True)
    give_back = GiveBack(
        assignment_id=assignment.id,
        user_id=fleet.id,
        role=Role.TRANSPORTER,
        reason_code=ProviderReason.BREAKDOWN,
    )
    assert world.execute(give_back, fleet.id, Role.TRANSPORTER).status == "succeeded"
    world.drain()
    [(_, slots)] = _offers(world, fleet)
    assert len(slots) == 1 and slots != [assignment.truck_request_id]
    [truck] = other.trucks
    truck = truck.model_copy(update={"truck_request_id": slots[0]})
    assert world.accept(other, broadcast, [truck]).status == "succeeded"
    assert world.status(broadcast) == "partially_filled"
    assert _offers(world, fleet) == []


def _offers(world: World, fleet: Fleet) -> list[tuple[UUID, list[UUID]]]:
    with Session(world.engine) as session:
        items = offer_list.offers(session, fleet.id, PageRequest(10, None)).items
    return [(UUID(item["broadcastId"]), [UUID(slot) for slot in item["truckRequestIds"]]) for item in items]
