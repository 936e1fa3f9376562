"""Probes and scrapes are answered within 3 s while PostgreSQL, Redis or every thread for other requests hangs."""

from __future__ import annotations

import shutil
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

import psutil
import pytest
from flask import Flask
from sqlalchemy.engine import make_url
from werkzeug.test import TestResponse

from tests.support.api_process import Api
from tests.support.raw_http import Answer, exchange, request
from tests.support.standby import run_on
from tests.support.suspended import suspended, with_children
from tests.support.waiting import eventually
from weelo_api.views import operating
from weelo_workers.models import migrate
from weelo_workers.models.engine import connect
from weelo_workers.runtime.embedded import Postgres, Valkey

WITHIN_SECONDS = 3.0
THREADS = 128  # the number of threads of the API under test, which has one process


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[Postgres, Valkey]]:
    """Yield a PostgreSQL and a Redis that these tests may stop."""
    folder = Path(tempfile.mkdtemp(prefix="weelo-probes-"))
    folder.chmod(0o755)  # PostgreSQL must enter the folder; it runs as another user if root runs the tests
    postgres, valkey = Postgres(folder, {"fsync": "off"}), Valkey(folder)
    postgres.start()
    valkey.start()
    yield postgres, valkey
    postgres.remove()
    valkey.remove()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def api(servers: tuple[Postgres, Valkey]) -> Iterator[Api]:
    postgres, valkey = servers
    url = postgres.create_database("weelo")
    engine = connect(url)
    migrate.upgrade_to_head(engine)
    engine.dispose()
    api = Api(DATABASE_URL=url, REDIS_URL=valkey.url())
    yield api
    api.stop()


def stopped(server: Postgres | Valkey) -> AbstractContextManager[None]:
    """Suspend all processes of a server within the block. Its connections stay open, but it does not answer."""
    return suspended(with_children(server.pid()))


def ask(api: Api, path: str) -> Answer:
    """Return the response of a probe. Raises AssertionError if it does not arrive in time."""
    began = time.monotonic()
    [answer] = exchange(api.port, request(f"GET {path}", role=None), within=20)
    assert time.monotonic() - began < WITHIN_SECONDS, path
    return answer


def is_ready(api: Api) -> bool:
    [answer] = exchange(api.port, request("GET /readyz", role=None), within=20)
    return answer.status == 200


def assert_the_database_is_reported_away(api: Api) -> None:
    assert ask(api, "/healthz").status == 200
    for _ in range(2):
        not_ready = ask(api, "/readyz")
        assert not_ready.status == 503
        assert "database" in not_ready.json()["reason"]
        figures = ask(api, "/metrics")
        assert figures.status == 200
        assert "\nweelo_database_up 0.0\n" in figures.body.decode()
        assert "weelo_sockets_open" in figures.body.decode()


def test_OPER_01_probes_are_answered_while_postgresql_hangs_and_recover_with_it(
    api: Api, servers: tuple[Postgres, Valkey]
) -> None:
    assert is_ready(api)
    with stopped(servers[0]):
        assert_the_database_is_reported_away(api)
    eventually(lambda: is_ready(api), within=10)
    assert "\nweelo_database_up 1.0\n" in ask(api, "/metrics").body.decode()


