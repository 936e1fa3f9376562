"""`weelo up` prints one line and exits if it cannot work. Otherwise it runs until it gets a signal."""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from filelock import FileLock

from tests.support.programs import STAND_IN, Begin, weelo
from tests.support.waiting import eventually
from weelo_workers.contracts.queues import QUEUES
from weelo_workers.runtime import CommandError, programs, system
from weelo_workers.runtime.datadir import DataDir, Running
from weelo_workers.runtime.embedded import Postgres, Valkey
from weelo_workers.runtime.ports import address_of, free_port
from weelo_workers.runtime.processes import Identity
from weelo_workers.runtime.programs import Options


class Up:
    """A run of `weelo up` with small programs in place of the real ones. Its output is read line by line."""

    def __init__(
        self, begin: Begin, data_dir: Path, *options: str, port: int | None = None, script: str = STAND_IN
    ) -> None:
        self.port = port or free_port()
        self.data_dir = data_dir
        arguments = ("up", "--no-flower", "--port", str(self.port), "--data-dir", str(data_dir), *options)
        self.process = begin("-c", script, *arguments)
        self.printed = ""

    def until(self, pattern: str) -> str:
        """Read on until a line matches, and return that line."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.printed += line
            if re.search(pattern, line):
                return line.rstrip("\n")
        raise AssertionError(f"no line matches {pattern}:\n{self.printed}")

    def ready(self) -> Up:
        assert self.until("^weelo ready") == f"weelo ready on http://127.0.0.1:{self.port}"
        return self

    def facts(self) -> dict[str, Any]:
        return dict(json.loads((self.data_dir / "runtime.json").read_text()))

    def stop(self, signum: signal.Signals = signal.SIGINT) -> float:
        began = time.monotonic()
        self.process.send_signal(signum)
        self.until(r" up +\| stopped$")
        assert self.process.wait(timeout=15) == 0
        return time.monotonic() - began


def test_all_log_lines_are_on_standard_output(begin: Begin, data_dir: Path, tmp_path: Path) -> None:
    """Programs that read the log need all its lines on one stream, in order. Standard error only says why a start failed."""
    errors = tmp_path / "errors"
    redirect = f"import os\nos.dup2(os.open({str(errors)!r}, os.O_WRONLY | os.O_CREAT), 2)\n"
    up = Up(begin, data_dir, script=redirect + STAND_IN).ready()
    up.stop()
    assert re.search(r" up +\| stopped$", up.printed, re.MULTILINE)
    assert errors.read_text() == ""


def test_a_port_in_use_is_one_line_that_names_the_option(data_dir: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        api = weelo("up", "--no-flower", "--port", port, "--data-dir", str(data_dir))
        assert (api.returncode, api.stderr) == (
            2,
            f"weelo: port {port} is in use; choose another with --port\n",
        )
        flower = weelo("up", "--port", str(free_port()), "--flower-port", port, "--data-dir", str(data_dir))
        assert flower.returncode == 2
        assert re.fullmatch(rf"weelo: port {port} is in use; .*--flower-port .*--no-flower\n", flower.stderr)


def test_ports_of_metrics_that_cannot_be_used_are_one_line(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If a worker's metrics had the port of the API, the worker would answer `/readyz`, and the API could not listen."""
    port = free_port()

    def refusal(**variables: str) -> str:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        up = weelo("up", "--no-flower", "--port", str(port), "--data-dir", str(data_dir))
        assert up.returncode == 2
        return up.stderr

    both = f"weelo: METRICS_PORT: port {port} cannot serve both API and metrics of"
    assert refusal(METRICS_PORT=str(port)) == f"{both} workers; see --port\n"
    assert refusal(METRICS_PORT=str(port - 1)) == f"{both} beat; see --port\n"
    assert refusal(METRICS_PORT="65535") == (
        "weelo: METRICS_PORT: 2 ports in a row are needed, so at most 65534\n"
    )
    monkeypatch.delenv("METRICS_PORT")
    assert refusal(METRICS_HOST="203.0.113.1").startswith("weelo: METRICS_HOST: must be an address of this")


