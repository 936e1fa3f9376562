"""The map of the demo: one dot for each transporter, and no name over a dot."""

from __future__ import annotations

import io

import httpx
from rich.console import Console

from weelo_demo.chart import BLANK, Chart
from weelo_demo.fleet import SCATTER_KM, WITHIN_KM, cast
from weelo_demo.people import Installation

ROWS = 26


def test_every_transporter_has_a_dot_on_the_map_and_names_stay_readable() -> None:
    transporters = cast(Installation("http://127.0.0.1:1", "0" * 32, httpx.Client())).transporters
    chart = Chart(transporters, WITHIN_KM + SCATTER_KM, ROWS)
    before = drawn(chart)
    for transporter in transporters:
        chart.light(transporter)
    after = drawn(chart)
    dots = sum((ord(letter) - BLANK).bit_count() for letter in after if BLANK < ord(letter) <= BLANK + 0xFF)
    assert len(transporters) / 2 < dots <= len(transporters), "transporters close together share a dot"
    assert len(after.splitlines()) == ROWS
    names = before.split()
    assert {"Meerut", "Rohtak"} <= set(names)
    assert all(name in after for name in names)


def drawn(chart: Chart) -> str:
    paper = io.StringIO()
    Console(file=paper, width=ROWS * 2).print(chart, end="")
    return paper.getvalue()
