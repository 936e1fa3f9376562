"""The processes of the system, and the order in which they stop."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from weelo_workers.contracts.queues import NOTIFICATIONS, QUEUES, WEBHOOKS, Queue
from weelo_workers.runtime.environment import for_server
from weelo_workers.runtime.ports import free_port
from weelo_workers.runtime.supervisor import Program
from weelo_workers.settings import given

# The stages in which programs stop: programs that create work stop first, then the workers that execute it. The longest
# times that the stages may take (`Program.grace`) add up to 0.5 + 1.5 + 1.5 + 5.5 + 3.5 = 12.5 s. The servers take 2 s
# more, so everything has stopped within 15 s.
DEMO, BEAT, FLOWER, API, WORKERS = range(5)
ROBOTS = BEAT

# Pushes run in threads of their own (`app.py`), so two threads are enough to start them. More threads would only
# compete for the interpreter lock.
NOTIFIER_THREADS = 2

SHARED_WORKER = "workers"
"""The name of the one worker of all queues."""

API_ROLE, WORKERS_ROLE = ROLES = ("DATABASE_API_URL", "DATABASE_WORKERS_URL")

# After each sweep, beat executes the commands that write presence. The clock of a sandbox moves on only when they are
# executed, so a sandbox sweeps more often.
SANDBOX_PACE = {"SWEEP_SECONDS": "0.2"}

# With these shorter timers the demo takes one minute instead of several minutes.
DEMO_PACE = {
    "BROADCAST_TIMEOUT_SECONDS": "30",
    "RADIUS_STEP_SECONDS": "2",
    "CONTRACTED_FIRST_SECONDS": "4",
    "DRIVER_ACCEPT_SECONDS": "10",
    "HOLD_SECONDS": "6",
    "START_REMINDER_SECONDS": "8",
    "START_LIMIT_SECONDS": "16",
}


@dataclass(frozen=True, slots=True)
class Options:
    """The options of `weelo up`. `flower_port` None: no Flower."""

    data_dir: Path
    host: str = "127.0.0.1"
    port: int = 8000
    flower_port: int | None = 5555
    concurrency: int = 2
    worker_per_queue: bool = False
    """Whether each queue has a worker of its own, as in production. If not, one worker consumes all of them."""
    demo: bool = False
    sandbox: bool = False
    """Whether callers may move the clock and start robot fleets."""
    address: str | None = None
    """The address that `host` names, after it was looked up."""
    metrics_ports: Mapping[str, int] = field(default_factory=dict)
    """The ports on which workers and beat serve their metrics, by name."""

    @property
    def url(self) -> str:
        return f"http://{_in_url(self.host)}:{self.port}"

    @property
    def own_url(self) -> str:
        """The URL for clients on this machine: if the API listens on all interfaces, the loopback address."""
        everywhere = {"0.0.0.0": "127.0.0.1", "::": "::1"}
        return f"http://{_in_url(everywhere.get(self.host, self.host))}:{self.port}"

    @property
    def flower_url(self) -> str | None:
        return None if self.flower_port is None else f"http://127.0.0.1:{self.flower_port}"


def programs(options: Options) -> list[Program]:
    """Return the programs in the order in which they start: workers and beat, the API, Flower."""
    return [*workers(options), *api(options), *monitoring(options)]


def workers(options: Options) -> list[Program]:
    if options.worker_per_queue:
        workers = [_worker_of(queue, options.concurrency) for queue in QUEUES]
    else:
        workers = [_worker(SHARED_WORKER, QUEUES, "prefork", options.concurrency)]
    return [_with_metrics(program, options) for program in (*workers, _beat())]


def _with_metrics(program: Program, options: Options) -> Program:
    port = options.metrics_ports.get(program.name)
    return replace(program, settings={"METRICS_PORT": str(port) if port else ""})


def metrics_ports(options: Options, first: int | None) -> dict[str, int]:
    """Return a port for each worker and beat: consecutive ones from `first`, or any free ones."""
    names = [program.name for program in workers(options)]
    if first is not None:
        return {name: first + number for number, name in enumerate(names)}
    ports: set[int] = set()
    while len(ports) < len(names):
        # The ports of the API and of Flower still look free, because both are started later. So these ports must not be
        # chosen here.
        ports |= {free_port()} - {options.port, options.flower_port}
    return dict(zip(names, sorted(ports), strict=True))


def api(options: Options) -> list[Program]:
    """Return the programs that are started only when the workers are ready."""
    return [_api(options), *([_robots()] if options.sandbox else [])]


def monitoring(options: Options) -> list[Program]:
    """Return the programs that only observe the system."""
    return [] if options.flower_port is None else [_flower(options.flower_port)]


def addresses(options: Options) -> dict[str, str]:
    """Return the URLs that answer 200 once the system is ready, by program."""
    flower = {} if options.flower_url is None else {"flower": f"{options.flower_url}/healthcheck"}
    return {"api": f"{options.own_url}/readyz", **flower}


def demo(options: Options) -> Program:
    arguments = ("--url", options.own_url, "--data-dir", str(options.data_dir))
    argv = _module("weelo_workers.entry", "demo", *arguments)
    return Program("demo", argv, stop_stage=DEMO, grace=0.5, once=True)


def environment(overrides: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of the child processes: those variables of this process that `for_server` keeps, and `overrides`."""
    return {**for_server(os.environ), **overrides}


