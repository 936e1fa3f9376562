"""What `weelo lab seeds`, `weelo lab mutants` and `weelo lab replay --script` do."""

from __future__ import annotations

import json
import re
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import click

from weelo_lab import servers
from weelo_lab.demand import FileError
from weelo_lab.seeds import mutated, script
from weelo_lab.seeds.mutants import MUTANTS
from weelo_lab.seeds.player import player
from weelo_lab.seeds.searching import Failure, Limits, Tried, search, shrunk
from weelo_lab.seeds.trial import Verdict
from weelo_workers.runtime import CommandError

MOST_ROWS = 3
"""How many rows that violate an invariant are printed."""
EVERY_SECONDS = 10.0
"""How often progress is printed if the output is no terminal."""


class _Progress:
    """Shows progress on one line of a terminal; on lines of their own, from time to time, elsewhere."""

    def __init__(self) -> None:
        self._is_terminal = sys.stderr.isatty()
        self._next_at = time.monotonic() + EVERY_SECONDS

    def show(self, line: str) -> None:
        if self._is_terminal:
            click.echo(f"\r\x1b[K{line}", err=True, nl=False)
        elif time.monotonic() >= self._next_at:
            self._next_at = time.monotonic() + EVERY_SECONDS
            click.echo(line, err=True)

    def end(self) -> None:
        if self._is_terminal:
            click.echo("\r\x1b[K", err=True, nl=False)


def find(first_seed: int, limits: Limits, at_once: int, out: Path) -> bool:
    """Search, and print how much was tried. If a script fails, write, shrink and print it. Return whether one did."""
    with servers.running() as on:
        progress = _Progress()
        tried, failure = search(on, first_seed, limits, at_once, lambda so_far: progress.show(str(so_far)))
        progress.end()
        if failure is None:
            click.echo(f"{tried}: no invariant was violated")
            return False
        _print_failure(on, tried, failure, out)
        return True


def _print_failure(on: servers.Servers, tried: Tried, failure: Failure, out: Path) -> None:
    click.echo(f"{tried}: seed {failure.seed} violates an invariant")
    _print_broken(failure.verdict)
    out.mkdir(parents=True, exist_ok=True)
    path = out / f"seed-{failure.seed}.json"
    path.write_text(script.text(failure.steps), encoding="utf-8")
    click.echo(f"{path}: the script of this seed, {len(failure.steps)} steps")
    progress = _Progress()
    steps, verdict = shrunk(
        on, failure, lambda length, played: progress.show(f"{length} steps after {played} scripts")
    )
    progress.end()
    if verdict is None:
        click.echo("Played again, the script did not fail. Something depends on the time or on the machine.")
        return
    path = out / f"seed-{failure.seed}-short.json"
    path.write_text(script.text(steps), encoding="utf-8")
    click.echo(
        f"{path}: the shortest script found, {len(steps)} steps. `weelo lab replay --script` plays it:"
    )
    for step in steps:
        click.echo(script.line(step))
    _print_broken(verdict)


def replay(path: Path) -> bool:
    """Play a script and print its hash and the violated invariants. Return whether there are any. Raises CommandError."""
    try:
        steps = script.read(path)
    except FileError as problem:
        raise CommandError(str(problem)) from None
    with servers.running() as on, player(on) as plays:
        verdict = plays.play(steps)
    click.echo(verdict.hash)
    _print_broken(verdict)
    return bool(verdict.broken)


def _print_broken(verdict: Verdict) -> None:
    for truth, rows in verdict.broken.items():
        click.echo(f"Violated: {truth}")
        for row in rows[:MOST_ROWS]:
            click.echo(f"  {_short(row)}")
        if len(rows) > MOST_ROWS:
            click.echo(f"  and {len(rows) - MOST_ROWS} more rows")


def _short(row: dict[str, Any]) -> str:
    return json.dumps(row, default=str)


# --- mutants ----------------------------------------------------------------------------------------------------

_FOUND = re.compile(r"^([\d,]+) seeds, .* \(([\d,]+) s of processor time\): seed \d+ violates", re.MULTILINE)
_TRUTH = re.compile(r"^Violated: (.+)$", re.MULTILINE)
_SHORT = re.compile(r"the shortest script found, (\d+) steps")


def mutants(names: tuple[str, ...], processor_seconds: float) -> bool:
    """Search each mutant, and print a table. Return whether each was found. Raises CommandError."""
    chosen = [mutated.named(name) for name in names] or list(MUTANTS)
    click.echo("| disabled | found by | after | shortest script |\n| --- | --- | --- | --- |")
    all_found = True
    for mutant in chosen:
        with tempfile.TemporaryDirectory(prefix="weelo-seeds-") as out:
            done = mutated.run(
                mutant, ["--processor-seconds", f"{processor_seconds:g}", "--out", out], capture=True
            )
        found, truth, short = (each.search(done.stdout) for each in (_FOUND, _TRUTH, _SHORT))
        if found is None or truth is None:
            all_found = False
            if done.returncode != 0:
                click.echo(done.stdout[-2_000:] + done.stderr[-2_000:], err=True)
            click.echo(f"| {mutant.what} | – | – | – |")
            continue
        steps = f"{short[1]} steps" if short else "–"
        click.echo(
            f"| {mutant.what} | {truth[1]} | {found[1]} seeds, {found[2]} s of processor time | {steps} |"
        )
    return all_found
