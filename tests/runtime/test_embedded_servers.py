"""The embedded servers keep their data when processes are killed, in every kind of data directory."""

from __future__ import annotations

import os
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psycopg2
import pytest
import redis

from tests.support.programs import Begin
from tests.support.waiting import eventually
from weelo_workers.runtime import postgres_install
from weelo_workers.runtime.embedded import EmbeddedServer, Postgres, Valkey
from weelo_workers.runtime.processes import Identity
from weelo_workers.runtime.server import cause_in

BOTH = pytest.mark.parametrize("kind", [Postgres, Valkey])
AS_ROOT = os.geteuid() == 0


def remember(server: EmbeddedServer, word: str) -> None:
    """Store a word durably, so that a kill right afterwards does not lose it."""
    if isinstance(server, Postgres):
        query(server.url(), f"CREATE TABLE IF NOT EXISTS kept AS SELECT '{word}' AS word")
    else:
        with redis.Redis.from_url(server.url()) as client:
            client.set("kept", word)


def remembered(server: EmbeddedServer) -> str:
    if isinstance(server, Postgres):
        return str(query(server.url(), "SELECT word FROM kept"))
    with redis.Redis.from_url(server.url(), decode_responses=True) as client:
        return str(client.get("kept"))


def query(url: str, statement: str) -> Any:
    connection = psycopg2.connect(url)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchone()[0] if cursor.description else None
    finally:
        connection.close()


@BOTH
def test_a_server_comes_back_after_a_power_cut_at_the_same_address_with_its_data(
    kind: type[EmbeddedServer], data_dir: Path
) -> None:
    server = kind(data_dir)
    url = server.start()
    remember(server, "promise")
    server.kill()
    assert server.pid() is None
    assert server.start() == url
    assert remembered(server) == "promise"


@BOTH
def test_a_server_keeps_its_data_over_a_clean_stop(kind: type[EmbeddedServer], data_dir: Path) -> None:
    server = kind(data_dir)
    server.start()
    remember(server, "promise")
    server.stop()
    assert server.pid() is None
    server.start()
    assert remembered(server) == "promise"


@BOTH
def test_the_server_of_a_killed_run_is_taken_over(
    kind: type[EmbeddedServer], data_dir: Path, begin: Begin
) -> None:
    earlier = begin(
        "-c",
        "import sys, pathlib; from weelo_workers.runtime.embedded import *\n"
        f"print({kind.__name__}(pathlib.Path(sys.argv[1])).start()); sys.stdin.read(); import time; time.sleep(60)",
        str(data_dir),
    )
    assert earlier.stdout is not None
    url = earlier.stdout.readline().strip()
    server = kind(data_dir)
    pid = server.pid()
    remember(server, "promise")
    earlier.kill()
    earlier.wait()
    assert server.start() == url
    assert server.pid() == pid is not None
    assert remembered(server) == "promise"


@BOTH
def test_two_starts_at_once_make_one_server(kind: type[EmbeddedServer], data_dir: Path) -> None:
    with ThreadPoolExecutor() as pool:
        urls = list(pool.map(lambda _: kind(data_dir).start(), range(4)))
    assert len(set(urls)) == 1


@BOTH
def test_a_port_that_somebody_took_is_replaced(kind: type[EmbeddedServer], data_dir: Path) -> None:
    server = kind(data_dir)
    url = server.start()
    server.stop()
    with socket.create_server(("127.0.0.1", int((server.home / "port").read_text()))):
        assert server.start() != url
        remember(server, "elsewhere")


@BOTH
def test_a_pid_file_that_names_a_stranger_is_no_server(kind: type[EmbeddedServer], data_dir: Path) -> None:
    server = kind(data_dir)
    server.start()
    remember(server, "promise")
    pid_file = server.working_directory() / ("postmaster.pid" if kind is Postgres else "pid")
    lines = pid_file.read_text().splitlines()
    server.kill()
    owner = {"user": pid_file.stat().st_uid} if AS_ROOT else {}
    stranger = subprocess.Popen(["sleep", "60"], **owner)  # type: ignore[call-overload]
    try:
        pid_file.write_text("\n".join([str(stranger.pid), *lines[1:]]) + "\n")
        assert server.pid() is None
        server.start()
        assert remembered(server) == "promise"
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


@BOTH
def test_any_path_will_do(kind: type[EmbeddedServer], data_dir: Path) -> None:
    odd = data_dir / "with space, 'quotes\" and %" / ("long" * 30)
    server = kind(odd)
    try:
        server.start()
        remember(server, "promise")
        assert remembered(server) == "promise"
    finally:
        server.remove()


@BOTH
def test_two_data_dirs_are_two_servers(kind: type[EmbeddedServer], data_dir: Path) -> None:
    one, other = kind(data_dir / "one"), kind(data_dir / "other")
    try:
        assert one.start() != other.start()
        remember(one, "mine")
        remember(other, "yours")
        assert (remembered(one), remembered(other)) == ("mine", "yours")
    finally:
        one.remove()
        other.remove()


@BOTH
def test_nobody_without_the_password_gets_in_and_only_the_owner_can_read_it(
    kind: type[EmbeddedServer], data_dir: Path
) -> None:
    server = kind(data_dir)
    secret = server.start().split(":")[2].split("@")[0]
    wrong = server.url().replace(secret, "guess")
    with pytest.raises((psycopg2.OperationalError, redis.AuthenticationError)):  # noqa: PT012 (each its own client)
        if kind is Postgres:
            psycopg2.connect(wrong)
        else:
            redis.Redis.from_url(wrong).ping()
    files = [path for path in server.home.rglob("*") if path.is_file() and "data" not in path.parts]
    assert {stat.S_IMODE(path.stat().st_mode) & 0o077 for path in files} == {0}


