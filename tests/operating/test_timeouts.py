"""Every client of an external server has a timeout."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest
from redis.exceptions import RedisError
from sqlalchemy import Engine, text
from sqlalchemy.exc import OperationalError

from tests.support.silent_server import silent_port
from tests.support.sources import python_files, syntax
from weelo_workers import redis_client
from weelo_workers.models.engine import autocommit_engine, connect, engine, read_engine

PRODUCT = ("weelo_workers", "weelo_api", "weelo_client", "weelo_demo")

# Calls that connect to a server, each with the arguments that limit its waiting time.
BOUNDED_BY = {
    "from_url": {"socket_timeout", "socket_connect_timeout"},
    "Redis": {"socket_timeout", "socket_connect_timeout"},
    "FailFastRedis": {"socket_timeout", "socket_connect_timeout"},
    "create_engine": {"pool_timeout", "connect_args"},
    "psycopg2.connect": {"connect_timeout"},
    "urlopen": {"timeout"},
    "create_connection": {"timeout"},
}


@pytest.fixture
def silent() -> Iterator[int]:
    with silent_port() as port:
        yield port


def engines() -> dict[str, Engine]:
    url = os.environ["DATABASE_URL"]
    return {
        "writing": engine(),
        "single statements": autocommit_engine(),
        "reading": read_engine(),
        "the sweep": connect(url, lock_timeout="300ms"),
    }


@pytest.mark.parametrize("name", ["writing", "single statements", "reading", "the sweep"])
@pytest.mark.parametrize(
    "limit", ["statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout", "tcp_user_timeout"]
)
def test_every_connection_to_the_database_limits_every_wait(migrated: None, name: str, limit: str) -> None:
    with engines()[name].connect() as connection:
        if limit == "tcp_user_timeout":
            parameters = connection.connection.driver_connection.get_dsn_parameters()
            assert int(parameters[limit]) > 0 and int(parameters["connect_timeout"]) > 0
        else:
            assert connection.execute(text(f"SHOW {limit}")).scalar_one() not in ("0", "")


def test_every_call_that_connects_has_timeouts() -> None:
    for path in python_files(*PRODUCT):
        for call in (node for node in ast.walk(syntax(path)) if isinstance(node, ast.Call)):
            called = ast.unparse(call.func)
            for name, wanted in BOUNDED_BY.items():
                if called == name or called.endswith(f".{name}"):
                    given = {keyword.arg for keyword in call.keywords}
                    assert wanted <= given, f"{path}:{call.lineno}: {called} without {wanted - given}"


def test_a_silent_redis_is_given_up_within_seconds(silent: int) -> None:
    client = redis_client.connect(f"redis://127.0.0.1:{silent}/0")
    began = time.monotonic()
    with pytest.raises(RedisError):
        client.ping()
    assert time.monotonic() - began < 5
    client.close()


def test_a_silent_database_is_given_up_within_seconds(silent: int) -> None:
    made = connect(f"postgresql://somebody:secret@127.0.0.1:{silent}/weelo")
    began = time.monotonic()
    with pytest.raises(OperationalError), made.connect():
        pass
    assert time.monotonic() - began < 8
    made.dispose()


def test_a_silent_broker_is_given_up_within_seconds(silent: int) -> None:
    """The waker runs in a process of its own, because Celery reads its settings only once."""
    ring = (
        "from uuid import uuid4; from weelo_workers.messaging.wakeup import WakeUp, BrokerUnavailable\n"
        "from weelo_workers.messaging.celery_waker import CeleryWaker\n"
        "import time; began = time.monotonic()\n"
        "try:\n    CeleryWaker().wake(WakeUp(uuid4(), 'fleet.sync_presence', 'fleet'))\n"
        "except BrokerUnavailable:\n    print(time.monotonic() - began)\n"
    )
    output = subprocess.run(
        [sys.executable, "-c", ring],
        env={**os.environ, "CELERY_BROKER_URL": f"redis://127.0.0.1:{silent}/0"},
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    assert float(output.stdout) < 5


def test_a_silent_fcm_is_given_up_within_seconds(silent: int) -> None:
    send = (
        "from datetime import UTC, datetime, timedelta; import time\n"
        "from weelo_workers.notifications import fcm\n"
        "now = datetime.now(UTC); began = time.monotonic()\n"
        "message = fcm.Message('token', 'android', {}, None, now + timedelta(hours=1))\n"
        "[answer] = fcm.send([message], now)\n"
        "print(answer.status.value, time.monotonic() - began)\n"
    )
    output = subprocess.run(
        [sys.executable, "-c", send],
        env={**os.environ, "FCM_ENDPOINT": f"http://127.0.0.1:{silent}"},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    verdict, seconds = output.stdout.split()
    assert verdict == "later" and float(seconds) < 10


def test_the_connection_to_the_broker_and_a_handler_have_time_limits() -> None:
    import celeryconfig

    options = celeryconfig.broker_transport_options
    assert options["socket_timeout"] == 5 and options["socket_connect_timeout"] == 2
    assert celeryconfig.task_time_limit > 10, "it must exceed the longest statement"


def test_a_lock_that_is_never_released_is_waited_for_a_few_seconds_only(migrated: None) -> None:
    quick = connect(os.environ["DATABASE_URL"], lock_timeout="300ms")
    with engine().connect() as holder, quick.connect() as waiting:
        holder.execute(text("SELECT pg_advisory_lock(4711)"))
        began = time.monotonic()
        with pytest.raises(OperationalError):
            waiting.execute(text("SELECT pg_advisory_lock(4711)"))
        assert time.monotonic() - began < 4
        with suppress(OperationalError):
            waiting.rollback()
        holder.execute(text("SELECT pg_advisory_unlock(4711)"))
    quick.dispose()
