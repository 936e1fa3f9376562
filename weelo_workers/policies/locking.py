"""Locks the policies, so that changes of them happen one after the other."""

from __future__ import annotations

from sqlalchemy.dialects.postgresql import insert

from weelo_workers.lifecycles.policy import DEFAULT_SCOPE
from weelo_workers.messaging.unit_of_work import UnitOfWork
from weelo_workers.models import PolicyScope


def lock_policies(uow: UnitOfWork) -> None:
    """Lock the row of `default`, which every change of a policy locks first.

    A scope takes from `default` the values that it does not set. So a change of a scope is checked against `default`,
    and a change of `default` against all scopes. Under this lock no other policy changes between the check and the
    commit. Requests read the policies without this lock and do not wait for it.
    """
    row = insert(PolicyScope).values(scope=DEFAULT_SCOPE, changed_at=uow.now)
    uow.session.execute(
        row.on_conflict_do_update(index_elements=["scope"], set_={"scope": row.excluded.scope})
    )
    uow.refresh_now()
