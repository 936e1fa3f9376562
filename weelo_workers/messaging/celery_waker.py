"""Ringing by Celery: a message that holds nothing but the command's id."""

from __future__ import annotations

import logging
import threading
import time

from celery import Celery
from kombu.exceptions import KombuError
from redis.exceptions import RedisError

from weelo_workers.log_rate_limit import RateLimitFilter
from weelo_workers.messaging.celery_settings import celery_settings
from weelo_workers.messaging.wakeup import BrokerUnavailable, WakeUp

log = logging.getLogger(__name__)
log.addFilter(RateLimitFilter())


class CeleryWaker:
    # After a failed ring the broker is left alone for a moment: nobody should queue up behind its time-outs.
    PAUSE_SECONDS = 3.0
    # So long after a failed ring what waits, waits for the sweep.
    REMEMBERED_SECONDS = 10.0
    # A consumer's connection waits for messages, so its time-out is long; a ring that takes a second is lost.
    TIMEOUT_SECONDS = 1.0
    # As many as kombu has connections for ringing. More would wait there, without a bound.
    AT_ONCE = 10

    def __init__(self) -> None:
        self._celery = Celery("weelo-waker", config_source=celery_settings(), set_as_current=False)
        self._celery.conf.broker_transport_options = {
            **self._celery.conf.broker_transport_options,
            "socket_timeout": self.TIMEOUT_SECONDS,
            "socket_connect_timeout": self.TIMEOUT_SECONDS,
            # kombu would sleep for two seconds before it connects again.
            "max_retries": 1,
            "interval_start": 0,
        }
        self._celery.conf.broker_pool_limit = self.AT_ONCE
        self._turns = threading.BoundedSemaphore(self.AT_ONCE)
        self._silent_until = 0.0

    @property
    def recently_failed(self) -> bool:
        """Whether the broker could not be reached of late."""
        return time.monotonic() < self._silent_until - self.PAUSE_SECONDS + self.REMEMBERED_SECONDS

    def wake(self, wake_up: WakeUp) -> None:
        """Send it. Raises BrokerUnavailable when the broker cannot be reached, after two time-outs at most."""
        if not self._turns.acquire(timeout=self.TIMEOUT_SECONDS):
            raise BrokerUnavailable(wake_up.name)
        try:
            if time.monotonic() < self._silent_until:
                raise BrokerUnavailable(wake_up.name)
            self._send(wake_up)
        finally:
            self._turns.release()

    def _send(self, wake_up: WakeUp) -> None:
        try:
            self._celery.send_task(
                wake_up.name,
                args=[str(wake_up.id)],
                queue=wake_up.queue,
                countdown=wake_up.countdown or None,
                retry=False,
            )
        except Exception as error:
            # Of any kind: the row is committed, so the caller must not fail, and the sweep executes the row.
            self._silent_until = time.monotonic() + self.PAUSE_SECONDS
            known = isinstance(error, KombuError | RedisError | OSError)
            log.warning(
                "the broker is unavailable: %s", str(error) or type(error).__name__, exc_info=not known
            )
            raise BrokerUnavailable(wake_up.name) from error
