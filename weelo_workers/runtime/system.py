"""`weelo up`: the whole system in one terminal, from an empty directory to `weelo ready`, until Ctrl-C."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import FrameType

from redis.exceptions import RedisError

from weelo_workers import redis_client, redis_clock
from weelo_workers.logs import configuring
from weelo_workers.rabbitmq_url import is_rabbitmq
from weelo_workers.runtime import CommandError, programs
from weelo_workers.runtime.console_log import OWN_NAME, ConsoleLog
from weelo_workers.runtime.datadir import DataDir, Running
from weelo_workers.runtime.embedded import EmbeddedServer, Postgres, ServerError, Valkey
from weelo_workers.runtime.environment import OUTPUT_ENCODING, composed
from weelo_workers.runtime.ports import address_of, can_listen
from weelo_workers.runtime.processes import Identity
from weelo_workers.runtime.programs import Options
from weelo_workers.runtime.readiness import Readiness
from weelo_workers.runtime.reaper import ChildRegistry
from weelo_workers.runtime.supervisor import Supervisor
from weelo_workers.settings import ConfigurationError, given, settings

DATABASE = "weelo"
EMBEDDED_ROLES = {programs.API_ROLE: "weelo_api", programs.WORKERS_ROLE: "weelo_workers"}
SERVER_STOP_SECONDS = 1.0
"""The time for each server to stop. If PostgreSQL is killed after it, the next start recovers the data from the log."""
TICK_SECONDS = 0.1
WATCH_SECONDS = 0.25
"""Seconds between two checks of the child processes of a system that is ready. A longer time costs an idle system less."""
LAST_PORT = 65_535
MIN_FILES = 128
"""The least limit of open files. With 64 files the embedded Valkey accepts fewer connections than the processes open."""


class _StopEarly(BaseException):
    """A signal came before any process was started."""


class _Stopping:
    """Handles signals that end a program: during preparation they raise _StopEarly, later they only set `asked`.

    Ctrl-Z is ignored, also by programs started later: a suspended supervisor reads no output, so its processes would stop
    at the first full pipe, and `make run` would end.
    """

    def __init__(self) -> None:
        self.asked = threading.Event()
        self.interrupts = True
        signal.signal(signal.SIGTSTP, signal.SIG_IGN)
        for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
            # nohup starts a program with SIGHUP ignored. In that case SIGHUP stays ignored.
            if signum != signal.SIGHUP or signal.getsignal(signum) != signal.SIG_IGN:
                signal.signal(signum, self._on_signal)

    def _on_signal(self, signum: int, frame: FrameType | None) -> None:
        self.asked.set()
        if self.interrupts:
            # A second signal must not interrupt the clean-up.
            self.interrupts = False
            raise _StopEarly


def up(options: Options) -> int:
    """Run the system until a signal comes. Raises CommandError or ConfigurationError for expected problems."""
    _check_configuration()
    stopping = _Stopping()
    console_log = ConsoleLog(sys.stdout, settings().format_of_log_lines)
    configuring.configure(OWN_NAME, write=partial(console_log.pass_on, OWN_NAME))
    data = DataDir.open(options.data_dir)
    # The path is made absolute, because the processes run in another directory.
    options = replace(options, data_dir=data.path)
    with suppress(_StopEarly), ExitStack() as undo:
        undo.enter_context(data.claimed())
        try:
            _serve(options, data, console_log, stopping, undo)
        finally:
            stopping.interrupts = False
    console_log.line(OWN_NAME, "stopped")
    return 0


def _serve(
    options: Options, data: DataDir, console_log: ConsoleLog, stopping: _Stopping, undo: ExitStack
) -> None:
    console_log.introduce([program.name for program in programs.programs(options)])
    if left := ChildRegistry(data.children_file).end():
        console_log.line(OWN_NAME, f"ended {left} processes that a killed run had left behind")
    options = replace(options, address=_looked_up(options))
    _check_ports(options)
    options = replace(options, metrics_ports=programs.metrics_ports(options, settings().metrics_port))
    _check_metrics_ports(options)

    shortened = programs.demo_pace() if options.demo else {}
    provided = dict(shortened) | (programs.sandbox_pace() if options.sandbox else {})
    if shortened:
        pace = ", ".join(f"{name}={value}" for name, value in shortened.items())
        console_log.line(OWN_NAME, f"shortened for the demo: {pace}")

    servers = _start_servers(data, console_log, undo)
    for server in servers:
        if isinstance(server, Postgres):
            provided["DATABASE_URL"] = server.create_database(DATABASE)
            provided |= {role: server.url(DATABASE, role=name) for role, name in EMBEDDED_ROLES.items()}
        else:
            provided["REDIS_URL"] = server.url()
    if not given("JWT_SECRET"):
        provided["JWT_SECRET"] = data.jwt_secret()

    provided["METRICS_DIR"] = _empty_metrics_dir(data)

    environment = programs.environment(provided)
    _migrate(environment)
    for variable, address in _brokers(environment).items():
        _check_redis(variable, address, options)
    undo.callback(data.withdraw)
    announce = partial(_announce, options, data, provided, servers)
    announce()

    stopping.interrupts = False
    supervisor = Supervisor(console_log, data.children_file)
    # ExitStack undoes in reverse order, so the processes stop before the servers that they use.
    undo.callback(supervisor.stop)
    with _tended(servers, console_log, stopping.asked, announce):
        broker = environment.get("CELERY_BROKER_URL") or ""
        readiness = Readiness(
            supervisor, _brokers(environment), rabbitmq=broker if is_rabbitmq(broker) else None
        )
        undo.callback(readiness.close)
        # The first check deletes the records of an earlier run, so it is made before the workers start.
        readiness.check()
        supervisor.run(programs.workers(options), programs.env_for_role(environment, programs.WORKERS_ROLE))
        # The API starts only when every queue has a consumer, so that its first commands are executed at once.
        if not _wait_until_ready(readiness, supervisor, console_log, stopping):
            return
        supervisor.run(programs.api(options), programs.env_for_role(environment, programs.API_ROLE))
        supervisor.run(programs.monitoring(options), programs.env_for_role(environment, None))
        readiness.expect(programs.addresses(options))
        if _wait_until_ready(readiness, supervisor, console_log, stopping):
            _watch(options, supervisor, console_log, stopping, environment, shortened)


def _brokers(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the Redis URLs in use, by the variable that names them."""
    named = {name: environment.get(name) for name in ("REDIS_URL", "CELERY_BROKER_URL")}
    return {name: url for name, url in named.items() if url and not is_rabbitmq(url)}


