"""Measured figures: rows of values with a unit and a goal, their tables, and percentiles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich import box
from rich.table import Table

Ratios = Mapping[tuple[str, str], "Figure"]
"""Figures divided by those of an earlier run, by table and row."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One row: values by their names (`p50`, `p99`; "" if there is only one), all in one unit.

    `table`: the title of a table with a column per value. A figure without a title is a row of the main table.
    """

    what: str
    values: Mapping[str, float]
    unit: str = ""
    goal: str = ""
    table: str = ""

    def text(self) -> str:
        values = ", ".join(f"{name} {number(value)}".strip() for name, value in self.values.items())
        return f"{values} {self.unit}".strip()


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value that `share` (0 to 1) of the values do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def milliseconds(seconds: Sequence[float], *shares: float) -> dict[str, float]:
    """Return percentiles of these seconds in milliseconds, by the names `p50`, `p99` and so on."""
    return {f"p{share * 100:.0f}": percentile(seconds, share) * 1000 for share in shares}


def number(value: float) -> str:
    """Return the number as text with about three significant digits. Digits before the point are never rounded away."""
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    decimals = 1 if abs(value) >= 10 else 2 if abs(value) >= 0.1 else 3
    return f"{value:.{decimals}f}"


def tables(figures: Sequence[Figure], ratios: Ratios) -> list[Table]:
    """Return the tables to print. `ratios` is empty if there is no earlier run."""
    titles = dict.fromkeys(figure.table for figure in figures if figure.table)
    printed = []
    for title in titles:
        printed.append(_grid(title, [figure for figure in figures if figure.table == title]))
        compared = [ratio for ratio in ratios.values() if ratio.table == title]
        if compared:
            printed.append(_grid(f"{title} ÷ earlier run", compared))
    return [*printed, _main(figures, ratios)]


def _main(figures: Sequence[Figure], ratios: Ratios) -> Table:
    table = _empty("", "what", "measured", "goal", "÷ earlier run")
    for figure in figures:
        if not figure.table:
            ratio = ratios.get(("", figure.what))
            table.add_row(figure.what, figure.text(), figure.goal, ratio.text() if ratio else "")
    return table


def _grid(title: str, figures: Sequence[Figure]) -> Table:
    """Return a table with a column per value."""
    names = list(dict.fromkeys(name for figure in figures for name in figure.values))
    grid = _empty(title, "", *names)
    for figure in figures:
        cells = [number(figure.values[name]) if name in figure.values else "" for name in names]
        grid.add_row(figure.what, *cells)
    return grid


def _empty(title: str, *columns: str) -> Table:
    # The output is Markdown, so that a table can be copied into docs/performance.md.
    table = Table(title=title, title_justify="left", box=box.MARKDOWN)
    for column in columns:
        table.add_column(column)
    return table
