"""An outage of a server is logged once when it begins, and once when it ends, with its length."""

from __future__ import annotations

import logging
import re
import socket
from contextlib import suppress
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest
from redis.exceptions import RedisError
from sqlalchemy import text
from sqlalchemy.engine import make_url

from tests.support.tcp_proxy import TcpProxy
from weelo_workers import redis_client
from weelo_workers.logs import outages
from weelo_workers.models.engine import DATABASE_ERRORS, connect
from weelo_workers.settings import settings


class Switch(TcpProxy):
    """A proxy that can be switched off: it then ends all connections and accepts no other."""

    def __init__(self, host: str, port: int) -> None:
        self._off, self._clients = False, list[socket.socket]()
        super().__init__(host, port)

    def _admit(self, client: socket.socket) -> tuple[socket.socket, bytes]:
        if self._off:
            raise OSError("switched off")
        self._clients.append(client)
        return client, b""

    def switch(self, *, on: bool) -> None:
        self._off = not on
        if not on:
            for client in self._clients:
                with suppress(OSError):
                    client.shutdown(socket.SHUT_RDWR)
            self._clients.clear()


def messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == outages.__name__]


def test_an_outage_of_PostgreSQL_is_logged_once_and_so_is_its_end(caplog: pytest.LogCaptureFixture) -> None:
    own = make_url(settings().database_url)
    with Switch(own.host or "127.0.0.1", own.port or 5432) as proxy:
        url = own.set(host="127.0.0.1", port=proxy.port, query={}).render_as_string(False)
        engine = connect(url)

        def answers() -> bool:
            try:
                with engine.connect() as connection:
                    return bool(connection.execute(text("SELECT 1")).scalar())
            except DATABASE_ERRORS:
                return False

        assert answers() and messages(caplog) == []
        proxy.switch(on=False)
        assert [answers() for _ in range(4)] == [False] * 4
        [lost] = messages(caplog)
        assert lost.startswith(f"PostgreSQL at 127.0.0.1:{proxy.port} cannot be reached: ")
        assert (own.password or "no password") not in lost
        proxy.switch(on=True)
        assert answers() and answers()
        engine.dispose()
    assert re.fullmatch(r"PostgreSQL at \S+ can be reached again after \d+\.\d s", messages(caplog)[-1])
    assert len(messages(caplog)) == 2


def test_an_outage_of_Redis_is_logged_once_and_so_is_its_end(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = urlsplit(settings().redis_url)
    monkeypatch.setattr(redis_client.FailFastRedis, "PAUSE_SECONDS", 0.0)
    with Switch(own.hostname or "127.0.0.1", own.port or 6379) as proxy:
        url = own._replace(netloc=own.netloc.replace(f":{own.port}", f":{proxy.port}")).geturl()
        redis = redis_client.connect(url)

        def answers() -> bool:
            try:
                return bool(redis.ping())
            except RedisError:
                return False

        assert answers() and messages(caplog) == []
        proxy.switch(on=False)
        assert [answers() for _ in range(4)] == [False] * 4
        [lost] = messages(caplog)
        assert lost.startswith("Redis cannot be reached: ")
        proxy.switch(on=True)
        assert answers() and answers()
        redis.close()
    assert re.fullmatch(r"Redis can be reached again after \d+\.\d s", messages(caplog)[-1])
    assert len(messages(caplog)) == 2


def test_a_server_that_is_lost_again_and_again_is_logged_once_a_second(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = [1_000.0]
    monkeypatch.setattr(outages, "time", SimpleNamespace(monotonic=lambda: at[0]))
    outage = outages.Outage("It")
    for seconds in (0.0, 0.2, 0.2, 0.7):
        at[0] += seconds
        outage.failed("a reason\nand more")
        outage.failed("the same outage")
        at[0] += 0.06
        assert outage.answered() == pytest.approx(0.06)
        assert outage.answered() is None
    assert messages(caplog) == ["It cannot be reached: a reason", "It can be reached again after 0.1 s"] * 2


def test_an_outage_soon_after_another_one_is_logged_if_it_lasts(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = [1_000.0]
    monkeypatch.setattr(outages, "time", SimpleNamespace(monotonic=lambda: at[0]))
    outage = outages.Outage("It")
    outage.failed("restarts")
    at[0] += 0.2
    outage.answered()
    for _ in range(6):
        at[0] += 0.3
        outage.failed("is gone")
    outage.answered()
    assert messages(caplog) == [
        "It cannot be reached: restarts",
        "It can be reached again after 0.2 s",
        "It cannot be reached: is gone",
        "It can be reached again after 1.5 s",
    ]


def test_one_shot_commands_leave_it_to_their_own_output() -> None:
    """Commands such as `weelo doctor` print that a server cannot be reached, so no log line is needed."""
    from weelo_workers.logs import configuring

    root, own = logging.getLogger(), logging.getLogger(outages.__name__)
    kept, level = root.handlers[:], root.level
    try:
        configuring.configure("cli", write=lambda _line: None)
        assert not own.isEnabledFor(logging.WARNING)
    finally:
        root.handlers[:], own.level = kept, logging.NOTSET
        root.setLevel(level)
        for name in (*configuring.OWN, *configuring.OF_PROCESSES, *configuring.OF_MESSAGES):
            logging.getLogger(name).setLevel(logging.NOTSET)
        own.setLevel(logging.NOTSET)


def test_the_end_of_an_outage_during_which_the_server_was_not_used_is_a_range(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr(outages, "time", SimpleNamespace(monotonic=lambda: now))
    outage = outages.Outage("Redis")
    outage.failed("no answer")
    now = 113.0
    outage.failed("no answer")
    now = 188.5
    assert outage.answered() == 88.5
    assert (
        messages(caplog)[-1] == "Redis can be reached again after 13.0 to 88.5 s: it was not used in between"
    )
