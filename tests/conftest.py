"""Real servers for all tests: one PostgreSQL and one Redis per run, one database and one Redis number per worker.

`DATABASE_URL` and `REDIS_URL`, if set, name the servers to use instead. The named database itself is never touched,
because each worker creates its own on the same server.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import signal
import tempfile
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url

if TYPE_CHECKING:
    from tests.world import World

SECRET = "a secret for tests, long enough for HS256"

_stop_servers: list[Callable[[], None]] = []


def pytest_configure(config: pytest.Config) -> None:
    # The servers under test run on this machine and their URLs are complete, so libpq variables and proxies do not apply.
    foreign = ("PG", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
    for name in [each for each in os.environ if each.upper().startswith(foreign)]:
        if not (name.startswith("PG") and os.environ.get("DATABASE_URL")):
            del os.environ[name]
    # A background job of a shell ignores SIGINT, and every program that it starts would inherit that.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    if worker is None:
        _start_servers()
    number = int(re.sub(r"\D", "", worker or "0") or 0) + 1
    # Each worker has its own database and Redis number. They are set before any module reads the settings.
    os.environ["DATABASE_URL"] = own_database(number)
    os.environ["REDIS_URL"] = own_redis(number)
    os.environ["JWT_SECRET"] = SECRET
    os.environ["WEELO_ENV"] = "development"


def pytest_unconfigure(config: pytest.Config) -> None:
    for stop in reversed(_stop_servers):
        stop()


def _start_servers() -> None:
    from weelo_workers.runtime.embedded import Postgres, Valkey

    folder = Path(tempfile.mkdtemp(prefix="weelo-tests-"))
    folder.chmod(0o755)  # under root, PostgreSQL runs as another user, who needs access
    os.environ["WEELO_TEST_FOLDER"] = str(folder)
    _stop_servers.append(lambda: shutil.rmtree(folder, ignore_errors=True))
    for variable, given, server in (
        # These databases are deleted after the run, so fsync is not needed. The faults suite has its own servers.
        ("WEELO_TEST_POSTGRES", "DATABASE_URL", Postgres(folder, {"fsync": "off"})),
        ("WEELO_TEST_REDIS", "REDIS_URL", Valkey(folder)),
    ):
        if os.environ.get(given):
            os.environ[variable] = os.environ[given]
        else:
            os.environ[variable] = server.start()
            _stop_servers.append(server.remove)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Run a test marked `alone` while the other workers run none. The wait counts towards no test's time limit."""
    with _lock("turn", fcntl.LOCK_EX) as turn:
        alone = item.get_closest_marker("alone") is not None
        with _lock("tests", fcntl.LOCK_EX if alone else fcntl.LOCK_SH):
            # A test that waits to be alone keeps its turn, so that no other test begins meanwhile.
            fcntl.flock(turn, fcntl.LOCK_UN)
            return (yield)


@contextmanager
def _lock(name: str, kind: int) -> Iterator[int]:
    """Hold a lock that is common to all workers of this run."""
    folder = Path(os.environ["WEELO_TEST_FOLDER"])
    with (folder / f"{name}.lock").open("w") as file:
        fcntl.flock(file, kind)
        yield file.fileno()


def own_redis(number: int) -> str:
    """Return the URL of the run's Redis with this database number."""
    return make_url(os.environ["WEELO_TEST_REDIS"]).set(database=str(number)).render_as_string(False)


def own_database(number: int) -> str:
    """Create an empty database on the run's PostgreSQL, and return its URL."""
    from weelo_workers.models.engine import connect

    name = f"weelo_test_{os.environ.get('PYTEST_XDIST_TESTRUNUID', str(os.getpid()))[:12]}_{number}"
    url = make_url(os.environ["WEELO_TEST_POSTGRES"])
    server = connect(url.render_as_string(False), isolation="AUTOCOMMIT")
    with server.connect() as connection:
        connection.execute(text(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'))
        connection.execute(text(f'CREATE DATABASE "{name}"'))
    server.dispose()
    return url.set(database=name).render_as_string(False)


def own_roles(database_url: str) -> dict[str, str]:
    """Return the settings with the URLs of the API's and the workers' roles; `weelo migrate` creates these roles.

    Roles belong to the whole server, so their names contain the database's number.
    """
    url = make_url(database_url)
    number = str(url.database).rpartition("_")[2]
    return {
        f"DATABASE_{who}_URL": url.set(
            username=f"weelo_test_{who.lower()}_{number}", password=f"of the {who.lower()}"
        ).render_as_string(False)
        for who in ("API", "WORKERS")
    }


@pytest.fixture(scope="session")
def migrated() -> None:
    from weelo_workers.models.migrate import upgrade_to_head

    upgrade_to_head()


@pytest.fixture
def world(migrated: None) -> World:
    """Return a `World` on an empty database and an empty Redis."""
    from tests.world import World

    world = World()
    world.empty()
    return world
