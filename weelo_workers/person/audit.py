"""Records who had a person erased or exported, and why."""

from __future__ import annotations

import logging
from uuid import UUID

log = logging.getLogger(__name__)


def record(
    action: str, person_id: UUID, *, command_id: UUID | None = None, reason: str | None = None
) -> None:
    """Record the action in the log of this process. `reason`: the operator's words, which must not name the person."""
    log.info(
        "audit: %s of %s, command %s, reason: %s", action, person_id, command_id or "none", reason or "none"
    )
