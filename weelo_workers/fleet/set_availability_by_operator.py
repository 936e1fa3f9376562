"""Handler: an operator puts a transporter online or offline."""

from __future__ import annotations

from sqlalchemy.dialects.postgresql import insert

from weelo_workers import presence
from weelo_workers.contracts.broadcasts import CatchUp
from weelo_workers.contracts.fleet import AvailabilityChanged, AvailabilityView, SetAvailabilityByOperator
from weelo_workers.contracts.recipients import ToTransporter
from weelo_workers.contracts.rejections import Code, Rejected
from weelo_workers.contracts.statuses import Role
from weelo_workers.messaging.handlers import handles
from weelo_workers.messaging.unit_of_work import UnitOfWork
from weelo_workers.models import Transporter, User
from weelo_workers.presence_sync import sync_after_commit


@handles(SetAvailabilityByOperator)
def set_availability_by_operator(command: SetAvailabilityByOperator, uow: UnitOfWork) -> AvailabilityView:
    """Store whether the transporter is to get offers, and notify the transporter of a change.

    The limit on the transporter's own changes does not apply. Raises Rejected: TRANSPORTER_NOT_FOUND, or
    TRANSPORTER_SILENT if the transporter is to be put online while their app cannot be reached. TRANSPORTER_SILENT is
    also raised if the row already says that they want offers.
    """
    # Redis is read before the lock is taken, so that matching does not wait for Redis.
    reachable = not command.is_available or command.is_connected or _is_reachable(command)
    user = uow.session.get(User, command.transporter_id)
    if user is None or user.role != Role.TRANSPORTER:
        raise Rejected(Code.TRANSPORTER_NOT_FOUND)
    uow.session.execute(insert(Transporter).values(id=command.transporter_id).on_conflict_do_nothing())
    transporter = uow.lock(Transporter, command.transporter_id)
    assert transporter is not None
    # A transporter whose app sends no heartbeats gets no offers, even if they want them. A success would hide that the
    # app has to be opened.
    if not reachable:
        raise Rejected(Code.TRANSPORTER_SILENT)
    if transporter.is_available == command.is_available:
        uow.replayed = True
        return AvailabilityView(is_available=transporter.is_available, changed_at=transporter.changed_at)
    transporter.is_available = command.is_available
    transporter.changed_at = changed_at = uow.now
    uow.session.flush()
    uow.publish(
        AvailabilityChanged(is_available=command.is_available, changed_at=changed_at),
        ToTransporter(transporter_id=command.transporter_id),
    )
    sync_after_commit(uow, command.transporter_id, heard=command.is_available)
    if command.is_available:
        uow.send(CatchUp(transporter_id=command.transporter_id))
    return AvailabilityView(is_available=command.is_available, changed_at=changed_at)


def _is_reachable(command: SetAvailabilityByOperator) -> bool:
    """Return whether the app has sent a heartbeat lately; False if Redis does not answer."""
    try:
        return presence.is_reachable(command.transporter_id)
    except presence.PresenceUnavailable:
        return False
