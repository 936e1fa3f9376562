"""Run the handler of a claimed command."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from pydantic import ValidationError

from weelo_workers.contracts.command import Command, load
from weelo_workers.contracts.rejections import Rejected
from weelo_workers.contracts.wire import Wire
from weelo_workers.lifecycles.mailbox import REJECT, SUCCEED
from weelo_workers.messaging.claim import ClaimedRow
from weelo_workers.messaging.handlers import observe_outcome
from weelo_workers.messaging.unit_of_work import UnitOfWork

log = logging.getLogger(__name__)


class RejectedAfterWriting(Exception):
    """A handler has rejected the command after it had written rows, so the transaction has to be rolled back first.

    Most handlers reject before they write. With a savepoint before each handler, the whole transaction would not have
    to be rolled back, but every command would need two more round trips.
    """

    def __init__(self, refusal: Rejected, then: Callable[[], None] | None) -> None:
        """`then`: what to do after the commit of the rejection."""
        super().__init__(refusal)
        self.refusal = refusal
        self.then = then


class UnreadablePayload(Exception):
    """This version cannot read a stored payload. The text names the fields, and contains none of their values."""


def run(
    handler: Callable[[Any, UnitOfWork], Wire | None], row: ClaimedRow, uow: UnitOfWork
) -> dict[str, Any]:
    """Run the handler. Return the outcome as columns of the row.

    Raises RejectedAfterWriting, UnreadablePayload, and every error of the handler except Rejected.
    """
    command = _read_command(row.name, row.payload)
    try:
        result = handler(command, uow)
    except Rejected as refusal:
        if refusal.code not in command.rejects:
            # No traceback is logged, because it would only show where the handler rejects.
            name = refusal.code.name
            log.error("%s is rejected with %s, which it does not declare", row.name, name)  # noqa: TRY400
        then = observe_outcome(uow, refusal)
        if uow.has_written:
            raise RejectedAfterWriting(refusal, then) from refusal
        uow.discard()
        _after_commit(uow, then)
        return rejection(refusal)
    _after_commit(uow, observe_outcome(uow, None))
    return {
        "status": SUCCEED.to.value,
        "http_status": uow.http_status,
        "result": result.json_dict() if result is not None else None,
        "replayed": uow.replayed,
    }


def reject_again(rejected: RejectedAfterWriting, uow: UnitOfWork) -> dict[str, Any]:
    """Return the rejection of an earlier transaction, which was rolled back, as columns of the row."""
    _after_commit(uow, rejected.then)
    return rejection(rejected.refusal)


def _after_commit(uow: UnitOfWork, then: Callable[[], None] | None) -> None:
    if then is not None:
        uow.after_commit(then)


def rejection(refusal: Rejected) -> dict[str, Any]:
    """Return the outcome of a rejected command as columns of its row."""
    return {
        "status": REJECT.to.value,
        "http_status": refusal.code.http_status,
        "error": refusal.problem(),
    }


def _read_command(name: str, payload: dict[str, object]) -> Command:
    try:
        return load(name, payload)
    except ValidationError as refused:
        # The values are left out, since the text is logged: they may be names and phone numbers.
        errors = refused.errors(include_url=False, include_input=False, include_context=False)
        fields = [f"{'.'.join(map(str, each['loc'])) or 'payload'}: {each['msg']}" for each in errors[:3]]
        more = f"; and {len(errors) - 3} more" if len(errors) > 3 else ""
        raise UnreadablePayload("; ".join(fields) + more) from None
