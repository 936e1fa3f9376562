"""The commands `weelo lab …`.

Imports are inside the commands, so that `weelo --help` does not load the lab.
"""

from __future__ import annotations

import os
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
_out_option = click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("lab-seeds"),
    show_default=True,
    help="The folder for scripts that fail.",
)


@click.group()
def lab() -> None:
    """Play the dispatch from a seed, and compare policies."""
    # Without a handler the signal would end this process at once, and the servers would stay.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))


@lab.command()
@click.option("--seed", type=int, help="Any whole number.")
@click.option("--script", type=_file, help="A script of `weelo lab seeds`, instead of a seed.")
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
    seed: int | None,
    script: Path | None,
    demand: Path | None,
    people: Path | None,
    policy: Path | None,
    faults: bool,
    log: Path | None,
) -> None:
    """Print the hash of a run's event log.

    The same seed gives the same hash. With --script the invariants are checked as well, and the exit code is 1 if one is
    violated.
    """
    if script is not None:
        if seed is not None or faults or any(each is not None for each in (demand, people, policy, log)):
            raise click.UsageError("--script has no further options")
        from weelo_lab.seeds import commands as of_seeds

        sys.exit(of_seeds.replay(script))
    if seed is None:
        raise click.UsageError("Missing option '--seed' or '--script'.")
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
    """Print the life of one broadcast of a run."""
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
    """Compare policies on the same demand and people.

    Plays them under each policy, and writes report.html and figures.json. The first policy is the one with which the others are compared.
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
    """Fit the answers of fleets to a system's history.

    Writes people.yaml and fit.html.
    """
    from weelo_lab import commands

    commands.fit(database_url, since.replace(tzinfo=UTC), time_zone, out)


@lab.command()
@click.option("--minutes", type=click.FloatRange(min=0), help="How long to search.  [default: 5]")
@click.option("--seed", "first", type=int, default=1, show_default=True, help="The first seed.")
@click.option("--mutant", help="Search a copy of Weelo in which this mechanism is disabled (see `mutants`).")
@click.option("--seeds", type=click.IntRange(1), help="Search at most so many seeds.")
@click.option("--processor-seconds", type=click.FloatRange(min=0), help="Use at most so much processor time.")
@click.option("--jobs", type=click.IntRange(1, 64), help="How many seeds at once.  [default: by the CPUs]")
@_out_option
def seeds(
    minutes: float | None,
    first: int,
    mutant: str | None,
    seeds: int | None,
    processor_seconds: float | None,
    jobs: int | None,
    out: Path,
) -> None:
    """Search for orders of events that violate an invariant.

    Each seed is a script of people's commands, lost, late and repeated messages, killed workers and more. A script that
    fails is shrunk. The exit code is then 1.
    """
    from weelo_lab.seeds import commands as of_seeds, mutated
    from weelo_lab.seeds.searching import Limits

    if minutes is None and seeds is None and processor_seconds is None:
        minutes = 5.0
    if mutant is not None:
        given = {
            "--minutes": minutes,
            "--seeds": seeds,
            "--processor-seconds": processor_seconds,
            "--jobs": jobs,
        }
        arguments = [
            each for name, value in given.items() if value is not None for each in (name, str(value))
        ]
        sys.exit(
            mutated.run(
                mutated.named(mutant), [*arguments, "--seed", str(first), "--out", str(out)]
            ).returncode
        )
    limits = Limits(minutes * 60 if minutes is not None else None, processor_seconds, seeds)
    sys.exit(of_seeds.find(first, limits, jobs or os.cpu_count() or 1, out))


@lab.command()
@click.argument("names", nargs=-1)
@click.option(
    "--processor-seconds",
    type=click.FloatRange(min=0),
    default=60.0,
    show_default=True,
    help="How much processor time each search may use.",
)
def mutants(names: tuple[str, ...], processor_seconds: float) -> None:
    """Search copies in which one mechanism is disabled.

    Prints the seed that found each one, and the shortest script that fails. The exit code is 1 if one was not found.
    """
    from weelo_lab.seeds import commands as of_seeds

    sys.exit(not of_seeds.mutants(names, processor_seconds))
