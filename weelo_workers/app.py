"""Celery wiring: finds the verbs, gives each command its task, rings bells, lets beat sweep."""

from __future__ import annotations

import logging
import time
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any
from uuid import UUID

from celery import Celery, signals
from celery.beat import Scheduler
from kombu.exceptions import KombuError
from redis.exceptions import RedisError

from weelo_workers.contracts.command import REGISTRY
from weelo_workers.messaging.bell import BellSilent, Ring
from weelo_workers.messaging.bus import Bus
from weelo_workers.messaging.sweep import sweep
from weelo_workers.models.engine import engine, forget_connections
from weelo_workers.settings import settings

DOMAINS = ("broadcasts", "offers", "trips", "fleet", "notifications")

app = Celery("weelo", config_source="celeryconfig")


def find_verbs() -> None:
    """Import every module of every domain, so that each verb's @handles runs."""
    for domain in DOMAINS:
        for module in iter_modules([str(Path(__file__).parent / domain)]):
            import_module(f"weelo_workers.{domain}.{module.name}")


class CeleryBell:
    """Rings by a Celery message that holds nothing but the command's id."""

    # After a failed ring the broker is left alone for a moment: callers must not queue up behind its time-outs.
    PAUSE_SECONDS = 2.0

    def __init__(self, celery: Celery) -> None:
        self._celery = celery
        self._silent_until = 0.0

    def ring(self, ring: Ring) -> None:
        if time.monotonic() < self._silent_until:
            raise BellSilent(ring.name)
        try:
            self._celery.send_task(
                ring.name, args=[str(ring.id)], queue=ring.queue, countdown=ring.countdown or None, retry=False
            )
        except (KombuError, RedisError, OSError) as error:
            self._silent_until = time.monotonic() + self.PAUSE_SECONDS
            logging.getLogger(__name__).warning("the bell is silent: %s", error)
            raise BellSilent(ring.name) from error


def bus() -> Bus:
    return Bus(engine(), CeleryBell(app))


class SweepingScheduler(Scheduler):
    """Beat as the second clock: it sweeps in its own process.

    A sweep sent as a message would pass through the broker whose losses it is there to mend.
    """

    def setup_schedule(self) -> None:
        self._bus = bus()

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """One sweep. Returns the seconds until the next, as beat expects."""
        began = time.monotonic()
        sweep(self._bus, seconds=settings().sweep_seconds * 5)
        return max(0.05, settings().sweep_seconds - (time.monotonic() - began))


def _task_for(name: str) -> None:
    @app.task(name=name)
    def settle(command_id: str) -> None:
        bus().execute(UUID(command_id))


@signals.worker_process_init.connect
def _after_fork(**_: Any) -> None:
    forget_connections()


find_verbs()
for _name in REGISTRY:
    _task_for(_name)
