"""Handler: a transporter goes online or offline."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy.dialects.postgresql import insert

from weelo_workers.contracts.broadcasts import CatchUp
from weelo_workers.contracts.fleet import (
    CHANGES_WINDOW_SECONDS,
    MAX_CHANGES,
    AvailabilityView,
    SetAvailability,
)
from weelo_workers.contracts.rejections import Code, Rejected
from weelo_workers.messaging.handlers import handles
from weelo_workers.messaging.unit_of_work import UnitOfWork
from weelo_workers.models import Transporter
from weelo_workers.presence_sync import sync_after_commit

CHANGES_WINDOW = timedelta(seconds=CHANGES_WINDOW_SECONDS)


@handles(SetAvailability)
def set_availability(command: SetAvailability, uow: UnitOfWork) -> AvailabilityView:
    """Store whether the transporter wants work. Raises Rejected(TOGGLE_RATE_LIMITED) after too many changes.

    Matching reads this row, so going offline takes effect with the commit, before presence is updated.
    """
    uow.session.execute(insert(Transporter).values(id=command.transporter_id).on_conflict_do_nothing())
    transporter = uow.lock(Transporter, command.transporter_id)
    assert transporter is not None
    if transporter.is_available != command.is_available:
        _count_change(transporter, uow)
        transporter.is_available = command.is_available
        transporter.changed_at = uow.now
        uow.session.flush()
    sync_after_commit(uow, command.transporter_id, heard=True)
    if transporter.is_available:
        uow.send(CatchUp(transporter_id=command.transporter_id))
    return AvailabilityView(is_available=transporter.is_available, changed_at=transporter.changed_at)


def _count_change(transporter: Transporter, uow: UnitOfWork) -> None:
    recent = [at for at in transporter.recent_changes if at > uow.now - CHANGES_WINDOW]
    if len(recent) >= MAX_CHANGES:
        wait = recent[0] + CHANGES_WINDOW - uow.now
        raise Rejected(
            Code.TOGGLE_RATE_LIMITED,
            f"At most {MAX_CHANGES} changes in {CHANGES_WINDOW.seconds // 60} minutes.",
            {"retryAfter": int(wait.total_seconds()) + 1},
        )
    transporter.recent_changes = [*recent, uow.now]
