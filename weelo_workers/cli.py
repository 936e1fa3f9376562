"""The command `weelo`: runs, demonstrates and maintains the system.

Imports are inside the commands, so that `weelo --help` does not load SQLAlchemy.
"""

from __future__ import annotations

import errno
import os
import re
import sys
import time
from pathlib import Path
from uuid import UUID

import click
from click.core import ParameterSource

# Exit codes: REFUSED for wrong usage and for expected problems, FAILED for findings and for a failed run.
FAILED, REFUSED = 1, 2
# These errors mean that the machine lacks a resource. Any other OSError without a file name may be a defect of ours.
SCARCE = {
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EFBIG,
    errno.EIO,
    errno.EROFS,
    errno.EMFILE,
    errno.ENFILE,
    errno.ENOMEM,
}
# Python raises a RuntimeError with this text at the limit of threads. There is no class for this error.
CANNOT_START_THREAD = "can't start new thread"


def _folder_of_its_own(_context: click.Context, _parameter: click.Parameter, value: Path) -> Path:
    """Refuse the current folder and an empty path, because secrets would be written among the files of a project."""
    if value == Path():
        raise click.BadParameter("is empty or the current folder; name a folder of its own")
    return value


data_dir_option = click.option(
    "--data-dir",
    type=click.Path(path_type=Path, file_okay=False),
    callback=_folder_of_its_own,
    default=".weelo",
    show_default=True,
    help="The folder of servers' data, secrets and run files.",
)
SANDBOX_DATA_DIR = Path(".weelo-sandbox")
port_type = click.IntRange(1, 65_535)
MAX_TTL_SECONDS = 10 * 365 * 86_400


class HostName(click.ParamType[str]):
    """A host name or an address. Refuses empty text (from an unset shell variable), which would mean all interfaces."""

    name = "text"

    def convert(self, value: str, param: click.Parameter | None, context: click.Context | None) -> str:
        if not value.strip():
            self.fail("is empty; name an address, 0.0.0.0 for all interfaces", param, context)
        return value


class HttpUrl(click.ParamType[str]):
    """The address of a running system."""

    name = "text"

    def convert(self, value: str, param: click.Parameter | None, context: click.Context | None) -> str:
        from weelo_workers import http_url

        try:
            http_url.check(value)
        except ValueError as problem:
            self.fail(f"{value!r} {problem}", param, context)
        return value


class Utf8(click.ParamType[str]):
    """Text in UTF-8. Other bytes would get into a token as surrogates, which no other program accepts."""

    name = "text"

    def convert(self, value: str, param: click.Parameter | None, context: click.Context | None) -> str:
        from weelo_workers.settings import is_text

        if not is_text(value):
            self.fail("is not text in UTF-8", param, context)
        return value


