"""The commands `weelo lab …`.

Imports are inside the commands, so that `weelo --help` does not load the lab.
"""

from __future__ import annotations

import signal
import sys
from datetime import UTC, datetime
from pathlib import Path

import click

TERMINATED = 128 + 15  # Shells report SIGTERM by this exit code.
_file = click.Path(path_type=Path, dir_okay=False, exists=True)
_demand_option = click.option(
    "--demand", type=_file, help="A YAML file.  [default: a small morning around Delhi]"
)
_people_option = click.option(
    "--people",
    type=_file,
    help="A people file, as `weelo lab fit` writes it; it replaces those of the demand.",
)
_policy_option = click.option("--policy", type=_file, help="A YAML file.  [default: the defaults of Weelo]")
_faults_option = click.option(
    "--faults", is_flag=True, help="Lose, repeat and delay messages, and crash processes."
)
_seed_option = click.option("--seed", type=int, required=True, help="Any whole number.")


@click.group()
def lab() -> None:
    """Play the dispatch from a seed, and compare policies."""
    # Without a handler the signal would end this process at once, and the servers would stay.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))


@lab.command()
@_seed_option
@_demand_option
@_people_option
@_policy_option
@_faults_option
@click.option(
    "--log",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Also write the event log, a JSON line per event.",
)
def replay(
    seed: int, demand: Path | None, people: Path | None, policy: Path | None, faults: bool, log: Path | None
) -> None:
    """Print the hash of a run's event log: the same seed, the same hash."""
    from weelo_lab import commands

    click.echo(commands.replay(commands.job(seed, demand, policy, people, faults=faults), log))


@lab.command()
@_seed_option
@click.option(
    "--broadcast", "number", type=click.IntRange(1), required=True, help="Its number, by time from 1."
)
@_demand_option
@_people_option
@_policy_option
@_faults_option
def explain(
    seed: int, number: int, demand: Path | None, people: Path | None, policy: Path | None, faults: bool
) -> None:
    """Print the life of one broadcast of a run, from its creation to its end."""
    from weelo_lab import commands

    click.echo(commands.explain(commands.job(seed, demand, policy, people, faults=faults), number), nl=False)


@lab.command()
@_demand_option
@_people_option
@click.option(
    "--policies", "first", type=_file, required=True, help="The YAML files of the policies: A.yaml B.yaml …"
)
@click.argument("others", nargs=-1, type=_file)
@click.option(
    "--seeds", type=click.IntRange(1, 10_000), default=30, help="How many seeds: 1, 2, 3 and so on."
)
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), required=True, help="A folder.")
@click.option("--jobs", type=click.IntRange(1, 64), help="How many runs at once.  [default: by the CPUs]")
def run(
    demand: Path | None,
    people: Path | None,
    first: Path,
    others: tuple[Path, ...],
    seeds: int,
    out: Path,
    jobs: int | None,
) -> None:
    """Play the same demand and people under each policy, and write report.html and figures.json.

    The first policy is the one with which the others are compared.
    """
    from weelo_lab import commands

    commands.run(demand, people, [first, *others], seeds, out, jobs)


@lab.command()
@click.option(
    "--database-url",
    envvar="DATABASE_URL",
    required=True,
    help="Of the system; read only.  [env: DATABASE_URL]",
)
@click.option(
    "--since", type=click.DateTime(["%Y-%m-%d"]), default="1970-01-01", help="Leave out earlier requests."
)
@click.option("--time-zone", default="Asia/Kolkata", show_default=True, help="Of the hours of the day.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), required=True, help="A folder.")
def fit(database_url: str, since: datetime, time_zone: str, out: Path) -> None:
    """Fit the answers of fleets to a real system's history, and write people.yaml and fit.html."""
    from weelo_lab import commands

    commands.fit(database_url, since.replace(tzinfo=UTC), time_zone, out)
