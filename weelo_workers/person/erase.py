"""Handler: replace the personal data of a person, portion by portion."""

from __future__ import annotations

from datetime import timedelta

from weelo_workers.contracts.person import ErasePerson
from weelo_workers.messaging.handlers import handles
from weelo_workers.messaging.unit_of_work import UnitOfWork
from weelo_workers.models import Erasure
from weelo_workers.person import redis_data
from weelo_workers.person.beginning import begin
from weelo_workers.person.rows import COMMANDS_THAT_FOLLOWED, PARTS
from weelo_workers.person.working import work

RETRY_AFTER = timedelta(seconds=5)
REDIS = "Redis"
"""The name of the last part."""

_NAMES = [*(part.name for part in PARTS), COMMANDS_THAT_FOLLOWED.name, REDIS]


@handles(ErasePerson)
def erase(command: ErasePerson, uow: UnitOfWork) -> None:
    """Replace the data in the rows, then remove the data in Redis. The command continues in further transactions.

    Before data are replaced, the command waits until all commands of the person are executed, is rejected if a request,
    a trip or a hold of the person is open, and ends the person's availability. Each transaction stores how far the
    erasure has come, so a crash repeats one portion at most. Raises Rejected: NOT_FOUND, INVALID_TRANSITION.
    """
    erasure = uow.session.get(Erasure, uow.command_id) or begin(command, uow, first=_NAMES[0])
    if erasure is None:
        return
    if erasure.part != REDIS:
        work(erasure, uow, _NAMES)
        # The data in Redis are removed after this commit, because before it a process could still copy old rows to
        # Redis.
        uow.continue_later()
        return
    try:
        redis_data.remove(erasure.person_id)
    except redis_data.RedisUnavailable:
        uow.continue_later(at=uow.now + RETRY_AFTER)
        return
    erasure.finished_at = uow.now
    erasure.request_ids = erasure.cursor = None
