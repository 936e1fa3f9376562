"""Writes the audit log: the actions of operators, each in the transaction of its effect."""

from __future__ import annotations

import getpass
import os
from typing import Any, cast
from uuid import UUID

from pydantic.alias_generators import to_camel
from sqlalchemy import Connection, Table, func, insert

from weelo_workers.contracts.command import audit_of
from weelo_workers.contracts.statuses import AuditOutcome
from weelo_workers.messaging.claim import ClaimedRow
from weelo_workers.messaging.unit_of_work import UnitOfWork
from weelo_workers.models import AuditRecord
from weelo_workers.randomness import new_id

NO_USER = "weelo"
"""The actor of an operator's command that no user has sent."""


def record(uow: UnitOfWork, row: ClaimedRow, outcome: dict[str, Any]) -> None:
    """Write the outcome of an operator's command into the audit log, together with its effect. Do nothing for other commands."""
    audit = audit_of(row.name)
    if audit is None:
        return
    details = {
        key: value for key, value in row.payload.items() if key not in (audit.subject_id, audit.reason)
    }
    error = outcome.get("error")
    uow.insert(
        AuditRecord(
            id=new_id(),
            at=uow.now,
            actor_id=row.caller_id,
            actor=row.caller_role or NO_USER,
            command=row.name,
            command_id=row.id,
            subject=audit.subject,
            subject_id=row.payload[audit.subject_id] if audit.subject_id else None,
            reason=row.payload[audit.reason],
            outcome=AuditOutcome.REJECTED if error else AuditOutcome.APPLIED,
            code=error["code"] if error else None,
            details=_in_camel_case(details),
        )
    )


def _in_camel_case(value: Any) -> Any:
    """Return the value with all names in camel case, also those of objects within it."""
    if isinstance(value, dict):
        return {to_camel(name): _in_camel_case(each) for name, each in value.items()}
    return value


def account() -> str:
    """Return the name under which the audit log records an action on the command line: the program and the system account."""
    try:
        return f"weelo ({getpass.getuser()})"
    except (KeyError, OSError):  # a container may run as a user without a name
        return f"weelo ({os.getuid()})"


def write(
    connection: Connection,
    *,
    actor: str,
    command: str,
    subject: str,
    subject_id: UUID | None,
    reason: str,
    code: str | None = None,
    details: dict[str, Any] | None = None,
) -> None:
    """Write an operator's action that is not a command in the mailbox. `code`: why it was refused; None if it was applied."""
    connection.execute(
        insert(cast(Table, AuditRecord.__table__)).values(
            id=new_id(),
            at=func.clock_timestamp(),
            actor=actor,
            command=command,
            subject=subject,
            subject_id=subject_id,
            reason=reason,
            outcome=AuditOutcome.APPLIED if code is None else AuditOutcome.REJECTED,
            code=code,
            details=details or {},
        )
    )
