"""Handler: push an event to users.

A user with a socket gets the push if no socket acknowledges the event within three seconds.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Collection, Sequence
from datetime import timedelta
from uuid import UUID

from sqlalchemy import case, delete, func, select

from weelo_workers import tracing
from weelo_workers.backoff import backoff
from weelo_workers.contracts.notifications import SendPushes
from weelo_workers.messaging.handlers import handles
from weelo_workers.messaging.unit_of_work import UnitOfWork
from weelo_workers.metrics import counters
from weelo_workers.models import Device
from weelo_workers.notifications import fcm, push_results, socket_sessions
from weelo_workers.notifications.catalog import BY_WIRE_NAME
from weelo_workers.randomness import uniform

log = logging.getLogger(__name__)

# CONTRACT section 6: a socket that has not acknowledged within this time may belong to a phone in a tunnel.
ACK_WITHIN = timedelta(seconds=3)
# If the push of an offer is being sent, the push of the offer's withdrawal waits for this long and is then tried again.
# FCM usually responds far sooner; otherwise it hangs for seconds.
TURN = timedelta(seconds=1)
MAX_RETRY_DELAY_SECONDS = 120.0


@handles(SendPushes)
def push(command: SendPushes, uow: UnitOfWork) -> None:
    """Push one event to the users for whom it is still useful. Runs in the background, because FCM may be slow.

    After a crash the command runs again. Some devices then get the push twice, and the app drops the second by its
    `seq`.
    """
    if uow.now >= command.ends_at:
        return
    if not _may_be_sent_now(command, uow):
        uow.send(command, at=uow.now + TURN)
        return
    users = _unread(command, _concerned(command, uow))
    if not command.waited:
        with_socket = users & socket_sessions.connected(users)
        if with_socket:
            later = {"to": {user: command.to[user] for user in with_socket}, "waited": True}
            uow.send(command.model_copy(update=later), at=uow.now + ACK_WITHIN)
        users -= with_socket
    devices = _devices(uow, users, command.devices)
    if not devices:
        return
    devices, rest = devices[: fcm.BATCH], devices[fcm.BATCH :]
    if rest:
        uow.send(_for(command, rest))
    if not fcm.is_configured():
        for device in devices:
            log.warning(
                "a push is not sent, because FCM has no credentials: %s to user %s",
                command.event,
                device.user_id,
            )
        counters.PUSHES.labels("unsent").inc(len(devices))
        return
    _send(command, uow, devices)


def _may_be_sent_now(command: SendPushes, uow: UnitOfWork) -> bool:
    """Return whether this push may be sent now: the push of a withdrawal must not reach FCM before the push of its offer.

    Both pushes have the same collapse key, so a sleeping phone gets only the one that FCM received last. The push of an
    offer holds a shared lock until FCM has answered. The push of a withdrawal does not keep the lock, but only tests
    whether it is free. That is enough, because a push of the offer that begins later finds the broadcast closed and is
    not sent.
    """
    about = func.hashtextextended(f"pushes about {command.data['broadcastId']}", 0)
    if "expiresAt" in command.data:
        uow.session.execute(select(func.pg_advisory_xact_lock_shared(about)))
        return True
    lock_is_free = case((func.pg_try_advisory_lock(about), func.pg_advisory_unlock(about)), else_=False)
    return bool(uow.session.scalar(select(lock_is_free)))


def _concerned(command: SendPushes, uow: UnitOfWork) -> set[UUID]:
    """Return the users for whom the push is still useful. The command may have waited for a long time."""
    route = BY_WIRE_NAME.get(command.event)
    if route is None:
        # During a deploy a worker of a newer version has sent this command. That version decided that the event is
        # worth a push. This version cannot check for which users the push is still useful, so it is sent to all of
        # them.
        return set(command.to)
    still = route.pushed
    return set(still(uow.session, command.data, command.to)) if still else set()


def _unread(command: SendPushes, users: Collection[UUID]) -> set[UUID]:
    read = socket_sessions.acked(users)
    return {user for user in users if read.get(user, 0) < command.to[user]}


def _for(command: SendPushes, devices: Sequence[Device], **changes: int) -> SendPushes:
    """Return the command for these devices only. The new command does not wait again for an acknowledgement by a socket."""
    to = {device.user_id: command.to[device.user_id] for device in devices}
    ids = tuple(device.id for device in devices)
    return command.model_copy(update={"to": to, "devices": ids, "waited": True, **changes})


def _devices(uow: UnitOfWork, users: Collection[UUID], only: tuple[UUID, ...] | None) -> Sequence[Device]:
    query = select(Device).where(Device.user_id.in_(users))
    if only is not None:
        query = query.where(Device.id.in_(only))
    return uow.session.scalars(query.order_by(Device.id)).all()


def _send(command: SendPushes, uow: UnitOfWork, devices: Sequence[Device]) -> None:
    messages = [
        fcm.Message(
            token=device.token,
            platform=device.platform,
            data={
                "type": command.event,
                "eventId": str(command.event_id),
                "seq": str(command.to[device.user_id]),
                **command.data,
            },
            collapse_key=command.data.get("broadcastId"),
            ends_at=command.ends_at,
        )
        for device in devices
    ]
    with tracing.span("push", "client", {"weelo.event": command.event, "weelo.devices": len(devices)}):
        answers = list(zip(devices, fcm.send(messages, uow.now), strict=True))
    _record([answer for _, answer in answers])
    uow.refresh_now()
    later = []
    for device, answer in answers:
        counters.PUSHES.labels(answer.status.value).inc()
        if answer.status is fcm.DeliveryStatus.REFUSED:
            log.error("FCM refuses %s to device %s: %s", command.event, device.id, answer.why)
        if answer.status is fcm.DeliveryStatus.GONE:
            log.info("FCM reports device %s of %s as gone", device.id, device.user_id)
        if answer.status is fcm.DeliveryStatus.LATER:
            later.append((device, answer))
    _delete_devices(
        uow, [device.id for device, answer in answers if answer.status is fcm.DeliveryStatus.GONE]
    )
    _try_again(command, uow, later)


def _record(answers: Sequence[fcm.DeliveryResult]) -> None:
    """Count the answers for the check `fcm-away`. An answer that the device is gone does not count as a failure."""
    failed = [
        each for each in answers if each.status in (fcm.DeliveryStatus.LATER, fcm.DeliveryStatus.REFUSED)
    ]
    push_results.record(len(answers) - len(failed), len(failed), failed[-1].why if failed else "")


def _delete_devices(uow: UnitOfWork, ids: Sequence[UUID]) -> None:
    """Delete these devices. Rows locked by other transactions are skipped, because an error here would repeat all pushes."""
    if ids:
        free = select(Device.id).where(Device.id.in_(ids)).with_for_update(skip_locked=True)
        uow.session.execute(
            delete(Device).where(Device.id.in_(free)), execution_options={"synchronize_session": False}
        )


def _try_again(
    command: SendPushes, uow: UnitOfWork, later: Sequence[tuple[Device, fcm.DeliveryResult]]
) -> None:
    """Repeat pushes that FCM did not accept.

    A push is repeated after the back-off, or after FCM's Retry-After if that is longer. It is dropped if it is no
    longer useful then (`ends_at`).
    """
    pause = _pause(command.attempt)
    by_pause: dict[float, list[Device]] = defaultdict(list)
    for device, answer in later:
        by_pause[max(pause, answer.retry_after)].append(device)
    for seconds, devices in by_pause.items():
        again_at = uow.now + timedelta(seconds=seconds)
        if again_at < command.ends_at:
            uow.send(_for(command, devices, attempt=command.attempt + 1), at=again_at)
        else:
            log.warning("%d pushes of %s dropped: they expire before a retry", len(devices), command.event)
    if later:
        log.warning("FCM did not accept %d pushes of %s: %s", len(later), command.event, later[0][1].why)


def _pause(attempt: int) -> float:
    """Return a random time in seconds between half the back-off and all of it, so that retries spread out."""
    longest = backoff(attempt + 1, first=1.0, longest=MAX_RETRY_DELAY_SECONDS)
    return longest * uniform(0.5, 1.0)
