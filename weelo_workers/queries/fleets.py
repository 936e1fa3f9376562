"""What a fleet has and whether it wants work."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from weelo_workers.models import Transporter, Vehicle


def kinds_if_available(session: Session, transporter_id: UUID) -> frozenset[str] | None:
    """The vehicle keys of a fleet that wants work; None if it does not."""
    transporter = session.get(Transporter, transporter_id)
    if transporter is None or not transporter.is_available:
        return None
    keys = session.scalars(select(Vehicle.vehicle_key).where(Vehicle.transporter_id == transporter_id).distinct())
    return frozenset(keys)
