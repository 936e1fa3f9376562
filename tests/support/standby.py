"""A standby that follows an embedded PostgreSQL by streaming replication."""

from __future__ import annotations

import shutil
from pathlib import Path

from sqlalchemy import text

from weelo_workers.models.engine import connect
from weelo_workers.runtime.embedded import Postgres
from weelo_workers.runtime.postgres_install import installation_for, reachable_directory

REPLICATION = "host replication all 127.0.0.1/32 scram-sha-256\n"


class Standby(Postgres):
    """`Standby(folder, primary).start()` copies the running primary and follows it."""

    def __init__(self, data_dir: Path, primary: Postgres) -> None:
        super().__init__(data_dir, primary.settings)
        self._primary = primary

    def execute(self, statement: str) -> None:
        run_on(self, statement)

    def _prepare(self) -> None:
        with (self._primary.working_directory() / "pg_hba.conf").open("a") as rules:
            rules.write(REPLICATION)
        run_on(self._primary, "SELECT pg_reload_conf()")
        shutil.copy(self._primary.home / "password", self.home / "password")
        directory, account = reachable_directory(self.home / "data", known_as=self._data)
        installation_for(account).run(
            "pg_basebackup",
            f"--dbname={self._primary.url()}",
            f"--pgdata={directory}",
            "--write-recovery-conf",
            "--checkpoint=fast",
        )
        if directory != self.home / "data":
            self._data.symlink_to(directory)


def run_on(server: Postgres, statement: str) -> None:
    """Execute a statement as the superuser, in autocommit mode."""
    made = connect(server.url(), isolation="AUTOCOMMIT", pool_size=1)
    with made.connect() as connection:
        connection.execute(text(statement))
    made.dispose()
