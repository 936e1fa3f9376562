"""If all processes of PostgreSQL are suspended, each wait for it ends, and the log reports the outage and its end."""

from __future__ import annotations

import logging
import re
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import OperationalError

from tests.support.waiting import eventually
from weelo_workers.logs import outages
from weelo_workers.models import unanswered
from weelo_workers.models.engine import connect, is_disconnect, limit_statements
from weelo_workers.runtime.postgres import Postgres

LIMIT_SECONDS = 1.0


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    folder = Path(tempfile.mkdtemp(prefix="weelo-frozen-", dir="/tmp"))
    postgres = Postgres(folder, {"fsync": "off"})
    postgres.start()
    postgres.create_database("weelo")
    yield postgres
    postgres.remove()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def engine(server: Postgres, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    monkeypatch.setattr(unanswered, "LIMIT_SECONDS", LIMIT_SECONDS)
    monkeypatch.setattr(unanswered, "LOOK_EVERY_SECONDS", 0.1)
    made = connect(server.url("weelo") + ("&" if "?" in server.url("weelo") else "?") + "connect_timeout=2")
    with made.connect() as connection:
        connection.execute(text("SELECT 1"))
    yield made
    made.dispose()


@contextmanager
def frozen(server: Postgres) -> Iterator[None]:
    """Suspend all processes of the server. The kernel still acknowledges what is sent to them."""
    main = psutil.Process(server.pid())
    processes = [main, *main.children(recursive=True)]
    for process in processes:
        process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        for process in processes:
            process.send_signal(signal.SIGCONT)


def messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == outages.__name__]


def test_a_statement_on_a_frozen_server_ends_and_the_outage_is_logged_once(
    engine: Engine, server: Postgres, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    began = time.monotonic()
    with engine.connect() as connection:
        connection.execute(text("SELECT 1"))
        with frozen(server):
            with pytest.raises(OperationalError) as error:
                connection.execute(text("SELECT 1"))
            assert is_disconnect(error.value)
            assert time.monotonic() - began < LIMIT_SECONDS + 5
            [lost] = messages(caplog)
            assert lost.endswith("cannot be reached: no answer for 1 s")
    with engine.connect() as connection:
        connection.execute(text("SELECT 1"))
    assert len(messages(caplog)) == 2
    away = re.search(r" can be reached again after ([\d.]+) s$", messages(caplog)[1])
    assert away is not None and float(away[1]) >= LIMIT_SECONDS, "from the beginning of the wait"


def test_a_commit_on_a_frozen_server_ends(engine: Engine, server: Postgres) -> None:
    with engine.connect() as connection:
        connection.execute(text("SELECT 1"))
        with frozen(server), pytest.raises(OperationalError):
            connection.commit()


def test_a_connection_that_works_again_ends_an_outage_without_a_new_connection(
    engine: Engine, server: Postgres, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    with engine.connect() as connection:
        connection.execute(text("SELECT 1"))
        with frozen(server), pytest.raises(OperationalError):
            engine.connect()
        assert len(messages(caplog)) == 1

        def is_back() -> bool:
            connection.execute(text("SELECT 1"))
            return len(messages(caplog)) == 2

        eventually(is_back, within=5)


def test_a_longer_limit_of_one_transaction_holds_here_too(engine: Engine) -> None:
    with engine.connect() as connection:
        limit_statements(connection, 10)
        connection.execute(text("SELECT pg_sleep(2)"))
    with engine.connect() as connection, pytest.raises(OperationalError):
        connection.execute(text("SELECT pg_sleep(2)"))


def test_threads_that_wait_at_once_all_get_the_error(engine: Engine, server: Postgres) -> None:
    ends: list[float] = []

    def wait() -> None:
        with pytest.raises(OperationalError), engine.connect() as connection:
            connection.execute(text("SELECT pg_sleep(30)"))
        ends.append(time.monotonic())

    threads = [threading.Thread(target=wait) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(ends) == 4