def _wait_until_ready(
    readiness: Readiness, supervisor: Supervisor, console_log: ConsoleLog, stopping: _Stopping
) -> bool:
    """Run the child processes until the system is ready. Return False if a signal came first. Raises NotReady."""
    while not stopping.asked.wait(TICK_SECONDS):
        supervisor.tick()
        if readiness.check():
            return True
        if notice := readiness.notice():
            console_log.line(OWN_NAME, notice, "WARNING")
    return False


def _watch(
    options: Options,
    supervisor: Supervisor,
    console_log: ConsoleLog,
    stopping: _Stopping,
    environment: dict[str, str],
    shortened: Mapping[str, str],
) -> None:
    """Keep the child processes running until a signal comes; play the demo once if `options` ask for it."""
    console_log.say(f"weelo ready on {options.url}")
    if options.demo:
        if console_log.drawn_on:
            console_log.hold()
        supervisor.run([programs.demo(options)], programs.env_for_role(_for_the_terminal(environment), None))
    demo_plays = options.demo
    while not stopping.asked.wait(WATCH_SECONDS):
        supervisor.tick()
        if demo_plays and (code := supervisor.exit_code("demo")) is not None:
            demo_plays = False
            console_log.release()
            console_log.say(_after_the_demo(options, code, shortened))
    if demo_plays:
        # The demo draws on the terminal until it ends, so it is ended before other lines are written.
        supervisor.end("demo")
        console_log.release()


