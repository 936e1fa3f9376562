"""`weelo person`: exports or erases what is stored about one user."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from uuid import UUID

import click

from weelo_workers.cli.options import FAILED, Utf8, data_dir_option, use_running_system

STANDARD_OUTPUT = Path("-")


@click.group()
def person() -> None:
    """Export or erase what is stored about one user."""


@person.command()
@click.argument("person_id", metavar="ID", type=click.UUID)
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
    help="A new file, instead of standard output (also: -).",
)
@data_dir_option
def export(person_id: UUID, out: Path | None, data_dir: Path) -> None:
    """Print everything that is stored about the user as JSON.

    The rows are grouped by table. Only its owner can read the file that --out names. Exit code 2: nothing is stored
    about this id, or the file exists already.
    """
    use_running_system(data_dir, "DATABASE_URL", "REDIS_URL")
    import json

    from weelo_workers.messaging import audit
    from weelo_workers.models.engine import engine
    from weelo_workers.person import exporting, redis_data
    from weelo_workers.runtime import CommandError

    if out == STANDARD_OUTPUT:
        out = None
    if out is not None and out.exists():
        raise CommandError(f"--out: {out} exists already; give the name of a new file")
    with engine().connect() as connection:
        found = exporting.export(connection, person_id)
    if not found["tables"]:
        raise CommandError(f"{person_id}: nothing is stored about a user with this id")
    try:
        found["redis"] = redis_data.stored(person_id)
    except redis_data.RedisUnavailable as problem:
        raise CommandError(f"REDIS_URL: {problem}") from None
    with engine().begin() as connection:
        audit.write(
            connection,
            actor=audit.account(),
            command="person.export",
            subject="person",
            subject_id=person_id,
            reason="weelo person export",
        )
    text = json.dumps(found, indent=2, ensure_ascii=False)
    if out is None:
        click.echo(text)
        return
    # The file is created with its final mode, so at no time can another account open it.
    with os.fdopen(os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text + "\n")


@person.command()
@click.argument("person_id", metavar="ID", type=click.UUID)
@click.option(
    "--reason", type=Utf8(), default="", help="Why, for the audit log. It must not name the person."
)
@click.option(
    "--wait",
    type=click.IntRange(0, 86_400),
    default=300,
    metavar="SECONDS",
    help="How long to wait for the end.",
)
@data_dir_option
def erase(person_id: UUID, reason: str, wait: int, data_dir: Path) -> None:
    """Replace the user's personal data everywhere, for good. Ids, times and states stay.

    Refused while a request, a trip or a hold of the user is open; the text says what to wait for, or how to end it.
    Exit code 1: refused for now, or not finished within --wait seconds (the erasure continues). Exit code 2: nothing is
    stored about this id.
    """
    use_running_system(data_dir, "DATABASE_URL")
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