@pytest.mark.parametrize(
    ("statement", "undo", "words"),
    [
        ("ALTER ROLE reader CONNECTION LIMIT 0", "", "too many connections for role …"),
        ("ALTER ROLE reader PASSWORD 'changed'", "", "password authentication failed for user …"),
        ("ALTER ROLE reader NOLOGIN", "", "role … is not permitted to log in"),
        (
            "REVOKE CONNECT ON DATABASE weelo FROM PUBLIC",
            "GRANT CONNECT ON DATABASE weelo TO PUBLIC",
            "permission denied for database …",
        ),
        (
            "SELECT pg_reload_conf()",
            "SELECT pg_reload_conf()",
            "no pg_hba.conf entry for host …, user …, database …, no encryption",
        ),
    ],
    ids=["connections", "password", "login", "database", "pg_hba"],
)
def test_the_probe_names_why_postgresql_refuses_connections_but_no_names(
    servers: tuple[Postgres, Valkey], statement: str, undo: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The probe is open to everybody, so its response contains no host, role or database."""
    postgres, _ = servers
    postgres.create_database("weelo")
    run_on(postgres, "DROP ROLE IF EXISTS reader")
    run_on(postgres, "CREATE ROLE reader LOGIN PASSWORD 'of the reader'")
    url = make_url(postgres.url("weelo")).set(username="reader", password="of the reader")
    made = connect(url.render_as_string(hide_password=False))
    monkeypatch.setattr(operating, "autocommit_engine", lambda: made)
    app = Flask("probes")
    app.register_blueprint(operating.api)
    rules = postgres.working_directory() / "pg_hba.conf"
    before = rules.read_text()
    if "pg_hba" in words:
        rules.write_text("host all weelo 127.0.0.1/32 scram-sha-256")
    run_on(postgres, statement)
    try:
        answer = eventually(lambda: refused(app.test_client().get("/readyz")))
    finally:
        rules.write_text(before)
        if undo:
            run_on(postgres, undo)
        made.dispose()
    assert answer.json == {"status": "unavailable", "reason": f"database: {words}"}


def refused(answer: TestResponse) -> TestResponse | None:
    return answer if answer.status_code == 503 else None


def test_probes_are_answered_while_redis_hangs(api: Api, servers: tuple[Postgres, Valkey]) -> None:
    with stopped(servers[1]):
        for _ in range(3):
            assert ask(api, "/healthz").status == 200
            assert ask(api, "/readyz").status == 200
            figures = ask(api, "/metrics").body.decode()
            assert "\nweelo_database_up 1.0\n" in figures
            assert "\nweelo_redis_up 0.0\n" in figures
            assert '\nweelo_check_failing{check="redis"} 1.0\n' in figures
    eventually(lambda: "\nweelo_redis_up 1.0\n" in ask(api, "/metrics").body.decode(), within=10)


def test_while_both_servers_hang_probes_are_answered_again_and_again_and_no_threads_pile_up(
    api: Api, servers: tuple[Postgres, Valkey]
) -> None:
    [worker] = psutil.Process(api.process.pid).children()
    with ExitStack() as hanging:
        for server in servers:
            hanging.enter_context(stopped(server))
        threads = []
        for _ in range(3):
            with ExitStack() as lines:
                began = time.monotonic()
                probes = [
                    lines.enter_context(call(api, f"GET {path}")) for path in ("/readyz", "/metrics") * 8
                ]
                for probe in probes:
                    assert probe.recv(12).startswith(b"HTTP/1.1 ")
                assert time.monotonic() - began < WITHIN_SECONDS
            threads.append(worker.num_threads())
        figures = ask(api, "/metrics").body.decode()
        assert "\nweelo_database_up 0.0\n" in figures
        assert "\nweelo_redis_up 0.0\n" in figures
        assert '\nweelo_check_failing{check="database"} 1.0\n' in figures
    assert threads[-1] <= threads[0] + 2, threads
    eventually(lambda: is_ready(api), within=10)


@pytest.mark.long
def test_probes_are_answered_while_every_thread_for_requests_hangs(
    api: Api, servers: tuple[Postgres, Valkey]
) -> None:
    """Twice as many requests as threads are sent, and all of them wait for the database."""
    with ExitStack() as lines:
        with stopped(servers[0]):
            readers = [lines.enter_context(call(api, "GET /api/v1/events")) for _ in range(2 * THREADS)]
            [worker] = psutil.Process(api.process.pid).children()
            eventually(lambda: worker.num_threads() > THREADS, within=10)
            assert_the_database_is_reported_away(api)
        for reader in readers:
            assert reader.recv(12).startswith(b"HTTP/1.1 ")
    eventually(lambda: is_ready(api), within=10)


def test_many_probes_at_once_take_no_longer_than_one(api: Api, servers: tuple[Postgres, Valkey]) -> None:
    with ExitStack() as lines, stopped(servers[0]):
        began = time.monotonic()
        probes = [lines.enter_context(call(api, f"GET {path}")) for path in ("/readyz", "/metrics") * 8]
        for probe in probes:
            assert probe.recv(12).startswith(b"HTTP/1.1 ")
        assert time.monotonic() - began < WITHIN_SECONDS


def call(api: Api, line: str) -> socket.socket:
    """Send this request on a new connection and return the connection."""
    connection = socket.create_connection(("127.0.0.1", api.port), timeout=60)
    connection.sendall(request(line))
    return connection
