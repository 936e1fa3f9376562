"""A customer's broadcasts: request trucks, follow the request, cancel it."""

from flask import Response

from weelo_api.commands.gateway import submit
from weelo_api.commands.idempotency import has_idempotency_key
from weelo_api.commands.new_requests import admission
from weelo_api.http.access import allow, anyone, caller
from weelo_api.http.declared import rejects, sends, submits
from weelo_api.views.common import (
    Accepted,
    ById,
    PageOf,
    Paging,
    blueprint,
    has_tag,
    json_or_404,
    page,
    replica_session,
    tagged,
)
from weelo_workers.contracts.broadcasts import (
    BroadcastDetails,
    BroadcastView,
    CancelBroadcast,
    Cancellation,
    CancelResult,
    ContinuePartial,
    CreateBooking,
    CreateOrder,
    NewBooking,
    NewOrder,
    TimelineEntry,
)
from weelo_workers.contracts.rejections import Code
from weelo_workers.contracts.statuses import BroadcastKind, Role
from weelo_workers.queries import broadcasts

api = blueprint("broadcasts")

NOT_MODIFIED = sends(
    304, content_type=None, description="The client has the present state (`If-None-Match`)."
)


@api.post("/bookings", responses={201: BroadcastView, 202: Accepted})
@allow(Role.CUSTOMER)
@submits(CreateBooking)
@rejects(Code.NOT_SERVED, Code.AREA_PAUSED)
def create_booking(body: NewBooking) -> Response:
    """Request trucks of one kind."""
    command = CreateBooking(customer_id=caller().id, request=body, keyed=has_idempotency_key())
    return submit(command, body, admission(command))


@api.put("/bookings/<id>/cancel", responses={200: CancelResult, 202: Accepted})
@allow(Role.CUSTOMER)
@submits(CancelBroadcast, without=(Code.ORDER_NOT_FOUND,))
def cancel_booking(path: ById, body: Cancellation) -> Response:
    """Cancel a booking, at any time until a truck is under way. Cancelling it again succeeds."""
    return submit(_cancellation(path, body, BroadcastKind.BOOKING), body)


@api.post("/orders", responses={201: BroadcastView, 202: Accepted})
@allow(Role.CUSTOMER)
@submits(CreateOrder)
@rejects(Code.NOT_SERVED, Code.AREA_PAUSED)
def create_order(body: NewOrder) -> Response:
    """Request trucks of several kinds."""
    command = CreateOrder(customer_id=caller().id, request=body, keyed=has_idempotency_key())
    return submit(command, body, admission(command))


@api.put("/orders/<id>/cancel", responses={200: CancelResult, 202: Accepted})
@allow(Role.CUSTOMER)
@submits(CancelBroadcast, without=(Code.BOOKING_NOT_FOUND,))
def cancel_order(path: ById, body: Cancellation) -> Response:
    """Cancel an order, at any time until a truck is under way. Cancelling it again succeeds."""
    return submit(_cancellation(path, body, BroadcastKind.ORDER), body)


def _cancellation(path: ById, body: Cancellation, kind: BroadcastKind) -> CancelBroadcast:
    return CancelBroadcast(
        broadcast_id=path.id,
        customer_id=caller().id,
        kind=kind,
        reason=body.reason,
        reason_code=body.reason_code,
    )


@api.post("/orders/<id>/continue-partial", responses={200: BroadcastView, 202: Accepted})
@allow(Role.CUSTOMER)
@submits(ContinuePartial, without=(Code.BOOKING_NOT_FOUND,))
def continue_order(path: ById) -> Response:
    """Continue an expired order with only the trucks that were assigned in time."""
    return submit(ContinuePartial(broadcast_id=path.id, customer_id=caller().id, kind=BroadcastKind.ORDER))


@api.post("/bookings/<id>/continue-partial", responses={200: BroadcastView, 202: Accepted})
@allow(Role.CUSTOMER)
@submits(ContinuePartial, without=(Code.ORDER_NOT_FOUND,))
def continue_booking(path: ById) -> Response:
    """Continue an expired booking with only the trucks that were assigned in time."""
    return submit(ContinuePartial(broadcast_id=path.id, customer_id=caller().id, kind=BroadcastKind.BOOKING))


@api.get("/orders/<id>", responses={200: BroadcastDetails})
@NOT_MODIFIED
@anyone
@rejects(Code.ORDER_NOT_FOUND)
def order(path: ById) -> Response:
    """An order with its slots and assignments."""
    with replica_session() as session:
        found = broadcasts.find(session, path.id, caller(), BroadcastKind.ORDER, is_known=has_tag)
    return tagged(found, Code.ORDER_NOT_FOUND)


@api.get("/bookings/<id>", responses={200: BroadcastDetails})
@NOT_MODIFIED
@anyone
@rejects(Code.BOOKING_NOT_FOUND)
def booking(path: ById) -> Response:
    """A booking with its slots and assignments."""
    with replica_session() as session:
        found = broadcasts.find(session, path.id, caller(), BroadcastKind.BOOKING, is_known=has_tag)
    return tagged(found, Code.BOOKING_NOT_FOUND)


@api.get("/broadcasts/current", responses={200: BroadcastView})
@allow(Role.CUSTOMER)
@rejects(Code.BROADCAST_NOT_FOUND)
def current_broadcast() -> Response:
    """The customer's open broadcast, or 404."""
    with replica_session() as session:
        return json_or_404(broadcasts.current(session, caller().id), Code.BROADCAST_NOT_FOUND)


@api.get("/broadcasts/<id>", responses={200: BroadcastDetails})
@NOT_MODIFIED
@anyone
@rejects(Code.BROADCAST_NOT_FOUND)
def broadcast(path: ById) -> Response:
    """A broadcast with its slots and the assignments that the reader may see."""
    with replica_session() as session:
        found = broadcasts.find(session, path.id, caller(), is_known=has_tag)
    return tagged(found, Code.BROADCAST_NOT_FOUND)


@api.get("/broadcasts", responses={200: PageOf[BroadcastView]})
@allow(Role.CUSTOMER)
def own_broadcasts(query: Paging) -> Response:
    """The customer's own bookings and orders, newest first."""
    with replica_session() as session:
        return page(broadcasts.history(session, caller().id, query.page_request()))


@api.get("/broadcasts/<id>/timeline", responses={200: PageOf[TimelineEntry]})
@allow(Role.CUSTOMER, Role.ADMIN)
@rejects(Code.BROADCAST_NOT_FOUND)
def timeline(path: ById) -> Response:
    """Every transition with its time and cause, oldest first."""
    with replica_session() as session:
        entries = broadcasts.timeline(session, path.id, caller())
    return json_or_404(
        None if entries is None else {"items": entries, "nextCursor": None}, Code.BROADCAST_NOT_FOUND
    )
