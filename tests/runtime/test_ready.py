"""`weelo ready` means that the system works; otherwise `weelo up` ends with one line that names the cause."""

from __future__ import annotations

import io
import os
import re
import time
from pathlib import Path

import httpx
import pytest

from tests.support.programs import STAND_IN, Begin
from tests.support.wakers import NullWaker
from weelo_workers import app
from weelo_workers.messaging.bus import Bus
from weelo_workers.messaging.worker_heartbeats import NO_COMMAND, clear_consumption, queues_consumed
from weelo_workers.models.engine import connect
from weelo_workers.redis_client import connect as connect_redis, redis
from weelo_workers.runtime.console_log import ConsoleLog
from weelo_workers.runtime.datadir import make_directory
from weelo_workers.runtime.embedded import Valkey
from weelo_workers.runtime.ports import free_port
from weelo_workers.runtime.readiness import Readiness
from weelo_workers.runtime.supervisor import Supervisor

# A `weelo up` with short limits. Each test appends the code that runs in place of the workers.
IN_A_HURRY = """
from weelo_workers.runtime import readiness, supervisor
readiness.LIMIT_SECONDS, readiness.SLOW_LIMIT_SECONDS, readiness.FAULT_SECONDS = 4, 8, 0.5
readiness.FIRST_NOTICE_SECONDS = 1
supervisor.FIRST_PAUSE_SECONDS = 0.01
"""
REFUSED_BY_POSTGRESQL = '''
API = """
import http.server, json, sys
class Unready(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(503); self.end_headers()
        self.wfile.write(json.dumps({"reason": "database: too many connections for role …"}).encode())
    def log_message(self, *_): pass
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Unready).serve_forever()
"""
'''
NO_SERVER = "redis://127.0.0.1:1/0"


def begin_up(begin: Begin, data_dir: Path, worker: str, **environment: str) -> str:
    """Run `weelo up` with this worker until it ends, assert exit code 1, and return what it printed."""
    script = STAND_IN.replace("cli.main()", f"{IN_A_HURRY}\n{worker}\ncli.main()")
    servers = {name: os.environ[name] for name in ("DATABASE_URL", "REDIS_URL")}
    arguments = ("up", "--no-flower", "--port", str(free_port()), "--data-dir", str(data_dir))
    process = begin("-c", script, *arguments, **{**servers, **environment})
    printed, _ = process.communicate(timeout=60)
    assert process.returncode == 1, printed
    assert "weelo ready" not in printed
    assert "Traceback" not in printed
    return printed


@pytest.mark.long
def test_a_certain_fault_is_reported_at_once_and_not_again_within_seconds(tmp_path: Path) -> None:
    supervisor = Supervisor(ConsoleLog(io.StringIO()), tmp_path / "children.json")
    readiness = Readiness(supervisor, {"REDIS_URL": NO_SERVER})
    lines = []
    until = time.monotonic() + 4
    while time.monotonic() < until:
        assert not readiness.check()
        if line := readiness.notice():
            lines.append(line)
        time.sleep(0.05)
    readiness.close()
    supervisor.stop()
    assert len(lines) == 1
    assert "REDIS_URL: Redis cannot be used" in lines[0]


@pytest.mark.long_except("nothing-consumed")
@pytest.mark.parametrize(
    ("variable", "worker", "cause"),
    [
        ("REDIS_URL", "", r"REDIS_URL: Redis cannot be used: .*Connection refused"),
        ("CELERY_BROKER_URL", "", r"CELERY_BROKER_URL: Redis cannot be used: .*Connection refused"),
        (
            None,
            "WORKER = 'raise SystemExit(\"no such loader\")'",
            r"offers has ended \d+ times .*no such loader",
        ),
        (
            None,
            "WORKER = 'print(\"idle\"); import time; time.sleep(600)'",
            r"no worker has consumed a message of broadcasts, offers, .*; offers printed: idle",
        ),
        (None, "API = 'import time; time.sleep(600)'", r"http://\S+/readyz does not answer .*refused"),
        (
            None,
            REFUSED_BY_POSTGRESQL,
            r"http://\S+/readyz answers 503: database: too many connections for role …",
        ),
    ],
    ids=["dead-redis", "dead-broker", "restart-loop", "nothing-consumed", "no-api", "database"],
)
def test_a_system_that_does_not_work_ends_with_one_line_that_names_the_cause(
    variable: str | None, worker: str, cause: str, begin: Begin, data_dir: Path
) -> None:
    printed = begin_up(begin, data_dir, worker, **({variable: NO_SERVER} if variable else {}))
    last = printed.splitlines()[-1]
    assert re.fullmatch(rf"weelo: not ready after \d+ s: {cause}.*", last), printed
    assert "| not ready after" in printed, "the cause is also logged before the time is over"


HOLDS_ALL_CONNECTIONS = """
WORKER = '''
import os, redis, time
held = []
while True:
    try:
        held.append(redis.Redis.from_url(os.environ["REDIS_URL"]))
        held[-1].ping()
    except redis.RedisError:
        time.sleep(0.5)
'''
"""


@pytest.mark.long
def test_a_redis_that_refuses_further_connections_is_named(begin: Begin, data_dir: Path) -> None:
    make_directory(data_dir)
    valkey = Valkey(data_dir)
    url = valkey.start()
    connect_redis(url).config_set("maxclients", 10)
    printed = begin_up(begin, data_dir, HOLDS_ALL_CONNECTIONS, REDIS_URL=url)
    cause = "REDIS_URL: Redis cannot be used: it refuses connections: its maxclients (10) is reached"
    assert re.fullmatch(rf"weelo: not ready after [4-7] s: {re.escape(cause)}", printed.splitlines()[-1]), (
        printed
    )
    valkey.stop()


def test_a_worker_that_the_database_refuses_has_consumed_nothing(
    migrated: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`weelo up` is ready once a worker has executed a wake-up of each queue.

    A worker that the database refuses must not count, because it cannot execute commands.
    """
    refused = connect("postgresql://nobody:wrong@127.0.0.1:1/weelo")
    task = app.app.tasks["offers.accept"]
    clear_consumption(redis())
    with monkeypatch.context() as away:
        away.setattr(app, "bus", lambda: Bus(refused, NullWaker()))
        task.run(str(NO_COMMAND))
    assert queues_consumed() == set()
    task.run(str(NO_COMMAND))
    assert queues_consumed() == {"offers"}
    clear_consumption(redis())
    app.bus.cache_clear()


def test_a_restart_loop_after_ready_is_reported_and_the_rest_goes_on_serving(
    begin: Begin, data_dir: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    worker = f"""
WORKER = WORKER.replace("time.sleep(600)", '''
import pathlib
while not pathlib.Path({str(broken)!r}).exists():
    time.sleep(0.05)
raise SystemExit("the disk is on fire")
''')
"""
    script = STAND_IN.replace("cli.main()", f"{IN_A_HURRY}\n{worker}\ncli.main()")
    servers = {name: os.environ[name] for name in ("DATABASE_URL", "REDIS_URL")}
    port = free_port()
    process = begin(
        "-c", script, "up", "--no-flower", "--port", str(port), "--data-dir", str(data_dir), **servers
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("weelo ready"):
            broken.touch()
        if "offers keeps failing at its start" in line:
            break
    else:
        raise AssertionError("the loop was not reported")
    assert line.rstrip().endswith("times): the disk is on fire")
    assert httpx.get(f"http://127.0.0.1:{port}/").status_code == 200
