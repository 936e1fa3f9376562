"""The command `weelo`: runs, demonstrates and maintains the system.

Imports are inside the commands, so that `weelo --help` does not load SQLAlchemy.
"""

from __future__ import annotations

import os
import re
import sys
import time
from pathlib import Path
from uuid import UUID

import click
from click.core import ParameterSource

from weelo_lab.cli import lab
from weelo_workers.cli.doctor import doctor
from weelo_workers.cli.errors import expected
from weelo_workers.cli.events import events
from weelo_workers.cli.mailbox import mailbox_commands
from weelo_workers.cli.options import (
    FAILED,
    REFUSED,
    HostName,
    HttpUrl,
    Utf8,
    data_dir_option,
    use_running_system,
)
from weelo_workers.cli.person import person

SANDBOX_DATA_DIR = Path(".weelo-sandbox")
port_type = click.IntRange(1, 65_535)
MAX_TTL_SECONDS = 10 * 365 * 86_400


@click.group(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.version_option(package_name="weelo")
def weelo() -> None:
    """Trucks for those who need them: the dispatch backend."""


weelo.add_command(doctor)
weelo.add_command(events)
weelo.add_command(lab)
weelo.add_command(mailbox_commands)
weelo.add_command(person)


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
    use_running_system(data_dir, "DATABASE_URL")
    from weelo_workers.models.migrate import upgrade_to_head

    upgrade_to_head()
    click.echo("the schema is at head")


def _migration_name(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9_]{2,50}", value):
        raise click.BadParameter("give lower-case words joined by _, such as vehicle_body_height")
    return value


@weelo.command()
@click.argument("name", callback=_migration_name)
def migration(name: str) -> None:
    """Write the migration for changed models.

    This is for developers. It compares the models with the migrations in a temporary database of its own. If they
    match, it writes nothing and fails. Exit code 1: the migration is written, and something has to be added by hand.
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


def _set_sandbox_environment() -> None:
    """Set WEELO_ENV for this process and those that it starts. Raises CommandError if another environment is set."""
    from weelo_workers.runtime import CommandError
    from weelo_workers.settings import given, settings

    if (chosen := given("WEELO_ENV")) not in (None, "sandbox"):
        raise CommandError(f"WEELO_ENV: is {chosen}; a sandbox is an environment of its own, so unset it")
    os.environ["WEELO_ENV"] = "sandbox"
    settings.cache_clear()


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
            f"JWT_SECRET: not set, and {data.path} has no secret; start `weelo up` on this --data-dir first, "
            f"or name the --data-dir of the running system (a sandbox uses {SANDBOX_DATA_DIR})"
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
        line = expected(problem)
        if line is None:
            raise
        standard_streams.report(f"weelo: {line}")
        sys.exit(FAILED if isinstance(problem, OSError) else getattr(problem, "exit_code", REFUSED))
    finally:
        standard_streams.give_up_unwritten()