def test_a_data_dir_in_use_is_one_line(data_dir: Path) -> None:
    data_dir.mkdir()
    with FileLock(data_dir / "up.lock"):
        second = weelo("up", "--no-flower", "--port", str(free_port()), "--data-dir", str(data_dir))
    assert second.returncode == 2
    assert re.fullmatch(r"weelo: \S+ is in use by another `weelo up` .*\n", second.stderr)


def test_a_limit_of_open_files_that_is_too_low_is_one_line(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (64, 64))
    with pytest.raises(CommandError, match="limit of open files is 64 and must be at least 128"):
        system.up(Options(data_dir))
    assert not data_dir.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to another user")
def test_files_that_an_earlier_run_left_to_another_user_are_one_line(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such files exist if `weelo up` follows an earlier `sudo weelo up`."""
    DataDir.open(data_dir).metrics_dir.mkdir()
    os.chown(data_dir, 65_534, 65_534)
    monkeypatch.setattr(os, "geteuid", lambda: 65_534)
    with pytest.raises(CommandError, match=rf"{data_dir}/metrics belongs to another user \(id 0\)"):
        DataDir.open(data_dir)
    os.chown(data_dir / "metrics", 65_534, 65_534)
    (data_dir / "lost+found").mkdir()  # every ext4 file system has a folder lost+found, which root owns
    DataDir.open(data_dir)


def test_a_host_name_with_ipv6_addresses_only_is_listened_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """gunicorn looks up names for IPv4 only, so it is given the address instead of the name."""
    ipv4 = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 0))
    ipv6 = (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("2001:db8::1", 0, 0, 0))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [ipv6])
    assert address_of("six.example") == "2001:db8::1"
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [ipv6, ipv4])
    assert address_of("both.example") == "192.0.2.1"
    options = Options(Path("unused"), host="six.example", port=8001, address="2001:db8::1")
    [api] = programs.api(options)
    assert "--bind=[2001:db8::1]:8001" in api.argv
    assert options.url == "http://six.example:8001"


@pytest.mark.parametrize("missing", ["JWT_SECRET", "DATABASE_URL", "REDIS_URL"])
def test_production_invents_nothing(missing: str, data_dir: Path) -> None:
    environment = {
        "WEELO_ENV": "production",
        "JWT_SECRET": "0123456789abcdef" * 2,
        "DATABASE_URL": "postgresql://127.0.0.1:1/weelo",
        "REDIS_URL": "redis://127.0.0.1:1/0",
    }
    del environment[missing]
    refused = weelo("up", "--data-dir", str(data_dir), **environment)
    assert refused.returncode == 2
    assert refused.stderr.startswith(f"weelo: {missing}: must be set in production")
    assert refused.stderr.count("\n") == 1
    assert not data_dir.exists()


def test_a_bad_value_is_one_line_that_names_the_variable(data_dir: Path) -> None:
    refused = weelo("up", "--data-dir", str(data_dir), HOLD_SECONDS="soon")
    assert refused.returncode == 2
    assert re.fullmatch(r"weelo: HOLD_SECONDS: .*\n", refused.stderr)


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_it_gets_ready_by_itself_and_stops_in_time_with_everything(
    signum: signal.Signals, data_dir: Path, begin: Begin
) -> None:
    up = Up(begin, data_dir).ready()
    assert "sees DATABASE_URL REDIS_URL JWT_SECRET" in up.printed
    assert stat.S_IMODE((data_dir / "runtime.json").stat().st_mode) == 0o600
    assert up.facts()["pid"] == up.process.pid
    assert httpx.get(str(up.facts()["url"])).status_code == 200
    assert up.stop(signum) < 15
    assert (Postgres(data_dir).pid(), Valkey(data_dir).pid()) == (None, None)
    assert not (data_dir / "runtime.json").exists()


def test_after_kill_9_the_next_run_ends_the_children_and_takes_the_servers_over(
    data_dir: Path, begin: Begin
) -> None:
    first = Up(begin, data_dir).ready()
    children = [pid for pid, _ in json.loads((data_dir / "children.json").read_text())["children"]]
    assert len(children) == 2
    before = first.facts()["server_pids"]
    first.process.kill()
    eventually(lambda: not any(Identity.of(pid) for pid in children), within=5)
    eventually(lambda: not (data_dir / "runtime.json").exists())
    second = Up(begin, data_dir, port=first.port).ready()
    assert second.facts()["server_pids"] == before
    assert "embedded postgres still runs" in second.printed
    second.stop()


def test_embedded_servers_that_die_are_started_again(data_dir: Path, begin: Begin) -> None:
    up = Up(begin, data_dir).ready()
    for server in (Postgres(data_dir), Valkey(data_dir)):
        before = server.pid()
        assert before is not None
        os.kill(before, signal.SIGKILL)
        up.until(f"embedded {server.name} has died")
        eventually(lambda: up.facts()["server_pids"][server.name] not in (None, before))  # noqa: B023
        eventually(lambda: server.pid() not in (None, before), within=20)  # noqa: B023
    up.stop()


def test_a_server_that_does_not_begin_keeps_no_other_waiting(data_dir: Path, begin: Begin) -> None:
    up = Up(begin, data_dir).ready()
    postgres, valkey = Postgres(data_dir), Valkey(data_dir)
    before = postgres.pid()
    assert before is not None
    with FileLock(valkey.home / "start.lock"):  # another process that starts Valkey would hold this lock
        valkey.kill()
        up.until("embedded valkey has died")
        os.kill(before, signal.SIGKILL)
        eventually(lambda: postgres.pid() not in (None, before), within=20)
    up.stop()


@pytest.mark.long
def test_the_demo_plays_once_undecorated_and_the_system_goes_on(data_dir: Path, begin: Begin) -> None:
    up = Up(begin, data_dir, "--demo").ready()
    assert "shortened for the demo: BROADCAST_TIMEOUT_SECONDS=30" in up.printed
    assert up.until("show") == "the show"
    assert "exit code 7" in up.until("weelo demo ended")
    assert f"http://127.0.0.1:{up.port}/docs" in up.until("^  docs ")
    up.until("^  timers .*still shortened")
    assert up.until("=30") == "            BROADCAST_TIMEOUT_SECONDS=30"
    assert "start: weelo up" in up.until("normal ones")
    assert httpx.get(f"http://127.0.0.1:{up.port}").status_code == 200
    up.stop()


def test_after_the_demo_the_addresses_and_the_shortened_timers_are_printed() -> None:
    after = system._after_the_demo(
        Options(Path("unused"), port=8001, flower_port=5556), 0, programs.DEMO_PACE
    )
    assert {"http://127.0.0.1:8001/docs", "http://127.0.0.1:5556", "HOLD_SECONDS=6"} <= set(after.split())
    assert all(len(line) <= 80 for line in after.splitlines())
    usual = system._after_the_demo(Options(Path("unused"), flower_port=None), 0, {})
    assert "Flower" not in usual and "timers" not in usual


def test_a_signal_during_the_start_stops_it_as_well(data_dir: Path, begin: Begin) -> None:
    up = Up(begin, data_dir)
    up.until("embedded postgres starts")
    up.stop()
    eventually(lambda: Postgres(data_dir).pid() is None)


def test_workers_show_their_figures_at_ports_in_a_row_or_at_any_that_are_free() -> None:
    each, shared = Options(Path(), worker_per_queue=True), Options(Path())
    assert list(programs.metrics_ports(each, 9540).values()) == list(range(9540, 9548))
    assert programs.metrics_ports(shared, 9540) == {"workers": 9540, "beat": 9541}
    free = programs.metrics_ports(each, None)
    assert set(free) == {*QUEUES, "beat"}
    assert len(set(free.values())) == len(free)


def test_the_description_of_a_run_that_is_over_is_not_read_as_a_running_one(tmp_path: Path) -> None:
    data = DataDir.open(tmp_path / "data")
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    facts: dict[str, Any] = {
        "url": "http://127.0.0.1:1",
        "flower_url": None,
        "database_url": None,
        "redis_url": None,
        "jwt_secret_file": None,
        "server_pids": {},
        "metrics_urls": {},
    }
    data.announce(Running(pid=ended.pid, born=time.time(), **facts))
    assert data.running() is None
    # After a `weelo up` has ended, another process may get its pid. Here that process is the test's own: its pid is
    # announced, but with another time of its start.
    data.announce(Running(pid=os.getpid(), born=1.0, **facts))
    assert data.running() is None
    data.withdraw_if_dead()
    assert not data.running_file.exists()
