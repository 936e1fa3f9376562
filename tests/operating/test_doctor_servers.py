"""What `weelo doctor` reports about servers that operators have set up."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import RedisError
from sqlalchemy import text
from sqlalchemy.engine import make_url

from tests.support.disks import SmallDisk
from tests.support.programs import weelo_here
from tests.support.servers import DOCTOR, own_database
from tests.support.waiting import eventually
from weelo_workers.models import server
from weelo_workers.models.engine import connect
from weelo_workers.models.migrate import upgrade_to_head
from weelo_workers.runtime.embedded import Postgres
from weelo_workers.runtime.ports import free_port
from weelo_workers.runtime.valkey import _binary


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """Yield the URL of a Redis in cluster mode that evicts keys and is a replica of an unreachable primary."""
    folder = Path(tempfile.mkdtemp(prefix="weelo-cluster-"))
    port = free_port()
    arguments = {
        "port": str(port),
        "dir": str(folder),
        "save": "",
        "cluster-enabled": "yes",
        "maxmemory": "100mb",
        "maxmemory-policy": "allkeys-lru",
    }
    running = subprocess.Popen(
        [str(_binary()), *(part for name, value in arguments.items() for part in (f"--{name}", value))],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )

    def answers() -> bool:
        with suppress(RedisError), Redis(port=port, socket_timeout=1, socket_connect_timeout=1) as client:
            return bool(client.ping())
        return False

    eventually(answers)
    yield f"redis://127.0.0.1:{port}/0"
    running.kill()
    running.wait()
    shutil.rmtree(folder)


def test_every_configured_server_is_checked(migrated: None, cluster: str) -> None:
    empty = own_database(DOCTOR)
    done = weelo_here(
        "doctor",
        CELERY_BROKER_URL=cluster,
        DATABASE_READ_URL=empty,
        DATABASE_WORKERS_URL="postgresql://somebody:secret@127.0.0.1:1/weelo",
    )
    assert done.returncode == 1, done.stderr
    findings = done.stdout.splitlines()
    assert "CELERY_BROKER_URL: is a cluster, whose keys lie on several servers; use a single one" in findings
    assert [
        line
        for line in findings
        if line.startswith("DATABASE_READ_URL: is no replica of DATABASE_URL: its database is ")
    ]
    assert [line for line in findings if line.startswith("DATABASE_WORKERS_URL: not reachable: ")]
    assert [
        line
        for line in findings
        if line.startswith("warning: CELERY_BROKER_URL: maxmemory-policy is allkeys-lru")
    ]
    assert "secret" not in done.stdout


def test_tables_whose_rows_a_policy_hides_are_named() -> None:
    """The doctor names tables with row-level security. Some providers switch it on for every new table."""
    made = connect(own_database(DOCTOR))
    upgrade_to_head(made)
    with made.connect() as connection:
        assert server.shortcomings(connection) == []
        connection.execute(text("ALTER TABLE mailbox ENABLE ROW LEVEL SECURITY"))
        (line,) = server.shortcomings(connection)
        assert line.startswith("row-level security hides rows of mailbox")
    made.dispose()


@pytest.mark.parametrize("setting", ["synchronous_commit", "fsync"])
def test_settings_of_a_server_that_may_lose_accepted_commands_are_reported(
    migrated: None, setting: str
) -> None:
    url = own_database(DOCTOR)
    name = make_url(url).database
    made = connect(url)
    with made.connect() as connection:
        if setting == "synchronous_commit":
            assert not [line for line in server.warnings(connection) if line.startswith(setting)]
            connection.execute(text("SET LOCAL synchronous_commit = off"))
        elif connection.execute(text("SHOW fsync")).scalar_one() == "on":
            pytest.skip(f"the server of {name} has fsync on, which only its configuration changes")
        assert [line for line in server.warnings(connection) if line.startswith(f"{setting} is off")]
    made.dispose()


@pytest.mark.long
def test_a_database_whose_disk_is_full_is_a_finding() -> None:
    folder = Path(tempfile.mkdtemp(prefix="weelo-full-"))
    folder.chmod(0o755)
    disk = SmallDisk(folder / "disk", megabytes=120)
    if disk.why_not:
        pytest.skip(disk.why_not)
    postgres = Postgres(disk.at, {"fsync": "off"})
    try:
        postgres.start()
        url = postgres.create_database("weelo")
        assert weelo_here("migrate", DATABASE_URL=url).returncode == 0
        assert "refuses writes" not in weelo_here("doctor", DATABASE_URL=url).stdout
        with disk.full():
            seen = weelo_here("doctor", DATABASE_URL=url)
        assert seen.returncode == 1
        assert "database: it refuses writes: could not " in seen.stdout
        assert "No space left on device" in seen.stdout
    finally:
        postgres.remove()
        disk.remove()
        shutil.rmtree(folder, ignore_errors=True)
