"""Handler: begin to post the lines that a webhook has not received yet."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

from weelo_workers.contracts.webhooks import DeliverWebhook
from weelo_workers.messaging.handlers import handles
from weelo_workers.messaging.unit_of_work import UnitOfWork
from weelo_workers.randomness import new_id
from weelo_workers.webhooks import leases, sending

# The command that continues the delivery if a sender crashes is due this many seconds after the end of the lease.
MARGIN_SECONDS = 0.5


@handles(DeliverWebhook)
def deliver(command: DeliverWebhook, uow: UnitOfWork) -> None:
    """Take the lease of the webhook, and post its lines after the commit, in this process.

    Nothing is posted here if the webhook is not active, if it is in its pause after a failure and has no line to
    resend, or if another sender has the lease: that sender finds the new lines before it releases the lease. With each
    lease this handler also sends a command that is due shortly after the end of the lease. If the sender has crashed by
    then, that command takes a new lease and posts the remaining lines. If the sender has extended its lease, that
    command sends itself again.
    """
    token = new_id()
    lease = leases.take(uow.session.connection(), command.webhook_id, token, at_once=command.at_once)
    if lease is None:
        return
    if lease.token in (token, command.lease):
        check = DeliverWebhook(webhook_id=command.webhook_id, lease=lease.token)
        uow.send(check, at=uow.now + timedelta(seconds=lease.seconds_left + MARGIN_SECONDS))
    if lease.token == token:
        uow.after_commit(partial(sending.start, command.webhook_id, token))
