"""The transporters with an offer of a broadcast, read once per transaction. Withdrawn offers are left out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from weelo_workers.models import Offer
from weelo_workers.models.prepared import prepared

_KNOWN = "offers by broadcast"


class OfferedTo(NamedTuple):
    """An offer: its transporter, and the version that the broadcast got with it."""

    transporter_id: UUID
    version: int


def offered_to(session: Session, broadcast_id: UUID, version: int) -> list[UUID]:
    """Return the transporters to whom the broadcast was offered up to this version, and whose offer is not withdrawn.

    The offers are read once per transaction. Offers that are made later have greater versions than the events of this
    transaction, so they are not missing.
    """
    known = session.info.setdefault(_KNOWN, {})
    if broadcast_id not in known:
        known[broadcast_id] = session.execute(_OFFERS_OF, {"broadcast": broadcast_id}).all()
    return [offer.transporter_id for offer in known[broadcast_id] if offer.version <= version]


def note_offered_to(session: Session, broadcast_id: UUID, offers: Sequence[OfferedTo]) -> None:
    """Keep these offers, so that `offered_to` need not read them. They were read while their broadcast was locked."""
    session.info.setdefault(_KNOWN, {})[broadcast_id] = offers


_OFFERS_OF = (
    select(Offer.transporter_id, Offer.version)
    .where(Offer.broadcast_id == bindparam("broadcast"), Offer.withdrawn_at.is_(None))
    .execution_options(**prepared("read_offers"))
)
