"""The servers of the lab: an embedded PostgreSQL and Valkey in a temporary directory, and the processes of runs."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

from weelo_lab import reaper
from weelo_workers.runtime.embedded import Postgres, Valkey

Result = TypeVar("Result")

_TEMPLATE = "lab"
# A run that is cut off is played again from its seed, so nothing has to survive a crash of the servers.
_POSTGRES = {
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    # Autovacuum runs at moments that differ between runs, and it changes plans and the order in which pages are used.
    "autovacuum": "off",
    # With sequential scans a plan would depend on how large a table was when the statement was planned.
    "enable_seqscan": "off",
}
# A busy machine must not end a statement.
_NO_LIMITS = "-c statement_timeout=0 -c lock_timeout=0 -c idle_in_transaction_session_timeout=0"
# A run gets only these variables of the shell, because its settings come from its policy.
_KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "VIRTUAL_ENV", "PYTHONPATH")


class Servers:
    """Running servers, and an empty database with the schema, which each run copies."""

    def __init__(self, folder: Path) -> None:
        self._postgres = Postgres(folder, _POSTGRES)
        self._valkey = Valkey(folder)
        self._runs = 0

    def start(self) -> None:
        """Start both servers and make the database. Raises ServerError."""
        self._postgres.start()
        self._valkey.start()
        self._postgres.create_database(_TEMPLATE)
        with processes(1) as pool:
            pool.submit(_migrate, self.environment(self._postgres.url(_TEMPLATE), 0)).result()

    def remove(self) -> None:
        """End both servers and delete their data."""
        self._postgres.remove()
        self._valkey.remove()

    def environment(self, database_url: str, redis_database: int) -> dict[str, str]:
        """Return the environment of a run's process, without a policy."""
        kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
        return kept | {
            "WEELO_ENV": "sandbox",
            "DATABASE_URL": f"{database_url}?options={quote(_NO_LIMITS)}",
            "REDIS_URL": self._valkey.url(redis_database),
        }

    @contextmanager
    def run_environment(self) -> Iterator[dict[str, str]]:
        """Yield the environment of one run: its own database, which is deleted afterwards, and a Redis database."""
        self._runs += 1
        name, number = f"run_{self._runs}", 1 + self._runs % 60
        self._sql(f"CREATE DATABASE {name} TEMPLATE {_TEMPLATE} STRATEGY FILE_COPY")
        try:
            yield self.environment(self._postgres.url(name), number)
        finally:
            self._sql(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def _sql(self, statement: str) -> None:
        import psycopg2  # noqa: PLC0415 (`weelo --help` does not need it)

        connection = psycopg2.connect(self._postgres.url(), connect_timeout=5)
        try:
            connection.autocommit = True  # CREATE DATABASE cannot run in a transaction.
            with connection.cursor() as cursor:
                cursor.execute(statement)
        finally:
            connection.close()


@contextmanager
def running() -> Iterator[Servers]:
    """Yield running servers, which are removed afterwards. Raises ServerError."""
    folder = Path(tempfile.mkdtemp(prefix="weelo-lab-"))
    servers = Servers(folder)
    with reaper.spawn(folder) as for_the_worst:
        try:
            servers.start()
            yield servers
        finally:
            servers.remove()
            shutil.rmtree(folder, ignore_errors=True)
            for_the_worst.kill()


def processes(count: int, functions: int | None = 1) -> ProcessPoolExecutor:
    """Return a pool of processes.

    `functions`: how many functions each process executes; None: any number. By default a process executes one, so that
    no function finds state of an earlier one.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["weelo_lab.run"])
    return ProcessPoolExecutor(
        count, mp_context=context, initializer=_end_with_parent, max_tasks_per_child=functions
    )


def _end_with_parent() -> None:
    """End this process if its parent is killed. Otherwise it would wait for the next function of the pool for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def wait_for_its_end() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=wait_for_its_end, daemon=True).start()


def submit(
    pool: ProcessPoolExecutor,
    environment: dict[str, str],
    function: Callable[..., Result],
    *arguments: object,
) -> Future[Result]:
    """Run a function in a new process with this environment."""
    return pool.submit(_with_environment, environment, function, *arguments)


def use_environment(environment: dict[str, str]) -> None:
    """Replace this process's environment. Settings that were read before are read again."""
    from weelo_workers.settings import settings  # noqa: PLC0415 (`weelo --help` does not need it)

    os.environ.clear()
    os.environ.update(environment)
    settings.cache_clear()


def _with_environment(
    environment: dict[str, str], function: Callable[..., Result], *arguments: object
) -> Result:
    use_environment(environment)
    return function(*arguments)


def _migrate(environment: dict[str, str]) -> None:
    use_environment(environment)
    from weelo_lab import virtual_clock  # noqa: PLC0415 (only in the process of a run)
    from weelo_workers.models.engine import engine  # noqa: PLC0415
    from weelo_workers.models.migrate import upgrade_to_head  # noqa: PLC0415

    upgrade_to_head()
    with engine().begin() as connection:
        virtual_clock.install(connection)
