"""Makes a process behave as one of a newer version, with a queue and commands that other processes do not know.

Python imports this module at start, in every process that has this folder on its path.
"""

from __future__ import annotations

from sqlalchemy import text

from weelo_workers.contracts.command import Command
from weelo_workers.messaging.handlers import handles
from weelo_workers.messaging.unit_of_work import UnitOfWork


class Charge(Command, name="payments.charge"):
    """A command of a new queue."""


class Wash(Command, name="fleet.wash"):
    """A new command of an old queue."""


def count(command: Command, uow: UnitOfWork) -> None:
    # A sequence keeps its value when a transaction is rolled back, so it counts every execution.
    uow.session.execute(text("SELECT nextval(:name)"), {"name": command.name.replace(".", "_")})


for each in (Charge, Wash):
    handles(each)(count)