@click.group(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.version_option(package_name="weelo")
def weelo() -> None:
    """Trucks for those who need them: the dispatch backend."""


@weelo.command()
@click.option("--host", type=HostName(), default="127.0.0.1", help="Where the API listens.")
@click.option("--port", type=port_type, default=8000, help="Where the API listens.")
@data_dir_option
@click.option("--flower-port", type=port_type, default=5555, help="Where Flower listens, on 127.0.0.1.")
@click.option("--no-flower", is_flag=True, help="Leave Flower out.")
@click.option(
    "--concurrency", type=click.IntRange(1, 64), help="Processes per worker.  [default: by the CPUs]"
)
@click.option("--worker-per-queue", is_flag=True, help="Start a worker for each queue, as in production.")
@click.option("--demo", is_flag=True, help="Play the demo once when ready, with shortened timers.")
@click.option(
    "--sandbox", is_flag=True, help="Let callers move the clock and start robot fleets; uses .weelo-sandbox."
)
@click.pass_context
def up(  # noqa: PLR0917 (click passes them by name)
    context: click.Context,
    host: str,
    port: int,
    data_dir: Path,
    flower_port: int,
    no_flower: bool,
    concurrency: int | None,
    worker_per_queue: bool,
    demo: bool,
    sandbox: bool,
) -> None:
    """Run the whole system here, until Ctrl-C."""
    from weelo_workers.runtime import system
    from weelo_workers.runtime.programs import Options
    from weelo_workers.settings import settings

    if sandbox:
        _set_sandbox_environment()
    if settings().is_sandbox and context.get_parameter_source("data_dir") is ParameterSource.DEFAULT:
        data_dir = SANDBOX_DATA_DIR
    options = Options(
        data_dir=data_dir,
        host=host,
        port=port,
        flower_port=None if no_flower else flower_port,
        concurrency=concurrency or min(8, max(2, (os.cpu_count() or 2) // 2)),
        worker_per_queue=worker_per_queue,
        demo=demo,
        sandbox=settings().is_sandbox,
    )
    sys.exit(system.up(options))


@weelo.command()
@click.option(
    "--url",
    type=HttpUrl(),
    help="The system to play against.  [default: the one of the data dir, http://127.0.0.1:8000]",
)
@data_dir_option
def demo(url: str | None, data_dir: Path) -> None:
    """Play real broadcasts against a running system.

    It uses nothing but the system's public API.
    """
    from weelo_demo import play, show_cursor_when_terminated
    from weelo_workers.runtime.datadir import DataDir
    from weelo_workers.settings import settings

    show_cursor_when_terminated()
    running = DataDir.at(data_dir).running()
    address = url or (running.url if running else "http://127.0.0.1:8000")
    sys.exit(play(address.rstrip("/"), _signing_secret(data_dir), audience=settings().jwt_audience))


@weelo.command()
@click.option("--role", type=click.Choice(["customer", "transporter", "driver", "admin"]), required=True)
@click.option("--sub", type=click.UUID, required=True, metavar="UUID", help="Whose token it is.")
@click.option("--name", type=Utf8(), help="Claim `name`.")
@click.option("--phone", type=Utf8(), help="Claim `phone`.")
@click.option(
    "--ttl",
    type=click.IntRange(1, MAX_TTL_SECONDS),
    default=86_400,
    metavar="SECONDS",
    help="How long it is valid.",
)
@data_dir_option
def token(role: str, sub: UUID, name: str | None, phone: str | None, ttl: int, data_dir: Path) -> None:
    """Print a JWT signed with this installation's secret."""
    import jwt

    from weelo_workers.settings import settings

    now = int(time.time())
    times = {"iat": now, "exp": now + ttl}
    claims = {
        "sub": str(sub),
        "role": role,
        "aud": settings().jwt_audience,
        **times,
        "name": name,
        "phone": phone,
    }
    given = {claim: value for claim, value in claims.items() if value is not None}
    click.echo(jwt.encode(given, _signing_secret(data_dir), algorithm="HS256"))


@weelo.command()
@data_dir_option
def migrate(data_dir: Path) -> None:
    """Upgrade the schema to the newest version. Safe to run again, and concurrently."""
    _use_running_system(data_dir, "DATABASE_URL")
    from weelo_workers.models.migrate import upgrade_to_head

    upgrade_to_head()
    click.echo("the schema is at head")


@weelo.command(name="restart-logs")
@data_dir_option
@click.confirmation_option(prompt="This deletes all lines of the event logs. Go on?")
def restart_logs(data_dir: Path) -> None:
    """Delete the event logs after a restore from a backup, while no process runs.

    Apps have read lines that the backup does not contain. Each app then reads the present state again, instead of
    taking new lines for those that it has read.
    """
    _use_running_system(data_dir, "DATABASE_URL")
    from weelo_workers.models.engine import engine
    from weelo_workers.models.restart_logs import restart_logs as restart

    with engine().begin() as connection:
        count = restart(connection)
    click.echo(f"{count} logs begin anew; apps get `resync_required`, and read the present state")


def _migration_name(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9_]{2,50}", value):
        raise click.BadParameter("give lower-case words joined by _, such as vehicle_body_height")
    return value


@weelo.command()
@click.argument("name", callback=_migration_name)
def migration(name: str) -> None:
    """Write the migration for changed models.

    This is for developers. It compares the models with the migrations in a temporary database of its own, and refuses
    if they match. Exit code 1 if something has to be added by hand.
    """
    import shutil
    import tempfile

    from weelo_workers.models.engine import connect
    from weelo_workers.models.new_migration import write_migration
    from weelo_workers.runtime import CommandError
    from weelo_workers.runtime.embedded import Postgres

    folder = Path(tempfile.mkdtemp(prefix="weelo-migration-"))
    postgres = Postgres(folder, {"fsync": "off"})
    try:
        postgres.start()
        engine = connect(postgres.create_database("weelo"))
        with engine.begin() as connection:
            written = write_migration(connection, name)
        engine.dispose()
    finally:
        postgres.remove()
        shutil.rmtree(folder, ignore_errors=True)
    if written is None:
        raise CommandError("the migrations match the models already; change a model first")
    click.echo(f"{written.path}: read it, and state in its first line what it does")
    for difference in written.differences:
        click.echo(f"add by hand: {difference}")
    if written.differences:
        sys.exit(FAILED)


@weelo.command()
@data_dir_option
def doctor(data_dir: Path) -> None:
    """Check connections, schema, queues, timers and invariants.

    Prints one line per finding, with what to do about it. Exit code 1 if there is a finding; warnings leave it 0.
    """
    _use_running_system(data_dir, "DATABASE_URL", "REDIS_URL")
    from weelo_workers.queries.doctor import findings, warnings

    found = findings()
    for finding in found:
        click.echo(finding)
    cautions = warnings()
    for warning in cautions:
        click.echo(f"warning: {warning}")
    if found:
        sys.exit(1)
    click.echo("nothing is broken; see the warnings" if cautions else "all is well")


@weelo.group(name="mailbox")
def mailbox_commands() -> None:
    """List, show and retry parked commands (they failed repeatedly)."""


@mailbox_commands.command()
@data_dir_option
@click.option("--limit", type=click.IntRange(1, 10_000), default=100, help="How many at most.")
def parked(data_dir: Path, limit: int) -> None:
    """List parked commands, the oldest first.

    Each line has the id, the time of parking, the command's name and the reason.
    """
    _use_running_system(data_dir, "DATABASE_URL")
    from weelo_workers.contracts.wire import rfc3339
    from weelo_workers.messaging import failures
    from weelo_workers.models.engine import engine

    with engine().connect() as connection:
        rows = failures.parked(connection, limit)
        if not rows:
            click.echo("nothing is parked", err=True)
        for row in rows:
            since = rfc3339(row.parked_at) if row.parked_at else ""
            click.echo(f"{row.id}  {since}  {row.name}  {row.last_error}")


@mailbox_commands.command()
@click.argument("command_id", metavar="ID", type=click.UUID)
@data_dir_option
def show(command_id: UUID, data_dir: Path) -> None:
    """Print one row of the mailbox as JSON, with its payload."""
    _use_running_system(data_dir, "DATABASE_URL")
    import json

    from sqlalchemy.orm import Session

    from weelo_workers.models import MailboxRow
    from weelo_workers.models.engine import engine
    from weelo_workers.runtime import CommandError

    with Session(engine()) as session:
        row = session.get(MailboxRow, command_id)
        if row is None:
            raise CommandError(f"{command_id} is not in the mailbox (or was settled, and has aged out)")
        columns = {column.key: getattr(row, column.key) for column in MailboxRow.__table__.columns}
    click.echo(json.dumps(columns, indent=2, default=str))


@mailbox_commands.command()
@click.argument("command_ids", metavar="ID...", type=click.UUID, nargs=-1, required=True)
@data_dir_option
def retry(command_ids: tuple[UUID, ...], data_dir: Path) -> None:
    """Retry parked commands, with their counts of failures reset.

    Also retries a failing timer at once. Exit code 1 if any of the commands cannot be retried.
    """
    _use_running_system(data_dir, "DATABASE_URL")
    from weelo_workers.messaging import failures
    from weelo_workers.models.engine import engine

    refused = False
    for command_id in command_ids:
        try:
            with engine().begin() as connection:
                name = failures.requeue(connection, command_id)
        except failures.CannotRetry as why:
            refused = True
            click.echo(f"{command_id}: {why}", err=True)
        else:
            click.echo(f"{command_id}: {name} is tried again")
    if refused:
        sys.exit(1)


@weelo.group()
def person() -> None:
    """Export or erase what is stored about one user."""


@person.command()
@click.argument("person_id", metavar="ID", type=click.UUID)
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), help="A new file, instead of standard output."
)
@data_dir_option
def export(person_id: UUID, out: Path | None, data_dir: Path) -> None:
    """Print everything that is stored about the user as JSON, grouped by table.

    The file can be read by its owner only. Exit code 2 if nothing is stored about this id.
    """
    _use_running_system(data_dir, "DATABASE_URL", "REDIS_URL")
    import json

    from weelo_workers.models.engine import engine
    from weelo_workers.person import audit, exporting, redis_data
    from weelo_workers.runtime import CommandError

    with engine().connect() as connection:
        found = exporting.export(connection, person_id)
    if not found["tables"]:
        raise CommandError(f"{person_id}: nothing is stored about a user with this id")
    try:
        found["redis"] = redis_data.stored(person_id)
    except redis_data.RedisUnavailable as problem:
        raise CommandError(f"REDIS_URL: {problem}") from None
    audit.record("export", person_id)
    text = json.dumps(found, indent=2, ensure_ascii=False)
    if out is None:
        click.echo(text)
        return
    # The mode is given at the creation, so that no other account can open the file before it changes.
    with os.fdopen(os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text + "\n")


@person.command()
@click.argument("person_id", metavar="ID", type=click.UUID)
@click.option("--reason", type=Utf8(), help="Why, for the audit. It must not name the person.")
@click.option(
    "--wait",
    type=click.IntRange(0, 86_400),
    default=300,
    metavar="SECONDS",
    help="How long to wait for the end.",
)
@data_dir_option
def erase(person_id: UUID, reason: str | None, wait: int, data_dir: Path) -> None:
    """Replace the user's personal data everywhere, for good. Ids, times and states stay.

    Refused while a request, a trip or a hold of the user is open; the text says what to wait for, or how to end it. Exit code 1: refused for
    now, or not finished in time (it goes on). Exit code 2: nothing is stored about this id.
    """
    _use_running_system(data_dir, "DATABASE_URL")
    from weelo_workers.models.engine import engine
    from weelo_workers.person import submitting
    from weelo_workers.runtime import CommandError

    command_id = submitting.submit(engine(), person_id, reason)
    result = submitting.wait(engine(), command_id, wait)
    if result.status is submitting.Status.UNKNOWN:
        raise CommandError(f"{person_id}: {result.text}")
    click.echo(f"{person_id}: {result.text}", err=result.status is not submitting.Status.ERASED)
    if result.status is not submitting.Status.ERASED:
        sys.exit(FAILED)


def _set_sandbox_environment() -> None:
    """Set WEELO_ENV for this process and those that it starts. Raises CommandError if another environment is set."""
    from weelo_workers.runtime import CommandError
    from weelo_workers.settings import given, settings

    if (chosen := given("WEELO_ENV")) not in (None, "sandbox"):
        raise CommandError(f"WEELO_ENV: is {chosen}; a sandbox is an environment of its own, so unset it")
    os.environ["WEELO_ENV"] = "sandbox"
    settings.cache_clear()


def _use_running_system(data_dir: Path, *variables: str) -> None:
    """Set each of these variables, unless it is set already, to its value in the system that runs on the data dir."""
    from weelo_workers.runtime import CommandError
    from weelo_workers.runtime.datadir import DataDir
    from weelo_workers.settings import given, settings

    # In production nothing is taken from a data dir. `settings()` raises if a setting cannot be used.
    production = settings().weelo_env == "production"
    running = None if production else DataDir.at(data_dir).running()
    for variable in variables:
        if given(variable):
            continue
        address = getattr(running, variable.lower(), None)
        if address is None:
            raise CommandError(
                f"{variable}: not set, and no embedded server runs on {data_dir}; set it or `weelo up`"
            )
        os.environ[variable] = address
    if running and running.sandbox and not given("WEELO_ENV"):
        os.environ["WEELO_ENV"] = "sandbox"
    if running and running.jwt_secret_file and not given("JWT_SECRET"):
        os.environ["JWT_SECRET"] = Path(running.jwt_secret_file).read_text().strip()
    settings.cache_clear()
    settings()


def _signing_secret(data_dir: Path) -> str:
    """Return JWT_SECRET, or in development the secret that `weelo up` keeps in the data dir.

    Raises CommandError if there is neither. No secret is generated, because no running system would accept its tokens.
    """
    from weelo_workers.runtime import CommandError
    from weelo_workers.runtime.datadir import DataDir
    from weelo_workers.settings import settings

    if secret := settings().jwt_secret:
        return secret
    data = DataDir.at(data_dir)
    running = data.running()
    if running and running.jwt_secret_file is None:
        raise CommandError("JWT_SECRET: the running system has it from its environment; set it here as well")
    if not data.jwt_secret_file.exists():
        raise CommandError(
            f"JWT_SECRET: not set, and {data.path} has no secret; start `weelo up` on this --data-dir first"
        )
    return data.jwt_secret()


def main() -> None:
    """Run the command. Expected problems become one line on stderr; any other exception shows its traceback."""
    from weelo_workers import standard_streams

    standard_streams.prepare()
    from weelo_workers.runtime.environment import keep_only_composed

    keep_only_composed()
    try:
        weelo.main(prog_name="weelo")
    except Exception as problem:
        line = _expected(problem)
        if line is None:
            raise
        standard_streams.report(f"weelo: {line}")
        sys.exit(FAILED if isinstance(problem, OSError) else getattr(problem, "exit_code", REFUSED))
    finally:
        standard_streams.give_up_unwritten()


def _expected(problem: Exception) -> str | None:
    """Return the line for an expected problem; None for an exception that is a defect of the program."""
    from weelo_workers.runtime import CommandError
    from weelo_workers.settings import ConfigurationError

    if isinstance(problem, (CommandError, ConfigurationError)):
        return str(problem)
    if line := _refusal_of_the_system(problem):
        return line
    if "sqlalchemy" in sys.modules:
        from sqlalchemy.exc import DBAPIError

        from weelo_workers.models.server import trouble_with

        if isinstance(problem, DBAPIError) and (line := trouble_with(problem)):
            return f"DATABASE_URL: {line}"
    return None


def _refusal_of_the_system(problem: Exception) -> str | None:
    """Return a line about what the operating system refuses; None if the problem has another cause."""
    from weelo_workers.standard_streams import CannotPrint

    if isinstance(problem, CannotPrint):
        return f"standard output cannot be written: {problem.strerror}"
    if isinstance(problem, BlockingIOError):  # fork raises this error at the limit of processes.
        return f"the operating system refuses another process: {problem.strerror} (see ulimit -u)"
    if isinstance(problem, OSError) and (problem.filename or problem.errno in SCARCE):
        where = f"{problem.filename}: " if problem.filename else ""
        return f"the operating system refuses: {where}{problem.strerror}"
    if isinstance(problem, RuntimeError) and str(problem) == CANNOT_START_THREAD:
        return f"the operating system refuses: {problem} (see ulimit -u and ulimit -v)"
    return None


if __name__ == "__main__":
    main()
