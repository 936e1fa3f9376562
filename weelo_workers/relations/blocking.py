"""Blocks a pair: sets the mark and withdraws open offers. Unblocks a pair: offers the open broadcasts that were missed.

A block must not overlap with an accept, a hold or an offer of the same pair. So it first locks the customer's
broadcasts that are open, and those that may be opened again if a truck is lost. Accepts and holds lock their broadcast
too. The block then locks the row of the transporter, as every new offer does. The transaction that commits first
decides: a truck that was won before the block stays won; a transaction that gets the lock after the block sees the
block.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import Select, exists, or_, select
from sqlalchemy.dialects.postgresql import insert

from weelo_workers.contracts.broadcasts import CatchUp
from weelo_workers.contracts.relations import WithdrawOffer
from weelo_workers.lifecycles.assignment import LIVE
from weelo_workers.lifecycles.broadcast import FINAL, OPEN
from weelo_workers.messaging.unit_of_work import UnitOfWork
from weelo_workers.models import Assignment, Broadcast, Offer, Relation, Transporter
from weelo_workers.relations.marking import lock_relation, remove_marks, set_mark
from weelo_workers.relations.withdrawing import withdraw


def block(uow: UnitOfWork, customer_id: UUID, transporter_id: UUID, mark: str) -> datetime:
    """Set this mark of the pair and withdraw the open offer. Return since when the mark is set.

    A customer who blocks a transporter no longer prefers them.
    """
    broadcasts = _lock_broadcasts(uow, customer_id, transporter_id)
    uow.session.execute(insert(Transporter).values(id=transporter_id).on_conflict_do_nothing())
    uow.lock(Transporter, transporter_id)
    relation = lock_relation(uow, customer_id, transporter_id)
    if mark == Relation.blocked_by_customer_at.key:
        relation.preferred_at = None
    since = set_mark(uow, relation, mark)
    for broadcast in broadcasts:
        withdraw(uow, broadcast, transporter_id)
    locked = {broadcast.id for broadcast in broadcasts}
    for other_id in uow.session.scalars(_offered(customer_id, transporter_id)):
        # A transaction that did not wait for this one has made this offer. To lock its broadcast now, after the row of
        # the transporter, could cause a deadlock. So another command withdraws the offer.
        if other_id not in locked:
            uow.send(WithdrawOffer(broadcast_id=other_id, transporter_id=transporter_id))
    return since


def unblock(uow: UnitOfWork, relation: Relation, *marks: str) -> None:
    """Remove these marks. If that ends a block, offer the transporter the open broadcasts that they missed."""
    was_blocked = _blocks(relation)
    remove_marks(uow, relation, *marks)
    if was_blocked:
        offer_missed(uow, relation)


def offer_missed(uow: UnitOfWork, relation: Relation) -> None:
    """Offer the transporter the open broadcasts that they missed, unless the pair is still blocked."""
    if not _blocks(relation):
        uow.send(CatchUp(transporter_id=relation.transporter_id))


def _blocks(relation: Relation) -> bool:
    return bool(relation.blocked_by_customer_at or relation.blocked_by_transporter_at)


def _lock_broadcasts(uow: UnitOfWork, customer_id: UUID, transporter_id: UUID) -> list[Broadcast]:
    """Lock and return the customer's open broadcast, and those that are offered to the transporter and may be opened again."""
    is_open = select(Broadcast.id).where(Broadcast.customer_id == customer_id, Broadcast.status.in_(OPEN))
    ids = {*uow.session.scalars(is_open), *uow.session.scalars(_offered(customer_id, transporter_id))}
    return uow.lock_all(Broadcast, list(ids))


def _offered(customer_id: UUID, transporter_id: UUID) -> Select[UUID]:
    """Return a query for the customer's broadcasts that are offered to the transporter, and are open or may be opened again."""
    may_go_on = or_(
        Broadcast.status.not_in(FINAL),
        exists().where(Assignment.broadcast_id == Broadcast.id, Assignment.status.in_(LIVE)),
    )
    return (
        select(Broadcast.id)
        .join(Offer, Offer.broadcast_id == Broadcast.id)
        .where(
            Broadcast.customer_id == customer_id,
            Offer.transporter_id == transporter_id,
            Offer.withdrawn_at.is_(None),
            may_go_on,
        )
        .order_by(Broadcast.id)
    )
