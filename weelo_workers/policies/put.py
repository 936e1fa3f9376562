"""Handler: an operator stores the next version of the policy of a scope."""

from __future__ import annotations

from sqlalchemy.dialects.postgresql import insert

from weelo_workers.contracts.policies import PolicyView, PutPolicy
from weelo_workers.messaging.handlers import handles
from weelo_workers.messaging.unit_of_work import UnitOfWork
from weelo_workers.models import PolicyScope, PolicyVersion
from weelo_workers.policies.locking import lock_policies
from weelo_workers.queries import policies
from weelo_workers.randomness import new_id


@handles(PutPolicy)
def put(command: PutPolicy, uow: UnitOfWork) -> PolicyView:
    """Return the policy with its new version. Broadcasts that are created after the commit begin with this version.

    Raises Rejected(VALIDATION_ERROR) if its values contradict each other or those of `default` (see
    `queries.policies.check`).
    """
    lock_policies(uow)
    stored = policies.stored(uow.session)
    policies.check(stored, command.scope, command.area, command.vehicle_types, command.settings)
    row = insert(PolicyScope).values(scope=command.scope, version=1, changed_at=uow.now)
    number = uow.session.scalars(
        row.on_conflict_do_update(
            index_elements=["scope"],
            set_={"version": PolicyScope.version + 1, "changed_at": row.excluded.changed_at},
        ).returning(PolicyScope.version)
    ).one()
    searches = ("broadcastTimeoutSeconds", "reofferSeconds")
    uow.add(
        PolicyVersion(
            id=new_id(),
            scope=command.scope,
            version=number,
            area=command.area.json_dict() if command.area else None,
            vehicle_types=command.vehicle_types,
            settings=command.settings,
            longest_search_seconds=max(command.settings.get(name, 0) for name in searches),
            reason=command.reason,
            actor_id=uow.caller.id if uow.caller else None,
            created_at=uow.now,
        )
    )
    new = policies.policy(uow.session, command.scope)
    assert new is not None
    return new