def test_postgres_does_what_durability_needs_and_is_the_same_everywhere(data_dir: Path) -> None:
    url = Postgres(data_dir).start()
    wanted = {
        "fsync": "on",
        "synchronous_commit": "on",
        "max_connections": "200",
        "TimeZone": "UTC",
        "server_encoding": "UTF8",
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": "",
    }
    assert {name: query(url, f"SHOW {name}") for name in wanted} == wanted
    assert query(url, "SELECT lower('ÄÖÜ')") == "äöü"


def test_a_database_may_be_created_twice_and_by_many_at_once(data_dir: Path) -> None:
    server = Postgres(data_dir)
    server.start()
    with ThreadPoolExecutor() as pool:
        urls = list(pool.map(server.create_database, ["we'e\"lo x"] * 4))
    assert {query(url, "SELECT current_database()") for url in urls} == {"we'e\"lo x"}


def test_valkey_keeps_a_log_and_never_evicts(data_dir: Path) -> None:
    with redis.Redis.from_url(Valkey(data_dir).start(), decode_responses=True) as client:
        wanted = {
            "appendonly": "yes",
            "appendfsync": "everysec",
            "maxmemory-policy": "noeviction",
            "databases": "64",
        }
        assert {name: client.config_get(name)[name] for name in wanted} == wanted


def test_a_valkey_whose_pid_could_not_be_written_is_found_all_the_same(data_dir: Path) -> None:
    """Valkey's pid file is missing, for example, if the server starts on a full disk."""
    server = Valkey(data_dir)
    server.start()
    running = server.pid()
    (server.home / "pid").unlink()
    assert running and server.pid() == running
    server.remove()


def test_a_cluster_whose_making_was_interrupted_is_made_again(data_dir: Path) -> None:
    half = data_dir / "postgres" / "making"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18\n")
    assert query(Postgres(data_dir).start(), "SELECT 1") == 1


def test_an_ordinary_user_has_servers_too(data_dir: Path) -> None:
    """If root runs the test, the script runs as uid 65534. It may read all files, because Python may lie in root's folders."""
    script = (
        "import os, pathlib, sys; from weelo_workers.runtime.embedded import Postgres, Valkey\n"
        "assert os.geteuid() != 0\n"
        "for kind in (Postgres, Valkey):\n"
        "    server = kind(pathlib.Path(sys.argv[1])); url = server.start(); server.kill()\n"
        "    assert server.start() == url; server.stop()\n"
        "print('fine')"
    )
    become = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    read_all = ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
    if AS_ROOT:
        os.chown(data_dir.parent, 65_534, 65_534)
    command = [*become, *read_all] if AS_ROOT else []
    done = subprocess.run(
        [*command, sys.executable, "-B", "-c", script, str(data_dir)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "fine\n", done.stderr
    assert stat.S_IMODE(data_dir.stat().st_mode) == 0o700


@pytest.mark.skipif(
    not AS_ROOT, reason="an ordinary user's PostgreSQL runs as that user and reaches what they reach"
)
def test_as_root_nothing_is_opened_to_let_postgres_in(data_dir: Path) -> None:
    closed = data_dir.parent / "closed"
    closed.mkdir(mode=0o700)
    server = Postgres(closed / ".weelo")
    try:
        server.start()
        remember(server, "promise")
        assert stat.S_IMODE(closed.stat().st_mode) == 0o700
        assert server.working_directory().is_relative_to(postgres_install.ELSEWHERE)
        server.restart()
        assert remembered(server) == "promise"
    finally:
        elsewhere = server.working_directory()
        server.remove()
    assert not elsewhere.exists()


@pytest.mark.skipif(
    not AS_ROOT, reason="an ordinary user's PostgreSQL runs as that user and reaches what they reach"
)
def test_as_root_binaries_in_a_closed_directory_are_copied_to_where_they_can_run(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = find_spec(postgres_install.WHEEL)
    assert spec is not None and spec.submodule_search_locations
    installed = Path(spec.submodule_search_locations[0])
    closed = data_dir.parent / "closed"
    closed.mkdir(mode=0o700)
    for part in (installed / postgres_install.RELEASE, installed.with_name(f"{postgres_install.WHEEL}.libs")):
        shutil.copytree(part, closed / part.relative_to(installed.parent), symlinks=True)
    elsewhere = Path(tempfile.mkdtemp(dir=data_dir.parent))
    monkeypatch.setattr(postgres_install, "ELSEWHERE", elsewhere)
    found = SimpleNamespace(submodule_search_locations=[str(closed / postgres_install.WHEEL)])
    monkeypatch.setattr(postgres_install, "find_spec", lambda _name: found)
    postgres_install.installation_for.cache_clear()
    try:
        server = Postgres(data_dir)
        assert query(server.start(), "SELECT 1") == 1
        pid = server.pid()
        assert pid is not None
        assert Path(f"/proc/{pid}/exe").readlink().is_relative_to(elsewhere)
        server.stop()
        eventually(lambda: Identity.of(pid) is None)
    finally:
        postgres_install.installation_for.cache_clear()


def test_a_cluster_that_cannot_be_made_is_reported_with_the_cause_and_not_with_the_tidying_up() -> None:
    of_initdb = (
        "creating directory … ok\ninitdb: error: could not write: No space left\ninitdb: removing contents\n"
    )
    assert cause_in(of_initdb) == "initdb: error: could not write: No space left"
    of_postgres = (
        "[7] LOG:  starting\n[7] FATAL:  could not map memory\n[7] LOG:  database system is shut down\n"
    )
    assert cause_in(of_postgres) == "[7] FATAL:  could not map memory"
    assert cause_in(">>> 'bind'\nBad directive\n\n") == "Bad directive"
    assert cause_in("\n") == "it printed nothing"
