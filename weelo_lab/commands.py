"""What the commands `weelo lab …` do, with their errors as lines."""

from __future__ import annotations

import json
import os
from collections import Counter
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import click
import psycopg2
import yaml

from weelo_lab import fit_report, plots, policies, report, servers
from weelo_lab.comparing import Comparison
from weelo_lab.demand import FileError, read
from weelo_lab.engine import LabError
from weelo_lab.faults import NO_FAULTS, ROUGH
from weelo_lab.fitting import fit as fit_answers
from weelo_lab.observing import observe
from weelo_lab.playing import Job, explain as explained, play, play_all
from weelo_lab.policies import NamedPolicy
from weelo_lab.run import Run
from weelo_workers.runtime import CommandError

DEFAULTS = NamedPolicy("defaults")


def job(
    seed: int, demand: Path | None, policy: Path | None, people: Path | None = None, *, faults: bool = False
) -> Job:
    """Return the run that these options describe. Raises CommandError."""
    try:
        chosen = policies.read(policy) if policy is not None else DEFAULTS
        return Job(read(demand, people), chosen, seed, ROUGH if faults else NO_FAULTS)
    except FileError as problem:
        raise CommandError(str(problem)) from None


def replay(chosen: Job, log: Path | None) -> str:
    """Play a run and return its hash. Raises CommandError."""
    try:
        with servers.running() as on:
            return play(on, chosen, log.absolute() if log is not None else None).hash
    except LabError as problem:
        raise CommandError(str(problem)) from None


def explain(chosen: Job, number: int) -> str:
    """Play a run and return the life of one broadcast. Raises CommandError."""
    try:
        with servers.running() as on:
            return explained(on, chosen, number)
    except (LabError, LookupError) as problem:
        raise CommandError(problem.args[0]) from None


def run(
    demand: Path | None,
    people: Path | None,
    policy_files: list[Path],
    seeds: int,
    out: Path,
    at_once: int | None,
) -> None:
    """Play every policy with every seed, and write the report and the figures. Raises CommandError."""
    try:
        chosen, compared = read(demand, people), _distinct([policies.read(each) for each in policy_files])
    except FileError as problem:
        raise CommandError(str(problem)) from None
    jobs = [
        Job(chosen, policy, seed, is_filmed=seed == 1) for seed in range(1, seeds + 1) for policy in compared
    ]
    runs: dict[str, dict[int, Run]] = {policy.name: {} for policy in compared}

    def show(played: int) -> None:
        click.echo(f"{played} of {len(jobs)} runs", err=True)

    try:
        out.mkdir(parents=True, exist_ok=True)
        with servers.running() as on:
            for each, result in play_all(on, jobs, at_once or os.cpu_count() or 1, show):
                runs[each.policy.name][each.seed] = result
    except LabError as problem:
        raise CommandError(str(problem)) from None
    comparison = Comparison(runs)
    (out / "figures.json").write_text(json.dumps(comparison.json(), indent=2) + "\n", encoding="utf-8")
    (out / "report.html").write_text(report.page(comparison, chosen, compared), encoding="utf-8")
    trade = plots.standalone(report.trade(comparison), comparison.policies)
    (out / "trade.svg").write_text(trade, encoding="utf-8")
    click.echo(str(out / "report.html"))


def fit(database_url: str, since: datetime, zone: str, out: Path) -> None:
    """Fit the model of answers to a system's offers, and write people.yaml and fit.html. Raises CommandError."""
    try:
        seen = observe(database_url, ZoneInfo(zone), since)
        fitted = fit_answers(seen.offers, seen.drivers)
    except (ZoneInfoNotFoundError, ValueError, psycopg2.Error) as problem:
        raise CommandError(str(problem).splitlines()[0]) from None
    values: dict[str, Any] = {"answers": fitted.answers.model_dump(mode="json")}
    if seen.price is not None:
        values["price"] = seen.price.model_dump(mode="json")
    out.mkdir(parents=True, exist_ok=True)
    head = f"# Fitted by `weelo lab fit` to {fitted.offers} offers and {seen.trips} trips. fit.html shows both.\n"
    (out / "people.yaml").write_text(head + yaml.safe_dump(values, sort_keys=False), encoding="utf-8")
    (out / "fit.html").write_text(fit_report.page(fitted, seen), encoding="utf-8")
    for name in ("people.yaml", "fit.html"):
        click.echo(str(out / name))


def _distinct(found: list[NamedPolicy]) -> list[NamedPolicy]:
    """Return the policies. If an earlier policy has the same name, a number is appended to the name."""
    names: Counter[str] = Counter()
    distinct = []
    for policy in found:
        names[policy.name] += 1
        count = names[policy.name]
        distinct.append(replace(policy, name=f"{policy.name} {count}") if count > 1 else policy)
    return distinct
