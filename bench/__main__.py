"""`make bench`: start the whole system, measure it as a client does, print tables, and compare them with earlier runs.

`python -m bench race idle` runs only the measures `race` and `idle`. With `--quick` every measure runs in a small form,
which only shows that the measure works.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
from rich.console import Console

from tests.support.tokens import SECRET

os.environ["JWT_SECRET"] = SECRET

from bench import (
    accepts,
    ceilings,
    cost,
    figures,
    history,
    overload,
    results,
    ring_statements,
    rings,
    sockets,
    surge,
    timers,
    transactions,
)
from bench.figures import Figure
from bench.run import Run
from bench.servers import use_system
from tests.support.system import SystemWithOneWorker
from weelo_workers.runtime.embedded import Postgres, Valkey


@dataclass(frozen=True, slots=True)
class Stage:
    """Measures for which the system is started once, and the settings that they need."""

    settings: Mapping[str, str]
    quick_settings: Mapping[str, str]
    measures: Sequence[Callable[[Run], list[Figure]]]


STAGES = (
    Stage(cost.SETTINGS, {}, (cost.cost,)),
    Stage(
        {
            # So long that no request of `thousand_pending` expires before all thousand are created.
            "BROADCAST_TIMEOUT_SECONDS": "90",
            "MAX_OPEN_OFFERS": "10000",
            # So long that transporters stay online, although they send only one heartbeat per benchmark.
            "PRESENCE_TTL_SECONDS": "3600",
        },
        {"BROADCAST_TIMEOUT_SECONDS": "10"},
        (
            accepts.idle,
            accepts.race,
            timers.thousand_pending,
            transactions.transactions,
            rings.ring,
            ring_statements.ring_statements,
            rings.heartbeats,
            surge.surge,
            sockets.one_reader,
            sockets.a_thousand_readers,
            sockets.a_stalled_reader,
            sockets.idle_sockets,
            overload.overload,
            history.history,
        ),
    ),
)
NAMES = [measure.__name__ for stage in STAGES for measure in stage.measures]
# The full measure `history` takes minutes and gigabytes of disk, so it runs only if it is named.
ON_DEMAND = ("history",)


@click.command()
@click.argument("measures", nargs=-1, type=click.Choice(NAMES))
@click.option(
    "--quick", is_flag=True, help="Run a small form of every measure; this takes less than two minutes."
)
@click.option(
    "--results",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=results.FOLDER,
    show_default=True,
    help="Keep the figures in this folder, and compare them with those in it.",
)
def main(measures: tuple[str, ...], folder: Path, *, quick: bool) -> None:
    """Measure the running system. Without MEASURES, run every measure that does not fill gigabytes of disk."""
    chosen = measures or [name for name in NAMES if quick or name not in ON_DEMAND]
    console = Console(width=220)  # tables in Markdown must not be wrapped
    with tempfile.TemporaryDirectory(prefix="weelo-bench-") as temporary:
        # If we are root, PostgreSQL runs as another user, who must be able to read this folder.
        Path(temporary).chmod(0o755)
        data = Path(temporary) / "data"
        try:
            taken = _measure(data, chosen, console, quick=quick)
        finally:
            Postgres(data).remove()
            Valkey(data).remove()
    ratios = results.ratios(folder, taken, quick=quick)
    console.print(results.machine())
    for table in figures.tables(taken, ratios):
        console.print(table)
    console.print(f"kept in {results.keep(folder, taken, quick=quick)}")


def _measure(data: Path, chosen: Sequence[str], console: Console, *, quick: bool) -> list[Figure]:
    """Start the system once per stage, and return the figures of the chosen measures and of the ceilings."""
    taken: list[Figure] = []
    known: ceilings.Ceilings | None = None
    for stage in STAGES:
        measures = [measure for measure in stage.measures if measure.__name__ in chosen]
        if not measures:
            continue
        settings = {**stage.settings, **(stage.quick_settings if quick else {})}
        began = time.monotonic()
        # RADIUS_STEP_SECONDS is so long that no second ring follows while a measure runs.
        system = SystemWithOneWorker(
            data, DATABASE_URL="", REDIS_URL="", RADIUS_STEP_SECONDS="3600", **settings
        )
        try:
            start = "first start" if known is None else "same data again"
            taken.append(Figure(f"`weelo up` ready, {start}", {"": time.monotonic() - began}, "s", "20"))
            if known is None:
                console.print("Measure the ceilings of this machine.", end=" ")
                began = time.monotonic()
                known = ceilings.measure(data, quick=quick)
                taken += known.figures()
                console.print(f"{time.monotonic() - began:.0f} s")
            run = Run(system, data, quick, known)
            for measure in measures:
                console.print((measure.__doc__ or measure.__name__).splitlines()[0], end=" ")
                use_system(data)
                began = time.monotonic()
                taken += measure(run)
                console.print(f"{time.monotonic() - began:.0f} s")
        finally:
            system.stop()
    return taken


if __name__ == "__main__":
    main()
