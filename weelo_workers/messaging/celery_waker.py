"""Wake-ups sent with Celery: messages that contain nothing but the command's id."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from celery import Celery
from kombu.exceptions import KombuError
from redis.exceptions import RedisError

from weelo_workers.contracts.command import PRIORITIES, priority_of
from weelo_workers.logs.outages import Outage
from weelo_workers.messaging.celery_settings import celery_settings
from weelo_workers.messaging.wakeup import BrokerUnavailable, WakeUp
from weelo_workers.rabbitmq_url import is_rabbitmq
from weelo_workers.randomness import new_id
from weelo_workers.settings import settings

log = logging.getLogger(__name__)

_NO_CALLBACKS = dict.fromkeys(("callbacks", "errbacks", "chain", "chord"))


class CeleryWaker:
    """Sends wake-ups through the broker. After a failure it sends none for some seconds."""

    # After a failure no wake-up is sent for this many seconds, so that callers do not wait for one time-out after
    # another.
    PAUSE_SECONDS = 3.0
    # `recently_failed` is true for this many seconds after a failure.
    REMEMBERED_SECONDS = 10.0
    # The time-out of one call to the broker. The connections of consumers have a longer time-out, because they wait for
    # messages.
    TIMEOUT_SECONDS = 1.0
    # The number of kombu's connections for sending, and the number of callers that may send at once. With more callers
    # than connections, some would wait in kombu for a connection, without a time limit.
    AT_ONCE = 10

    # A worker holds a message unacknowledged until the countdown ends. After the visibility timeout (an hour) Redis
    # would deliver the message again, and after the consumer_timeout (30 min) RabbitMQ would close the worker's
    # channel. So longer countdowns are shortened to this. If a wake-up comes before its command is due, the worker
    # sends another one with the remaining time.
    LONGEST_COUNTDOWN_SECONDS = 1500.0

    def __init__(self) -> None:
        self._celery = Celery("weelo-waker", config_source=celery_settings(), set_as_current=False)
        self._on_rabbitmq = is_rabbitmq(settings().broker_url)
        names = (
            ("read_timeout", "write_timeout")
            if self._on_rabbitmq
            else ("socket_timeout", "socket_connect_timeout")
        )
        self._celery.conf.broker_connection_timeout = self.TIMEOUT_SECONDS
        self._celery.conf.broker_transport_options = {
            **self._celery.conf.broker_transport_options,
            **dict.fromkeys(names, self.TIMEOUT_SECONDS),
            # By default kombu sleeps for two seconds before it connects again, and the caller would wait for that long.
            "max_retries": 1,
            "interval_start": 0,
        }
        self._celery.conf.broker_pool_limit = self.AT_ONCE
        self._headers: dict[str, Mapping[str, Any]] = {}
        self._turns = threading.BoundedSemaphore(self.AT_ONCE)
        self._paused_until = 0.0
        self._is_away = False
        self._outage = Outage("the broker")
        self.outages_ended = 0
        """How many outages of the broker have ended so far."""

    @property
    def recently_failed(self) -> bool:
        """Whether sending has failed in the last REMEMBERED_SECONDS."""
        return time.monotonic() < self._paused_until - self.PAUSE_SECONDS + self.REMEMBERED_SECONDS

    def wake(self, wake_up: WakeUp) -> None:
        """Send a wake-up. Raises BrokerUnavailable if the broker cannot be reached, after two time-outs at most."""
        if not self._turns.acquire(timeout=self.TIMEOUT_SECONDS):
            raise BrokerUnavailable(wake_up.name)
        try:
            if time.monotonic() < self._paused_until:
                raise BrokerUnavailable(wake_up.name)
            self._send(wake_up)
        finally:
            self._turns.release()

    def _send(self, wake_up: WakeUp) -> None:
        try:
            if self._on_rabbitmq:
                self._send_to_rabbitmq(wake_up)
            else:
                self._send_to_redis(wake_up)
            if self._is_away:
                self._is_away = False
                self.outages_ended += 1
                self._outage.answered()
        except Exception as error:
            # The row is committed already, so the sweep will find it, whatever the error is. Callers expect
            # BrokerUnavailable only.
            self._paused_until = time.monotonic() + self.PAUSE_SECONDS
            self._is_away = True
            known = isinstance(error, KombuError | RedisError | OSError)
            if known:
                self._outage.failed(str(error) or type(error).__name__)
            else:
                log.exception("a wake-up could not be sent")
            raise BrokerUnavailable(wake_up.name) from error

    def _send_to_rabbitmq(self, wake_up: WakeUp) -> None:
        self._celery.send_task(
            wake_up.name,
            args=[str(wake_up.id)],
            queue=wake_up.queue,
            countdown=min(wake_up.countdown, self.LONGEST_COUNTDOWN_SECONDS) or None,
            priority=self._priority_of(wake_up.name),
            # A connection that was idle while RabbitMQ restarted fails at the next message, so sending is tried twice.
            retry=True,
            retry_policy={"max_retries": 1, "interval_start": 0, "interval_step": 0},
            argsrepr=f"['{wake_up.id}']",
            kwargsrepr="{}",
        )

    def _send_to_redis(self, wake_up: WakeUp) -> None:
        """Send the message that Celery's `send_task` would send, but build it faster.

        `send_task` spends two thirds of its time on building the message. No queue is declared and no connection is
        renewed here: a queue in Redis is a list, which needs no declaration, and redis-py connects again by itself.
        """
        task_id, args = str(new_id()), [str(wake_up.id)]
        countdown = min(wake_up.countdown, self.LONGEST_COUNTDOWN_SECONDS)
        headers = {
            **self._headers_of(wake_up.name),
            "id": task_id,
            "root_id": task_id,
            "argsrepr": f"['{wake_up.id}']",
            "eta": (self._celery.now() + timedelta(seconds=countdown)).isoformat() if countdown else None,
        }
        with self._celery.producer_pool.acquire(block=True) as producer:
            producer.publish(
                [args, {}, _NO_CALLBACKS],
                exchange="",
                routing_key=wake_up.queue,
                headers=headers,
                serializer="json",
                priority=self._priority_of(wake_up.name),
                delivery_mode=self._celery.conf.task_default_delivery_mode,
                correlation_id=task_id,
                reply_to="",
            )

    def _headers_of(self, name: str) -> Mapping[str, Any]:
        """Return the headers that Celery gives all messages of this task. Those that differ by message are empty."""
        if name not in self._headers:
            made: Any = self._celery.amqp.create_task_message(
                "", name, ignore_result=None, argsrepr="", kwargsrepr="{}"
            )
            self._headers[name] = made.headers
        return self._headers[name]

    def _priority_of(self, name: str) -> int:
        # RabbitMQ delivers the message with the highest priority number first, kombu's Redis transport the one with the
        # lowest. So the numbers are reversed for RabbitMQ.
        return max(PRIORITIES) - priority_of(name) if self._on_rabbitmq else priority_of(name)
