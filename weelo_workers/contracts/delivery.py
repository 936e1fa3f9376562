"""How published events are kept until they are written into the logs of their readers."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from weelo_workers.contracts.wire import Timestamp


class EventEnvelope(BaseModel):
    """An event with the recipients that cannot be derived from rows (`to`)."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    id: UUID
    event: str
    at: Timestamp
    data: dict[str, Any]
    to: dict[str, Any] = {}