def _after_the_demo(options: Options, code: int, shortened: Mapping[str, str]) -> str:
    """Return the text to print after the demo: the addresses, and which timers stay shortened."""
    command = sys.argv[0] if Path(sys.argv[0]).name == "weelo" else "weelo"
    lines = [
        f"weelo demo ended with exit code {code}; the system goes on until Ctrl-C",
        f"  API     {options.url}",
        f"  docs    {options.own_url}/docs",
    ]
    if options.flower_url:
        lines.append(f"  Flower  {options.flower_url}")
    if shortened:
        lines += [
            "  timers  still shortened for the demo:",
            *(f"            {name}={value}" for name, value in shortened.items()),
            f"          for the normal ones press Ctrl-C and start: {command} up",
        ]
    return "\n".join(lines)


def _for_the_terminal(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a process that writes to the terminal itself, in the terminal's encoding."""
    inherited = composed(os.environ)
    return {
        **{name: value for name, value in environment.items() if name not in OUTPUT_ENCODING},
        **{name: inherited[name] for name in OUTPUT_ENCODING if name in inherited},
    }


def _check_configuration() -> None:
    """Check the configuration before anything is started. Raises ConfigurationError or CommandError."""
    if settings().weelo_env == "production":
        for variable in ("DATABASE_URL", "REDIS_URL"):
            if not given(variable):
                raise ConfigurationError(f"{variable}: must be set in production")
    # Only the hard limit is checked, because the servers and processes raise the soft limit themselves.
    _, files = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files != resource.RLIM_INFINITY and files < MIN_FILES:
        raise CommandError(f"the limit of open files is {files} and must be at least {MIN_FILES} (ulimit -n)")


def _check_ports(options: Options) -> None:
    wanted = [(options.host, options.address or options.host, options.port, "--port")]
    if options.flower_port is not None:
        flower = "--flower-port or leave Flower out with --no-flower"
        wanted.append(("127.0.0.1", "127.0.0.1", options.flower_port, flower))
    for host, address, port, option in wanted:
        try:
            free = can_listen(address, port)
        except OSError as problem:
            raise _cannot_listen(host, port, problem.strerror) from None
        if not free:
            raise CommandError(f"port {port} is in use; choose another with {option}")
    if options.port == options.flower_port:
        raise CommandError(
            f"port {options.port} cannot serve both API and Flower; see --port and --flower-port"
        )


def _check_metrics_ports(options: Options) -> None:
    """Raise CommandError if a metrics port is also the port of API or Flower, or is too high.

    A worker would open a shared port first, and would answer there, in place of API or Flower, that it is ready.
    """
    for program, port in options.metrics_ports.items():
        if port > LAST_PORT:
            needed = len(options.metrics_ports)
            raise CommandError(
                f"METRICS_PORT: {needed} ports in a row are needed, so at most {LAST_PORT - needed + 1}"
            )
        for name, taken, option in (
            ("API", options.port, "--port"),
            ("Flower", options.flower_port, "--flower-port"),
        ):
            if port == taken:
                raise CommandError(
                    f"METRICS_PORT: port {port} cannot serve both {name} and metrics of {program}; see {option}"
                )


def _looked_up(options: Options) -> str:
    try:
        return address_of(options.host)
    except OSError as problem:
        raise _cannot_listen(options.host, options.port, problem.strerror) from None
    except UnicodeError:  # A part of the host name between two dots is empty or too long.
        raise _cannot_listen(options.host, options.port, "is not a host name") from None


def _cannot_listen(host: str, port: int, reason: str | None) -> CommandError:
    return CommandError(f"cannot listen on {host}:{port}: {reason}; see --host and --port")


def _start_servers(data: DataDir, console_log: ConsoleLog, undo: ExitStack) -> Sequence[EmbeddedServer]:
    """Start the embedded servers for which no address is set."""
    servers: list[EmbeddedServer] = []
    for variable, kind in (("DATABASE_URL", Postgres), ("REDIS_URL", Valkey)):
        if given(variable):
            continue
        server = kind(data.path)
        console_log.line(OWN_NAME, f"embedded {server.name} " + ("still runs" if server.pid() else "starts"))
        undo.callback(server.stop, SERVER_STOP_SECONDS)
        server.start()
        servers.append(server)
    return servers


@contextmanager
def _tended(
    servers: Sequence[EmbeddedServer],
    console_log: ConsoleLog,
    stop: threading.Event,
    announce: Callable[[], None],
) -> Iterator[None]:
    """Restart servers that end. Each server has a thread of its own, because a start may take minutes.

    `announce` writes the data dir's description of the system again, with the new pid of the server.
    """

    def tend(server: EmbeddedServer) -> None:
        announced = True
        while not stop.wait(TICK_SECONDS * 5):
            if server.pid() is None:
                _start_again(server, console_log)
                announced = False
            elif not announced:
                # On a full disk the description stays as it was until there is room.
                with suppress(OSError):
                    announce()
                    announced = True

    threads = [
        threading.Thread(target=tend, args=(server,), name=f"tender of {server.name}", daemon=True)
        for server in servers
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join(timeout=1.0)


def _start_again(server: EmbeddedServer, console_log: ConsoleLog) -> None:
    console_log.line(OWN_NAME, f"embedded {server.name} has died; starting it again", "WARNING")
    address = server.url()
    try:
        if server.start() != address:
            console_log.line(
                OWN_NAME, f"embedded {server.name} has lost its port; stop weelo and start it again", "ERROR"
            )
    except ServerError as problem:
        console_log.line(OWN_NAME, str(problem), "ERROR")
    except Exception as problem:  # noqa: BLE001 (such as a full disk: the next round tries again)
        console_log.line(OWN_NAME, f"embedded {server.name} cannot be started: {problem}", "ERROR")


def _migrate(environment: dict[str, str]) -> None:
    """Migrate the schema in a separate process, so that imports and connections of the migration do not stay in this one."""
    done = subprocess.run(
        programs.migration(),
        env=environment,
        cwd="/",
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        output = (done.stderr or done.stdout).strip().splitlines() or ["it printed nothing"]
        raise CommandError(f"the schema could not be brought to head: {output[-1].removeprefix('weelo: ')}")


def _check_redis(variable: str, address: str, options: Options) -> None:
    """Raise CommandError if a sandbox would use the Redis of another system, or another system the Redis of a sandbox.

    A sandbox marks an empty Redis as its own.
    """
    with suppress(RedisError), closing(redis_client.connect(address)) as redis:
        marked = bool(redis.exists(redis_clock.OFFSET_KEY))
        if marked and not options.sandbox:
            raise CommandError(f"{variable}: this is the Redis of a sandbox; use another one")
        if options.sandbox and not marked:
            if next(redis.scan_iter(match="weelo:*", count=1_000), None) is not None:
                raise CommandError(
                    f"{variable}: this Redis was not made by a sandbox, and a sandbox deletes keys; use another one"
                )
            redis.set(redis_clock.OFFSET_KEY, "0", nx=True)


def _empty_metrics_dir(data: DataDir) -> str:
    """Return an empty directory for metrics, so that the files of an earlier run are not counted."""
    shutil.rmtree(data.metrics_dir, ignore_errors=True)
    data.metrics_dir.mkdir(mode=0o700)
    return str(data.metrics_dir)


def _announce(
    options: Options, data: DataDir, provided: dict[str, str], servers: Sequence[EmbeddedServer]
) -> None:
    """Write the system's addresses to the data dir, except those that came from the environment."""
    me = Identity.of(os.getpid())
    data.announce(
        Running(
            pid=os.getpid(),
            born=me.born if me else time.time(),
            url=options.own_url,
            flower_url=options.flower_url,
            database_url=provided.get("DATABASE_URL"),
            redis_url=provided.get("REDIS_URL"),
            jwt_secret_file=str(data.jwt_secret_file) if "JWT_SECRET" in provided else None,
            server_pids={server.name: server.pid() for server in servers},
            metrics_urls={
                name: f"http://{settings().metrics_host}:{port}/metrics"
                for name, port in options.metrics_ports.items()
            },
            sandbox=options.sandbox,
        )
    )
