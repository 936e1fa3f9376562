"""Writes the report of a fault test: faults, results of the checks, moves of the trucks, lateness of timers, as text and a chart."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from tests.faults.chart import BINS, draw
from tests.faults.play import Play


def write(play: Play, folder: Path) -> Path:
    """Write `report.md` and `report.svg`, and return the path of the text."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.svg").write_text(draw(play))
    text = folder / "report.md"
    text.write_text(told(play))
    return text


def told(play: Play) -> str:
    failed = [count for count in play.counted if count.wrong]
    verdict = f"**{len(failed)} of {len(play.counted)} checks failed**" if failed else "all checks passed"
    begun = f"{datetime.fromtimestamp(play.began, UTC):%Y-%m-%d %H:%M} UTC"
    summary = (
        f"Seed {play.seed}, {play.seconds:.0f} s of play, started {begun}; at rest {play.rested - play.ended:.0f} s after its end."
        f" {len(play.broken)} faults; {verdict}."
    )
    return (
        "\n\n".join(
            [
                "# Result",
                summary,
                *(
                    f"## Failed: {c.sentence}\n\n" + "\n".join(f"- {each}" for each in c.wrong[:50])
                    for c in failed
                ),
                "## Checks",
                _table(
                    ("", "check", "checked"),
                    [("**no**" if c.wrong else "yes", c.sentence, c.figure) for c in play.counted],
                ),
                "## What became of the trucks",
                _table(
                    ("command", "transition or refusal", "times"),
                    [(each.command, each.effect, str(each.times)) for each in play.moves],
                ),
                "## How late timers were",
                _lateness(play),
                "## Outages",
                _table(
                    ("what", "from", "for"),
                    [
                        (
                            f"{a.what} {a.broadcast or ''}".strip(),
                            f"{a.began - play.began:.1f} s",
                            f"{a.ended - a.began:.1f} s",
                        )
                        for a in sorted(play.away, key=lambda a: a.began)
                    ],
                ),
                "## Faults",
                _table(
                    ("at", "for", "fault", "effect"),
                    [
                        (
                            f"{b.began - play.began:.1f} s",
                            f"{b.ended - b.began:.1f} s",
                            b.fault,
                            b.effect.what,
                        )
                        for b in sorted(play.broken, key=lambda b: b.began)
                    ],
                ),
                "![answers per second, faults over time, lateness of timers](report.svg)",
            ]
        )
        + "\n"
    )


def _lateness(play: Play) -> str:
    rows, lowest = [], 0.0
    for highest in (*BINS, float("inf")):
        within = [each for each in play.delays if lowest <= each.late < highest]
        swept = sum(each.swept for each in within)
        forgiven = sum(each.late - each.forgiven <= 2.0 < each.late for each in within)
        rows.append(
            (f"{lowest:g} to {highest:g} s", str(len(within) - swept), str(swept), str(forgiven or ""))
        )
        lowest = highest
    return _table(("late by", "by countdown", "by the sweep", "over 2 s in an outage"), rows)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "/") for cell in line) + " |" for line in lines)
