"""`weelo doctor` names a replica (DATABASE_READ_URL) that lags, is paused, was promoted or is another server."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.programs import weelo_here
from tests.support.standby import Standby, run_on
from weelo_workers.models.engine import connect
from weelo_workers.models.migrate import upgrade_to_head
from weelo_workers.runtime.embedded import Postgres

Doctor = Callable[..., list[str]]


@pytest.fixture(scope="module")
def primary() -> Iterator[Postgres]:
    folder = Path(tempfile.mkdtemp(prefix="weelo-primary-"))
    folder.chmod(0o755)  # PostgreSQL must enter the folder; it runs as another user if root runs the tests
    server = Postgres(folder, {"fsync": "off"})
    server.start()
    made = connect(server.create_database("weelo"))
    upgrade_to_head(made)
    made.dispose()
    yield server
    server.remove()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def standby(primary: Postgres) -> Iterator[Standby]:
    folder = Path(tempfile.mkdtemp(prefix="weelo-standby-"))
    folder.chmod(0o755)
    server = Standby(folder, primary)
    server.start()
    yield server
    server.remove()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def doctor(primary: Postgres) -> Doctor:
    """Return a function that returns the doctor's lines about this DATABASE_READ_URL."""

    def lines(read_url: str, **environment: str) -> list[str]:
        done = weelo_here(
            "doctor", **{"DATABASE_URL": primary.url("weelo"), "DATABASE_READ_URL": read_url, **environment}
        )
        assert "Traceback" not in done.stderr
        return [line for line in done.stdout.splitlines() if "DATABASE_READ_URL" in line]

    return lines


def test_a_standby_that_follows_is_no_finding(standby: Standby, doctor: Doctor) -> None:
    assert doctor(standby.url("weelo")) == []


def test_the_primary_itself_is_no_finding(primary: Postgres, doctor: Doctor) -> None:
    assert doctor(primary.url("weelo")) == []


def test_a_standby_whose_replay_is_paused_is_named(standby: Standby, doctor: Doctor) -> None:
    standby.execute("SELECT pg_wal_replay_pause()")
    [line] = doctor(standby.url("weelo"))
    assert line.startswith("DATABASE_READ_URL: the replay of this standby is paused")
    assert "pg_wal_replay_resume()" in line


@pytest.mark.long
def test_a_standby_that_lags_is_named(primary: Postgres, standby: Standby, doctor: Doctor) -> None:
    standby.execute("ALTER SYSTEM SET recovery_min_apply_delay = '1h'")
    standby.execute("SELECT pg_reload_conf()")
    run_on(primary, "CREATE TABLE written_meanwhile ()")
    [line] = doctor(standby.url("weelo"))
    assert line.startswith("DATABASE_READ_URL: this standby lags: ")
    run_on(primary, "DROP TABLE written_meanwhile")


@pytest.mark.long
def test_a_standby_that_was_promoted_is_named(standby: Standby, doctor: Doctor) -> None:
    standby.execute("SELECT pg_promote()")
    [line] = doctor(standby.url("weelo"))
    assert line.startswith("DATABASE_READ_URL: is no standby (any more): ")


@pytest.mark.long
def test_another_server_is_named(standby: Standby, primary: Postgres, doctor: Doctor) -> None:
    folder = Path(tempfile.mkdtemp(prefix="weelo-other-"))
    folder.chmod(0o755)
    other = Postgres(folder, {"fsync": "off"})
    other.start()
    try:
        [line] = doctor(other.create_database("weelo"))
        assert line.startswith("DATABASE_READ_URL: is no replica of DATABASE_URL: it is a server of its own")
    finally:
        other.remove()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.long
def test_another_database_is_named(primary: Postgres, doctor: Doctor) -> None:
    [line] = doctor(primary.create_database("other"))
    assert line.startswith(
        "DATABASE_READ_URL: is no replica of DATABASE_URL: its database is other, not weelo"
    )


@pytest.mark.long
def test_a_standby_as_the_primary_is_named(standby: Standby) -> None:
    for command in ("doctor", "migrate"):
        done = weelo_here(command, DATABASE_URL=standby.url("weelo"))
        assert "the database is read-only (a standby" in done.stdout + done.stderr
        assert "Traceback" not in done.stderr
