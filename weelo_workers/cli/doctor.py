"""`weelo doctor`: checks a running system, and with `--repair` sends the ordinary commands that repair what it finds."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from weelo_workers.cli.options import FAILED, data_dir_option, use_running_system

if TYPE_CHECKING:
    from weelo_workers.doctor.check import Result

SWEEP_SECONDS = 10.0
"""About how long the sweep of a repair may take."""


@click.command()
@data_dir_option
@click.option("--json", "as_json", is_flag=True, help="Print the results of all checks as a JSON array.")
@click.option("--repair", is_flag=True, help="Send the ordinary commands that repair what was found.")
def doctor(data_dir: Path, as_json: bool, repair: bool) -> None:
    """Check servers, processes, queues, timers and invariants.

    Prints one line per finding, and below the findings of a check what to do about them. Exit code 1 if there is a
    finding that is no warning.
    """
    use_running_system(data_dir, "DATABASE_URL", "REDIS_URL")
    from weelo_workers.doctor.check import Severity
    from weelo_workers.doctor.examine import examine

    results = examine()
    broken = [result for result in results if not result.ok]
    failing = [result for result in broken if result.check.severity is Severity.FAILING]
    if as_json:
        click.echo(json.dumps([result.as_json() for result in results], indent=2))
    else:
        for line in _lines(broken):
            click.echo(line)
    if repair and broken:
        _repair(broken)
    if failing:
        sys.exit(FAILED)
    if not as_json:
        click.echo("nothing is broken; see the warnings" if broken else "all is well")


def _lines(broken: Iterable[Result]) -> Iterable[str]:
    from weelo_workers.doctor.check import Severity

    for result in sorted(broken, key=lambda result: result.check.severity is Severity.WARNING):
        prefix = "warning: " if result.check.severity is Severity.WARNING else ""
        for finding in result.findings:
            yield f"{prefix}{finding}"
        yield f"  {result.check.remedy} ({result.check.runbook})"


def _repair(broken: list[Result]) -> None:
    """Repair the findings and print what was done, on stderr, so that stdout has the results only."""
    from weelo_workers.app import bus
    from weelo_workers.doctor.repair import REPAIRS, Repairs, repair
    from weelo_workers.messaging.sweep import sweep
    from weelo_workers.models.engine import engine

    using = Repairs(engine(), bus().waker, lambda: sweep(bus(), seconds=SWEEP_SECONDS))
    for line in repair(broken, using):
        click.echo(f"repair: {line}", err=True)
    for result in broken:
        if result.check.name not in REPAIRS:
            click.echo(
                f"repair: {result.check.name}: no command repairs it; see {result.check.runbook}", err=True
            )
