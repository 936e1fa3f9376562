"""The operator's list of the audit log."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from weelo_workers.contracts.admin import AuditView
from weelo_workers.contracts.statuses import AuditOutcome
from weelo_workers.models import AuditRecord
from weelo_workers.queries.pages import Page, PageRequest


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Which actions to list. `subject_id`: the id of what an action was about. `since`, `until`: when it was executed."""

    actor_id: UUID | None = None
    subject_id: UUID | None = None
    since: datetime | None = None
    until: datetime | None = None
    subject_ids: tuple[UUID, ...] = ()
    """The ids of what the actions were about, to list actions about several things."""


def audit(session: Session, wanted: AuditFilter, page_request: PageRequest) -> Page:
    """Return a page of the actions of operators, newest first."""
    query = select(AuditRecord)
    if wanted.actor_id is not None:
        query = query.where(AuditRecord.actor_id == wanted.actor_id)
    if wanted.subject_id is not None:
        query = query.where(AuditRecord.subject_id == wanted.subject_id)
    if wanted.subject_ids:
        query = query.where(AuditRecord.subject_id.in_(wanted.subject_ids))
    if wanted.since is not None:
        query = query.where(AuditRecord.at >= wanted.since)
    if wanted.until is not None:
        query = query.where(AuditRecord.at < wanted.until)
    rows, next_cursor = page_request.apply(session, query, AuditRecord.at, AuditRecord.id)
    return Page([_view(row) for row in rows], next_cursor)


def _view(row: AuditRecord) -> AuditView:
    return AuditView(
        id=row.id,
        at=row.at,
        actor_id=row.actor_id,
        actor=row.actor,
        command=row.command,
        command_id=row.command_id,
        subject=row.subject,
        subject_id=row.subject_id,
        reason=row.reason,
        outcome=AuditOutcome(row.outcome),
        code=row.code,
        details=row.details,
    )
