"""Handler: an operator pauses new requests in a scope, or lets them be accepted again."""

from __future__ import annotations

from sqlalchemy import update

from weelo_workers.contracts.policies import PausePolicy, PolicyView
from weelo_workers.contracts.rejections import Code, Rejected
from weelo_workers.messaging.handlers import handles
from weelo_workers.messaging.unit_of_work import UnitOfWork
from weelo_workers.models import PolicyScope
from weelo_workers.policies.locking import lock_policies
from weelo_workers.queries import policies


@handles(PausePolicy)
def pause(command: PausePolicy, uow: UnitOfWork) -> PolicyView:
    """Return the policy after the change. Requests that are already recorded, and open broadcasts, go on.

    Raises Rejected(POLICY_NOT_FOUND).
    """
    if policies.policy(uow.session, command.scope) is None:
        raise Rejected(Code.POLICY_NOT_FOUND)
    lock_policies(uow)
    changed = uow.session.scalars(
        update(PolicyScope)
        .where(PolicyScope.scope == command.scope, PolicyScope.paused != command.paused)
        .values(paused=command.paused, changed_at=uow.now)
        .returning(PolicyScope.scope)
        .execution_options(synchronize_session=False)
    )
    uow.replayed = changed.one_or_none() is None
    after = policies.policy(uow.session, command.scope)
    assert after is not None
    return after
