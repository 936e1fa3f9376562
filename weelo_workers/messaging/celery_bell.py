"""Ringing by Celery: a message that holds nothing but the command's id."""

from __future__ import annotations

import logging
import time

from celery import Celery
from kombu.exceptions import KombuError
from redis.exceptions import RedisError

from weelo_workers.messaging.bell import BellSilent, Ring

log = logging.getLogger(__name__)


class CeleryBell:
    # After a failed ring the broker is left alone for a moment: callers must not queue up behind its time-outs.
    PAUSE_SECONDS = 2.0

    def __init__(self, celery: Celery) -> None:
        self._celery = celery
        self._silent_until = 0.0

    def ring(self, ring: Ring) -> None:
        """Send it. Raises BellSilent when the broker cannot be reached."""
        if time.monotonic() < self._silent_until:
            raise BellSilent(ring.name)
        try:
            self._celery.send_task(
                ring.name,
                args=[str(ring.id)],
                queue=ring.queue,
                countdown=ring.countdown or None,
                retry=False,
            )
        except (KombuError, RedisError, OSError) as error:
            self._silent_until = time.monotonic() + self.PAUSE_SECONDS
            log.warning("the bell is silent: %s", error)
            raise BellSilent(ring.name) from error
