"""The faults: each a sentence, what it breaks, and how that is undone. All of them really happen."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass

from tests.faults.stage import DATABASE, Stage
from tests.waiting import eventually
from weelo_workers.contracts.queues import QUEUES

PREFORK = [queue for queue in QUEUES if queue != "notifications"]
DOWN_SECONDS = 30.0

Strike = Callable[["Breaking"], str]


@dataclass(frozen=True, slots=True)
class Breaking:
    """What a fault has at hand. `long`: how many seconds something stays broken that can."""

    stage: Stage
    dice: random.Random
    long: float

    def one_of(self, those: list[int]) -> list[int]:
        return [self.dice.choice(those)] if those else []


FAULTS: dict[str, Strike] = {}


def fault(sentence: str) -> Callable[[Strike], Strike]:
    def register(strike: Strike) -> Strike:
        assert sentence not in FAULTS
        FAULTS[sentence] = strike
        return strike

    return register


# --- processes --------------------------------------------------------------------------------------------


@fault("a prefork child is killed")
def kill_a_child(at: Breaking) -> str:
    queue = at.dice.choice(PREFORK)
    _, *children = at.stage.system.pids(queue) or [0]
    return f"{at.stage.send(signal.SIGKILL, at.one_of(children))} of {queue}"


@fault("a worker is killed, parent and children")
def kill_a_worker(at: Breaking) -> str:
    queue = at.dice.choice(QUEUES)
    return f"{at.stage.send(signal.SIGKILL, at.stage.system.pids(queue))} processes of {queue}"


@fault("the API is killed")
def kill_the_api(at: Breaking) -> str:
    pids = at.stage.system.pids("gunicorn")
    doomed = pids if at.dice.random() < 0.5 else at.one_of(pids[1:])
    return f"{at.stage.send(signal.SIGKILL, doomed)} of its processes"


@fault("beat is killed")
def kill_beat(at: Breaking) -> str:
    return f"{at.stage.send(signal.SIGKILL, at.stage.system.pids('beat'))} process"


@fault("all of the supervisor's children are killed at once")
def kill_all(at: Breaking) -> str:
    return f"{at.stage.send(signal.SIGKILL, at.stage.children())} children"


@fault("PostgreSQL is shut down at once")
def shut_down_the_database(at: Breaking) -> str:
    """As `pg_ctl stop -m immediate` does; the supervisor begins it again."""
    with at.stage.without(DATABASE):
        began = time.time()
        at.stage.send(signal.SIGQUIT, [at.stage.postgres.pid() or os.getpid()])
        eventually(lambda: at.stage.postgres.pid() is None, within=DOWN_SECONDS)
        eventually(at.stage.database_answers, within=DOWN_SECONDS)
    return f"for {time.time() - began:.1f} s"


@fault("Redis is killed")
def kill_redis(at: Breaking) -> str:
    at.stage.valkey.kill()
    return "kill -9"
