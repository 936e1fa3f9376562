"""Handler: delete the records of a deleted webhook, a batch per command."""

from __future__ import annotations

from sqlalchemy import text

from weelo_workers.contracts.webhooks import PurgeDeliveries
from weelo_workers.messaging.handlers import handles
from weelo_workers.messaging.unit_of_work import UnitOfWork

BATCH = 1_000

_DELETE = text("""
    WITH deleted AS (
      DELETE FROM webhook_deliveries
       WHERE id IN (SELECT id FROM webhook_deliveries WHERE webhook_id = :webhook LIMIT :batch)
      RETURNING id
    )
    SELECT count(*) FROM deleted
""")


@handles(PurgeDeliveries)
def purge_deliveries(command: PurgeDeliveries, uow: UnitOfWork) -> None:
    """Delete one batch. The command sends itself again as long as there may be more."""
    parameters = {"webhook": command.webhook_id, "batch": BATCH}
    deleted = uow.session.execute(_DELETE, parameters).scalar_one()
    if deleted == BATCH:
        uow.send(command)
