"""Makes some commands and events kill the process that executes them. Python imports this module at start, in every
process that has this folder on its path.

A command whose id ends in "dead" ends the process that executes it. A `Deadly` event ends the process that delivers it.
In both cases the process ends at once and without an exception, as after a segmentation fault.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from weelo_workers.contracts.delivery import EventEnvelope
from weelo_workers.messaging import handlers
from weelo_workers.messaging.unit_of_work import UnitOfWork
from weelo_workers.notifications import catalog

known = handlers.handler_for


def handler(name: str) -> Callable[[Any, UnitOfWork], Any] | None:
    handler = known(name)
    if handler is None:
        return None

    def perhaps_deadly(command: Any, uow: UnitOfWork) -> Any:
        if str(uow.command_id).endswith("dead"):
            os._exit(1)
        return handler(command, uow)

    return perhaps_deadly


def nobody_lives_to_tell(session: Session, envelope: EventEnvelope) -> Mapping[UUID, catalog.Own]:
    os._exit(1)


handlers.handler_for = handler
catalog.BY_NAME["Deadly"] = catalog.Route("deadly", (nobody_lives_to_tell,))
