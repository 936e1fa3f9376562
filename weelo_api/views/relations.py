"""Relations of customers and transporters."""

from flask import Response

from weelo_api.commands.gateway import submit
from weelo_api.http.access import allow, caller
from weelo_api.http.declared import submits
from weelo_api.views.common import (
    Accepted,
    PageOf,
    Paging,
    Parameters,
    Query,
    blueprint,
    page,
    primary_session,
)
from weelo_workers.contracts.relations import (
    Contract,
    CustomersRelation,
    RelationView,
    RemoveByCustomer,
    RemoveByOperator,
    RemoveByTransporter,
    SetByCustomer,
    SetByOperator,
    SetByTransporter,
    TransportersRelation,
)
from weelo_workers.contracts.statuses import Role
from weelo_workers.contracts.wire import CustomerId, RequiredNote, TransporterId
from weelo_workers.queries.relations import own_relations

api = blueprint("relations")


class ByTransporterId(Parameters):
    """A path with the id of a transporter."""

    transporter_id: TransporterId


class ByCustomerId(Parameters):
    """A path with the id of a customer."""

    customer_id: CustomerId


class ReasonQuery(Query):
    """Why an operator deletes a contract."""

    reason: RequiredNote | None = None
    """Why the operator does this. It is stored in the audit log."""


class ByPair(Parameters):
    """A path with the ids of a customer and a transporter."""

    customer_id: CustomerId
    transporter_id: TransporterId


@api.put("/relations/transporters/<transporterId>", responses={200: RelationView, 202: Accepted})
@allow(Role.CUSTOMER)
@submits(SetByCustomer)
def set_by_customer(path: ByTransporterId, body: CustomersRelation) -> Response:
    """Block or prefer a transporter. A block withdraws an open offer; trucks that the transporter has won stay."""
    command = SetByCustomer(
        customer_id=caller().id, transporter_id=path.transporter_id, relation=body.relation
    )
    return submit(command, body)


@api.delete("/relations/transporters/<transporterId>", responses={200: RelationView, 202: Accepted})
@allow(Role.CUSTOMER)
@submits(RemoveByCustomer)
def remove_by_customer(path: ByTransporterId) -> Response:
    """Stop blocking or preferring a transporter."""
    return submit(RemoveByCustomer(customer_id=caller().id, transporter_id=path.transporter_id))


@api.put("/relations/customers/<customerId>", responses={200: RelationView, 202: Accepted})
@allow(Role.TRANSPORTER)
@submits(SetByTransporter)
def set_by_transporter(path: ByCustomerId, body: TransportersRelation) -> Response:
    """Block a customer. An open offer of this customer's request is withdrawn; trucks that the fleet has won stay."""
    command = SetByTransporter(
        transporter_id=caller().id, customer_id=path.customer_id, relation=body.relation
    )
    return submit(command, body)


@api.delete("/relations/customers/<customerId>", responses={200: RelationView, 202: Accepted})
@allow(Role.TRANSPORTER)
@submits(RemoveByTransporter)
def remove_by_transporter(path: ByCustomerId) -> Response:
    """Stop blocking a customer."""
    return submit(RemoveByTransporter(transporter_id=caller().id, customer_id=path.customer_id))


@api.get("/relations", responses={200: PageOf[RelationView]})
@allow(Role.CUSTOMER, Role.TRANSPORTER)
def relations(query: Paging) -> Response:
    """The relations that the caller has set, newest first. Those that the other side has set are not shown."""
    with primary_session() as session:
        return page(own_relations(session, caller().id, caller().role, query.page_request()))


@api.put(
    "/admin/customers/<customerId>/transporters/<transporterId>",
    responses={200: RelationView, 202: Accepted},
)
@allow(Role.ADMIN)
@submits(SetByOperator)
def set_by_operator(path: ByPair, body: Contract) -> Response:
    """Record that this customer and this transporter have a contract. A block by one of them prevails over it."""
    command = SetByOperator(
        customer_id=path.customer_id,
        transporter_id=path.transporter_id,
        relation=body.relation,
        reason=body.reason or "",
    )
    return submit(command, body)


@api.delete(
    "/admin/customers/<customerId>/transporters/<transporterId>",
    responses={200: RelationView, 202: Accepted},
)
@allow(Role.ADMIN)
@submits(RemoveByOperator)
def remove_by_operator(path: ByPair, query: ReasonQuery) -> Response:
    """Delete the contract of this customer and this transporter."""
    return submit(
        RemoveByOperator(
            customer_id=path.customer_id, transporter_id=path.transporter_id, reason=query.reason or ""
        )
    )
