"""Real servers for all tests: one PostgreSQL and one Redis per run. Each xdist worker has its own database in both.

`DATABASE_URL` and `REDIS_URL`, if set, name the servers to use instead. The named database itself is never touched,
because each worker creates its own on the same server.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.engine import make_url

# Numbers of databases in PostgreSQL and in Redis, one for each system that tests run. The xdist workers use 1, 2, …
JOURNEYS, DEMO, OPERATED, DRAINED, TLS, DOCTOR, REDIS_REFUSES = 20, 21, 25, 26, 27, 28, 29
CLIENTS, CONSOLE, LOGS = 34, 35, 36
SANDBOX, SHORT_SANDBOX, NO_SANDBOX_SHARED = 40, 41, 42
ON_RABBITMQ, BEHIND_PGBOUNCER, VERSIONS, RESTORED, SECRETS, REFUSED_BY_PGBOUNCER = 50, 51, 52, 53, 54, 55
# Each xdist worker uses one of the numbers 56 to 59. With more than four workers, some workers share a number.
NO_SANDBOX = 56
# Each of these is the first number of a range, in which each xdist worker has a number of its own. Only PostgreSQL has
# databases with these numbers, because Redis has no more than 64 databases.
ROLES, REPLICAS, FOREIGN, MIGRATIONS = 60, 80, 100, 120

_stop_servers: list[Callable[[], None]] = []


def start() -> None:
    from weelo_workers.runtime.embedded import Postgres, Valkey

    folder = Path(tempfile.mkdtemp(prefix="weelo-tests-"))
    folder.chmod(0o755)  # PostgreSQL must enter the folder; it runs as another user if root runs the tests
    os.environ["WEELO_TEST_FOLDER"] = str(folder)
    _stop_servers.append(lambda: shutil.rmtree(folder, ignore_errors=True))
    for variable, given, server in (
        # All databases are deleted after the run, so fsync is not needed. The faults suite has its own servers.
        ("WEELO_TEST_POSTGRES", "DATABASE_URL", Postgres(folder, {"fsync": "off"})),
        ("WEELO_TEST_REDIS", "REDIS_URL", Valkey(folder)),
    ):
        if os.environ.get(given):
            os.environ[variable] = os.environ[given]
        else:
            os.environ[variable] = server.start()
            _stop_servers.append(server.remove)


def stop() -> None:
    for stop_one in reversed(_stop_servers):
        stop_one()


def worker_number(worker_id: str) -> int:
    """Return the number in the id of an xdist worker (`gw3`), 0 without xdist."""
    return int(worker_id.removeprefix("gw")) if worker_id.startswith("gw") else 0


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

    All databases of a PostgreSQL server share its roles, and each system under test has a database of its own. So the
    names of the roles end with the number of the database.
    """
    url = make_url(database_url)
    number = str(url.database).rpartition("_")[2]
    return {
        f"DATABASE_{role}_URL": url.set(
            username=f"weelo_test_{role.lower()}_{number}", password=f"of the {role.lower()}"
        ).render_as_string(False)
        for role in ("API", "WORKERS")
    }
