"""A transporter's offers: list them, accept or hold their slots, decline them."""

from flask import Response

from weelo_api.commands.gateway import submit
from weelo_api.http.access import allow, caller
from weelo_api.http.declared import rejects, submits
from weelo_api.views.common import (
    Accepted,
    ById,
    PageOf,
    Paging,
    blueprint,
    json_or_404,
    page,
    primary_session,
    replica_session,
)
from weelo_workers.contracts.offers import (
    Acceptance,
    AcceptResult,
    AcceptTrucks,
    Confirmation,
    ConfirmHold,
    DeclineOffer,
    DeclineResult,
    HoldSlots,
    HoldView,
    OfferView,
    OneTruck,
    RecipientView,
    Refusal,
    ReleaseHold,
    SlotsWanted,
    Truck,
    WhyView,
)
from weelo_workers.contracts.rejections import Code, Rejected
from weelo_workers.contracts.statuses import Role
from weelo_workers.contracts.wire import TransporterId
from weelo_workers.models.engine import read_engine
from weelo_workers.notifications.socket_sessions import acked
from weelo_workers.queries import broadcasts, offer_list
from weelo_workers.queries.offer_explanation import explain as why_offered
from weelo_workers.queries.recipients import recipients as recipients_of

api = blueprint("offers")


class ByTransporter(ById):
    """A path with the id of a broadcast and the user id of a transporter."""

    transporter_id: TransporterId


@api.get("/offers", responses={200: PageOf[OfferView]})
@allow(Role.TRANSPORTER)
def offers(query: Paging) -> Response:
    """Open offers, newest first."""
    with read_engine().connect() as connection:
        items = offer_list.offers(connection, caller().id, query.page_request())
    return page(items)


@api.get("/broadcasts/<id>/offers", responses={200: PageOf[RecipientView]})
@allow(Role.ADMIN)
@rejects(Code.BROADCAST_NOT_FOUND)
def recipients(path: ById, query: Paging) -> Response:
    """The transporters to whom the broadcast was offered, and those who were passed over, newest first.

    Each has the step, the distance, the time, and the reason or the answer.
    """
    with replica_session() as session:
        items = recipients_of(session, path.id, query.page_request())
    if items is None:
        raise Rejected(Code.BROADCAST_NOT_FOUND)
    return page(items)


@api.get("/broadcasts/<id>/offers/<transporterId>", responses={200: WhyView})
@allow(Role.ADMIN, Role.TRANSPORTER)
@rejects(Code.BROADCAST_NOT_FOUND)
def why(path: ByTransporter) -> Response:
    """Explain why a transporter has an offer of a broadcast, or has none. For admins and that transporter."""
    if caller().role is Role.TRANSPORTER and caller().id != path.transporter_id:
        raise Rejected(Code.NOT_FOUND)
    with replica_session() as session:
        seen_up_to = acked([path.transporter_id]).get(path.transporter_id)
        answer = why_offered(
            session,
            path.id,
            path.transporter_id,
            seen_up_to,
            for_transporter=caller().role is Role.TRANSPORTER,
        )
    return json_or_404(answer.json_dict() if answer else None, Code.BROADCAST_NOT_FOUND)


@api.post("/broadcasts/<id>/accept", responses={200: AcceptResult, 202: Accepted})
@allow(Role.TRANSPORTER)
@submits(AcceptTrucks)
def accept(path: ById, body: Acceptance) -> Response:
    """Accept one truck slot or several: all of them or none, unless `partial`."""
    command = AcceptTrucks(
        broadcast_id=path.id, transporter_id=caller().id, trucks=body.offered(), partial=body.partial
    )
    return submit(command, body)


@api.post("/truck-requests/<id>/accept", responses={200: AcceptResult, 202: Accepted})
@allow(Role.TRANSPORTER)
@submits(AcceptTrucks)
def accept_slot(path: ById, body: OneTruck) -> Response:
    """Accept the slot with this id, and no other slot of its broadcast."""
    with primary_session() as session:
        broadcast_id = broadcasts.offered_with_slot(session, path.id, caller().id)
    if broadcast_id is None:
        raise Rejected(Code.TRUCK_REQUEST_NOT_FOUND)
    truck = Truck(vehicle_id=body.vehicle_id, driver_id=body.driver_id, truck_request_id=path.id)
    return submit(AcceptTrucks(broadcast_id=broadcast_id, transporter_id=caller().id, trucks=(truck,)), body)


@api.post("/broadcasts/<id>/hold", responses={200: HoldView, 202: Accepted})
@allow(Role.TRANSPORTER)
@submits(HoldSlots)
def hold(path: ById, body: SlotsWanted) -> Response:
    """Hold slots, so that no other transporter can take them until the hold ends."""
    return submit(HoldSlots(broadcast_id=path.id, transporter_id=caller().id, request=body), body)


@api.post("/holds/<id>/confirm", responses={200: AcceptResult, 202: Accepted})
@allow(Role.TRANSPORTER)
@submits(ConfirmHold)
def confirm_hold(path: ById, body: Confirmation) -> Response:
    """Assign trucks to the held slots. Held slots that get no truck are open to other transporters again."""
    trucks = tuple(Truck(vehicle_id=each.vehicle_id, driver_id=each.driver_id) for each in body.assignments)
    return submit(ConfirmHold(hold_id=path.id, transporter_id=caller().id, trucks=trucks), body)


@api.post("/holds/<id>/release", responses={200: HoldView, 202: Accepted})
@allow(Role.TRANSPORTER)
@submits(ReleaseHold)
def release_hold(path: ById) -> Response:
    """Release a hold before it expires."""
    return submit(ReleaseHold(hold_id=path.id, transporter_id=caller().id))


@api.post("/broadcasts/<id>/decline", responses={200: DeclineResult, 202: Accepted})
@allow(Role.TRANSPORTER)
@submits(DeclineOffer)
def decline(path: ById, body: Refusal) -> Response:
    """Decline a broadcast, which then leaves the transporter's list of offers."""
    command = DeclineOffer(
        broadcast_id=path.id,
        transporter_id=caller().id,
        reason=body.reason,
        reason_code=body.reason_code,
    )
    return submit(command, body)