def env_for_role(environment: Mapping[str, str], role: str | None) -> dict[str, str]:
    """Return a program's environment, in which DATABASE_URL has the value of the variable that `role` names.

    If that variable is not set, the program connects as the schema's owner, with the original DATABASE_URL. If `role`
    is None, DATABASE_URL is left out. No program gets the passwords of other roles.
    """
    address = environment.get(role) or environment.get("DATABASE_URL") if role else None
    others = {name: value for name, value in environment.items() if name not in ("DATABASE_URL", *ROLES)}
    return others if address is None else {**others, "DATABASE_URL": address}


def demo_pace() -> dict[str, str]:
    """Return the shorter timers for the demo, except those that the environment sets."""
    return _unless_given(DEMO_PACE)


def sandbox_pace() -> dict[str, str]:
    """Return the settings of a sandbox, except those that the environment sets."""
    return _unless_given(SANDBOX_PACE)


def _unless_given(values: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in values.items() if not given(name)}


def migration() -> tuple[str, ...]:
    return _module("weelo_workers.entry", "migrate")


def _api(options: Options) -> Program:
    bind = f"--bind={_in_url(options.address or options.host)}:{options.port}"
    argv = _module("gunicorn", "--config=python:weelo_api.server.gunicorn", bind)
    known = os.environ.get("FLOWER_URL") or options.flower_url
    return Program("api", argv, stop_stage=API, grace=5.5, settings={"FLOWER_URL": known} if known else {})


def _robots() -> Program:
    """Return the program that moves the clock of a sandbox and acts for its robot fleets."""
    return Program("sandbox", _module("weelo_api.sandbox"), stop_stage=ROBOTS, grace=1.5)


def _worker_of(queue: Queue, concurrency: int) -> Program:
    # Workers for transitions use processes. The workers for pushes and webhooks use threads, because they mostly wait for
    # the database, FCM and endpoints.
    waits = queue in (NOTIFICATIONS, WEBHOOKS)
    pool, size = ("threads", NOTIFIER_THREADS) if waits else ("prefork", concurrency)
    return _worker(queue, [queue], pool, size)


def _worker(name: str, queues: Sequence[Queue], pool: str, size: int) -> Program:
    argv = _celery(
        "worker",
        f"--queues={','.join(queues)}",
        f"--hostname={name}@%h",
        f"--pool={pool}",
        f"--concurrency={size}",
        "--without-mingle",
        "--without-gossip",
    )
    return Program(name, argv, stop_stage=WORKERS, grace=3.5)


def _beat() -> Program:
    argv = _celery("beat", "--scheduler=weelo_workers.app:SweepingScheduler", "--pidfile=")
    return Program("beat", argv, stop_stage=BEAT, grace=1.5)


def _flower(port: int) -> Program:
    argv = _celery("flower", "--address=127.0.0.1", f"--port={port}", "--logging=error")
    return Program("flower", argv, stop_stage=FLOWER, grace=1.5)


def _celery(*arguments: str) -> tuple[str, ...]:
    return _module("weelo_workers", "--quiet", "--no-color", *arguments)


def _module(name: str, *arguments: str) -> tuple[str, ...]:
    """Return a command line that runs a Python module.

    The module's script in the venv is not run, because it fails if the path of the venv is long or has spaces.
    `-P`: nothing is imported from the current directory.
    """
    return (sys.executable, "-P", "-m", name, *arguments)


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host
