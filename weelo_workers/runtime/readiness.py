"""Readiness: whether the started system works, and if not, the cause in one line."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping

from redis import Redis
from redis.exceptions import RedisError

from weelo_workers.contracts.queues import QUEUES
from weelo_workers.messaging import rabbitmq
from weelo_workers.messaging.redis_rights import missing_right, refused_connections, refused_write
from weelo_workers.messaging.worker_heartbeats import clear_consumption, consumers, queues_consumed
from weelo_workers.redis_client import FailFastRedis, connect, reason
from weelo_workers.runtime import CommandError
from weelo_workers.runtime.supervisor import Supervisor

LIMIT_SECONDS = 30.0
"""NotReady is raised this long after the start, if the fault has lasted for FAULT_SECONDS by then."""
FAULT_SECONDS = 5.0
SLOW_LIMIT_SECONDS = 120.0
"""The limit for a process that runs and has not answered yet: on a busy machine imports alone may take over 30 s."""
STEADY_SECONDS = 5.0  # The system is ready only if no process has ended within this time.
FIRST_NOTICE_SECONDS = 10.0
PAUSE_SECONDS = 0.2
ANSWER_SECONDS = 2.0

# This opener does not use the environment's HTTP_PROXY, because a proxy cannot reach a server on this machine.
_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class NotReady(CommandError):
    """The system was started and does not work. Its text is one line with the cause."""

    exit_code = 1


class Readiness:
    """Checks whether every queue is consumed, the addresses answer and no process keeps restarting.

    `brokers`: Redis URLs by the environment variable that names them, REDIS_URL first. `rabbitmq`: the URL of the
    broker if it is not a Redis. The HTTP addresses are added with `expect` when the processes behind them have been
    started.
    """

    def __init__(
        self, supervisor: Supervisor, brokers: Mapping[str, str], *, rabbitmq: str | None = None
    ) -> None:
        self.reached = False
        self.cause = "nothing was checked yet"
        self._supervisor = supervisor
        self._brokers = {variable: connect(url) for variable, url in brokers.items()}
        self._rabbitmq = rabbitmq
        self._rabbitmq_answered = False
        self._permitted: set[str] = set()
        """Variables whose Redis user was found to have all rights.

        The rights are checked once, because a check opens a connection.
        """
        self._refused: dict[str, int] = {}
        """How many connections each Redis had refused when it was first checked."""
        self._addresses: dict[str, str] = {}
        self._signs: set[str] = set()
        """The names of all workers, queues and programs that have shown activity so far."""
        self._began = self._progressed = time.monotonic()
        self._cleared = self._slow = self._certain = self._named = False
        self._fault_since: float | None = None
        self._next_check = 0.0
        self._next_notice = self._began + FIRST_NOTICE_SECONDS

    def expect(self, addresses: Mapping[str, str]) -> None:
        """Require from now on that these URLs answer 200 as well. `addresses`: URLs by the name of the program."""
        self.reached = False
        self._addresses |= addresses
        self._progressed = time.monotonic()

    def check(self) -> bool:
        """Return whether everything works, by the newest check. A check is made at most every PAUSE_SECONDS.

        After the first check that finds no fault, no further one is made until `expect` is called. Raises NotReady if a
        fault remains after LIMIT_SECONDS, or after SLOW_LIMIT_SECONDS if processes merely need longer to start.
        """
        now = time.monotonic()
        if not self.reached and now >= self._next_check:
            self._next_check = now + PAUSE_SECONDS
            self._slow = False
            cause = self._find_cause()
            self.reached = cause is None
            self.cause = cause or self.cause
            if cause and self._certain and not self._named:
                self._named = True
                self._next_notice = now  # A fault that does not go away by itself is reported at once.
            if self.reached or self._slow:
                self._fault_since = None
            elif self._fault_since is None:
                self._fault_since = now
            if not self.reached:
                self._give_up_if_late(time.monotonic())
        return self.reached

    def notice(self) -> str | None:
        """Return a line about what is missing, after 10 s, 20 s, 40 s and so on; None at all other times.

        A fault that does not go away by itself is also reported at once.
        """
        now = time.monotonic()
        if self.reached or now < self._next_notice:
            return None
        waited = now - self._began
        self._next_notice = now + max(waited, FIRST_NOTICE_SECONDS)
        return f"not ready after {waited:.0f} s: {self.cause}"

    def close(self) -> None:
        for redis in self._brokers.values():
            redis.close()

    def _give_up_if_late(self, now: float) -> None:
        waited = now - self._began
        faulty = self._fault_since is not None and now - self._fault_since >= FAULT_SECONDS
        stands_still = faulty and now - self._progressed >= LIMIT_SECONDS
        limit = LIMIT_SECONDS if stands_still or (faulty and self._certain) else SLOW_LIMIT_SECONDS
        if waited >= limit:
            raise NotReady(f"not ready after {waited:.0f} s: {self.cause}")

    def _find_cause(self) -> str | None:
        """Return why the system is not ready; None if it is ready.

        Sets `_certain` if the fault does not go away by itself, and `_slow` if the only cause is a process that has not
        yet given its first answer.
        """
        self._certain = True
        for variable, redis in self._brokers.items():
            if fault := self._of_redis(variable, redis):
                return f"{variable}: {fault}"
        if fault := self._of_rabbitmq():
            return f"CELERY_BROKER_URL: RabbitMQ cannot be used: {fault}"
        if looping := self._supervisor.looping():
            return "; ".join(looping)
        self._certain = False
        return self._of_queues() or self._of_addresses() or self._of_processes()

    def _of_redis(self, variable: str, redis: Redis) -> str | None:
        presence = variable == "REDIS_URL"
        try:
            redis.ping()
            if variable not in self._permitted:
                broker = not presence or (len(self._brokers) == 1 and self._rabbitmq is None)
                if missing := missing_right(redis, presence=presence, broker=broker):
                    return f"Redis cannot be used: {missing}"
                self._permitted.add(variable)
                self._refused[variable], _ = refused_connections(redis)
            if refusal := refused_write(redis):
                return f"Redis cannot be used: {refusal}"
            if not self._cleared:
                clear_consumption(next(iter(self._brokers.values())))
                self._cleared = True
        except RedisError as problem:
            # After a failure FailFastRedis sends no request for PAUSE_SECONDS, so the next check is made after that
            # time.
            self._next_check = time.monotonic() + FailFastRedis.PAUSE_SECONDS + PAUSE_SECONDS
            return f"Redis cannot be used: {reason(problem)}"
        return None

    def _of_rabbitmq(self) -> str | None:
        if self._rabbitmq is None or self._rabbitmq_answered:
            return None
        fault = rabbitmq.fault(self._rabbitmq)
        self._rabbitmq_answered = fault is None
        return fault

    def _of_queues(self) -> str | None:
        redis = next(iter(self._brokers.values()))
        try:
            present, consumed = consumers(redis), queues_consumed(redis)
        except RedisError as problem:
            return f"REDIS_URL: Redis cannot be used: {reason(problem)}"
        for queue, workers in present.items():
            self._note(f"worker of {queue}", workers > 0)
        for queue in consumed:
            self._note(f"consumption of {queue}", True)
        missing = [queue for queue in QUEUES if queue not in consumed]
        if not missing:
            return None
        if full := self._of_connections():
            return full
        self._slow = self._any_missing(f"worker of {queue}" for queue in missing)
        lines = "; ".join(self._supervisor.last_lines(missing))
        return f"no worker has consumed a message of {', '.join(missing)}" + (f"; {lines}" if lines else "")

    def _of_connections(self) -> str | None:
        """Return a fault if a Redis has refused connections since the first check: it may have refused workers."""
        for variable, redis in self._brokers.items():
            try:
                refused, limit = refused_connections(redis)
            except RedisError:
                continue
            if refused > self._refused.get(variable, refused):
                self._certain = True
                return f"{variable}: Redis cannot be used: it refuses connections: its maxclients ({limit}) is reached"
        return None

    def _of_addresses(self) -> str | None:
        for name, url in self._addresses.items():
            fault = self._ask(name, url)
            if fault is not None:
                self._slow = name not in self._signs
                return fault
        return None

    def _of_processes(self) -> str | None:
        return next(iter(self._supervisor.unsteady(STEADY_SECONDS)), None)

    def _ask(self, name: str, url: str) -> str | None:
        try:
            with _direct.open(url, timeout=ANSWER_SECONDS) as answer:
                self._note(name, True)
                return None if answer.status == 200 else f"{url} answers {answer.status}"
        except urllib.error.HTTPError as answer:
            self._note(name, True)
            return f"{url} answers {answer.code}: {_reason_in(answer.read(500).decode(errors='replace'))}"
        except OSError as problem:
            # `reason` is used instead of the text of a URLError, which is the same reason inside "<urlopen error …>".
            return f"{url} does not answer ({getattr(problem, 'reason', problem)})"

    def _note(self, sign: str, seen: bool) -> None:
        if seen and sign not in self._signs:
            self._signs.add(sign)
            self._progressed = time.monotonic()

    def _any_missing(self, signs: Iterable[str]) -> bool:
        return any(sign not in self._signs for sign in signs)


def _reason_in(body: str) -> str:
    """Return the reason in a body of /readyz, or the first line of a body that another program has sent."""
    try:
        return str(json.loads(body)["reason"])
    except (ValueError, LookupError, TypeError):
        return next(iter(body.strip().splitlines()), "without a body")
