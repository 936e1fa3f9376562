"""A map of the towns around Delhi, with a dot for each transporter that is online."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from weelo_demo.people import Transporter
from weelo_demo.towns import CONNAUGHT_PLACE, Point, Town, east_north_km

# Braille patterns: each character is a grid of 2 × 4 dots, each dot one bit (Unicode 15, chapter 21.1).
BLANK = 0x2800
DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
DOTS_ACROSS, DOTS_DOWN = 2, 4

Cell = tuple[int, int]
"""Row and column of a character."""


class Chart:
    """A map of `rows` lines and twice as many columns, because a character is twice as high as wide on most terminals."""

    def __init__(self, transporters: Sequence[Transporter], radius_km: float, rows: int) -> None:
        self._radius_km = radius_km
        self._rows, self._columns = rows, rows * 2
        self._lit: dict[Cell, int] = {}
        self._labels: dict[Cell, str] = {}
        inhabited = {self._cell(transporter.at) for transporter in transporters}
        towns = {transporter.town for transporter in transporters}
        for town in sorted(towns, key=lambda town: town.population, reverse=True):
            self._label(town, inhabited)

    def light(self, transporter: Transporter) -> None:
        x, y = self._dot(transporter.at)
        cell = self._cell(transporter.at)
        self._lit[cell] = self._lit.get(cell, 0) | DOTS[y % DOTS_DOWN][x % DOTS_ACROSS]

    def __rich__(self) -> Text:
        # The loop uses a copy, because other threads add dots while it runs.
        lit = dict(self._lit)
        text = Text(no_wrap=True, overflow="crop")
        for row in range(self._rows):
            for column in range(self._columns):
                cell = (row, column)
                if cell in lit:
                    text.append(chr(BLANK | lit[cell]), "bold yellow")
                else:
                    text.append(self._labels.get(cell, " "), "dim")
            text.append("\n")
        return text

    def _dot(self, at: Point) -> tuple[int, int]:
        """Return the column and row of a point in dots, from the upper left corner."""
        east, north = east_north_km(CONNAUGHT_PLACE, at)
        across, down = self._columns * DOTS_ACROSS - 1, self._rows * DOTS_DOWN - 1
        x = round((east / self._radius_km + 1) / 2 * across)
        y = round((1 - north / self._radius_km) / 2 * down)
        return min(max(x, 0), across), min(max(y, 0), down)

    def _cell(self, at: Point) -> Cell:
        x, y = self._dot(at)
        return y // DOTS_DOWN, x // DOTS_ACROSS

    def _label(self, town: Town, inhabited: set[Cell]) -> None:
        """Write the town's name to its right or left, if it covers no transporter and no name of a larger town."""
        row, column = self._cell(town.at)
        for first in (column + 2, column - 1 - len(town.name)):
            around = {(row, column) for column in range(first - 1, first + len(town.name) + 1)}
            inside = first >= 0 and first + len(town.name) <= self._columns
            if inside and around.isdisjoint(inhabited) and around.isdisjoint(self._labels):
                self._labels |= {(row, first + index): letter for index, letter in enumerate(town.name)}
                return
