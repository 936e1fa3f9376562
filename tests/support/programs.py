"""Runs `weelo` commands as programs of their own, without the settings of the tests."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence

Begin = Callable[..., subprocess.Popen[str]]
"""The fixture `begin`: starts a Python program."""

# Runs `weelo up` with two small programs in place of all processes: an API that is ready, and a worker.
STAND_IN = """
import sys
from pathlib import Path
from weelo_workers import cli
from weelo_workers.runtime import programs, system
from weelo_workers.runtime.supervisor import Program

API = '''
import http.server, os, sys
class Ready(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers()
    def log_message(self, *_): pass
print("sees", *(name for name in ("DATABASE_URL", "REDIS_URL", "JWT_SECRET") if os.environ.get(name)))
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Ready).serve_forever()
'''

WORKER = '''
import time
from weelo_workers.contracts.queues import QUEUES
from weelo_workers.messaging.worker_heartbeats import record_consumption
for queue in QUEUES:
    record_consumption(queue)
time.sleep(600)
'''

def api(options):
    return [Program("api", (sys.executable, "-c", API, str(options.port)), stop_stage=programs.API)]

def workers(options):
    return [Program("offers", (sys.executable, "-c", WORKER), stop_stage=programs.WORKERS)]

programs.workers, programs.api = workers, api
programs.demo = lambda options: Program("demo", (sys.executable, "-c", "print('the show'); raise SystemExit(7)"), once=True)
programs.migration = lambda: (sys.executable, "-c", "")
cli.main()
"""


def weelo(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command with these settings and no others."""
    return _run(arguments, {**without_weelo(), **environment})


def weelo_here(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command with the settings of the tests. `environment` replaces some of them."""
    return _run(arguments, {**os.environ, **environment})


def _run(arguments: Sequence[str], environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "weelo_workers.cli", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def without_weelo() -> dict[str, str]:
    """Return this process's environment without Weelo's variables and those that `make` sets if it starts the tests."""
    own_prefixes = ("DATABASE_", "REDIS_", "CELERY_", "JWT_", "WEELO_", "FORCE_COLOR", "MAKE", "MFLAGS")
    return {name: value for name, value in os.environ.items() if not name.startswith(own_prefixes)} | {
        "PYTHONUNBUFFERED": "1"
    }
