"""Draws a fault test as SVG: responses per second, faults over time, and a histogram of how late timers were."""

from __future__ import annotations

from collections import Counter
from html import escape
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.faults.play import Play

WIDTH, LEFT, RIGHT = 1200, 330, 20
LOAD, LANE, HISTOGRAM = 120, 16, 140
ANSWERED, REFUSED, SILENT = "#4c8c6b", "#d9a441", "#b9bec6"
BROKEN, AWAY, SWEPT = "#c0504d", "#f6dcdb", "#5b7db1"
BINS = (0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 1.5, 2.0, 5.0, 10.0)


class Sheet:
    def __init__(self) -> None:
        self.parts: list[str] = []

    def box(self, x: float, y: float, width: float, height: float, colour: str, title: str = "") -> None:
        tooltip = f"<title>{escape(title)}</title>" if title else ""
        self.parts.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 1.5):.1f}" height="{height:.1f}" fill="{colour}">{tooltip}</rect>'
        )

    def text(self, x: float, y: float, words: str, anchor: str = "start") -> None:
        self.parts.append(f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>')


def draw(play: Play) -> str:
    sheet = Sheet()
    faults = sorted({each.fault for each in play.broken})
    span = max(play.rested - play.began, 1.0)
    scale = (WIDTH - LEFT - RIGHT) / span
    top, lanes = 40.0, 40.0 + LOAD + 30
    bottom = lanes + LANE * len(faults)

    def x(moment: float) -> float:
        return LEFT + (moment - play.began) * scale

    sheet.text(10, 22, f"Seed {play.seed}: {len(play.broken)} faults in {play.seconds:.0f} s, then rest")
    for outage in play.away:
        if outage.broadcast is None:
            sheet.box(
                x(outage.began),
                top,
                (outage.ended - outage.began) * scale,
                bottom - top,
                AWAY,
                f"no {outage.what}",
            )
    _load(sheet, play, top, scale)
    for number, fault in enumerate(faults):
        y = lanes + number * LANE
        sheet.text(LEFT - 8, y + 12, fault, "end")
        for each in play.broken:
            if each.fault == fault:
                sheet.box(
                    x(each.began),
                    y + 3,
                    (each.ended - each.began) * scale,
                    LANE - 6,
                    BROKEN,
                    each.effect.what,
                )
    step = next(s for s in (10, 30, 60, 120, 300, 600, 1800) if span / s <= 14)
    for second in range(0, int(span) + 1, step):
        sheet.text(LEFT + second * scale, bottom + 16, f"{second} s", "middle")
    _lateness(sheet, play, bottom + 60)
    height = bottom + 60 + HISTOGRAM + 60
    body = "\n".join(sheet.parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" font-family="sans-serif" font-size="11">\n'
        f'<rect width="100%" height="100%" fill="white"/>\n{body}\n</svg>\n'
    )


def _load(sheet: Sheet, play: Play, top: float, scale: float) -> None:
    seconds: dict[int, Counter[str]] = {}
    for entry in play.ledger.entries:
        for answer in entry.answers:
            colour = REFUSED if answer.status == 503 else ANSWERED if answer.status else SILENT
            seconds.setdefault(int(answer.at - play.began), Counter())[colour] += 1
    most = max((sum(each.values()) for each in seconds.values()), default=1)
    sheet.text(LEFT - 8, top + 12, f"answers a second, at most {most}", "end")
    for row, (colour, words) in enumerate(((ANSWERED, "answered"), (REFUSED, "503"), (SILENT, "no answer"))):
        sheet.text(LEFT - 24, top + 32 + 16 * row, words, "end")
        sheet.box(LEFT - 18, top + 23 + 16 * row, 10, 10, colour)
    for second, each in seconds.items():
        y = top + LOAD
        for colour in (ANSWERED, REFUSED, SILENT):
            tall = each[colour] / most * LOAD
            y -= tall
            if tall and second >= 0:
                sheet.box(LEFT + second * scale, y, scale * 0.9, tall, colour, f"{second} s: {each[colour]}")


def _lateness(sheet: Sheet, play: Play, top: float) -> None:
    edges = [0.0, *BINS, float("inf")]
    wide = (WIDTH - LEFT - RIGHT) / (len(edges) - 1)
    columns = [
        [each.swept for each in play.delays if low <= each.late < high] for low, high in pairwise(edges)
    ]
    most = max((len(each) for each in columns), default=1) or 1
    sheet.text(LEFT - 8, top + 12, f"how late {len(play.delays)} timers were", "end")
    for row, (colour, words) in enumerate(((ANSWERED, "by countdown"), (SWEPT, "by the sweep"))):
        sheet.text(LEFT - 24, top + 32 + 16 * row, words, "end")
        sheet.box(LEFT - 18, top + 23 + 16 * row, 10, 10, colour)
    for number, swept in enumerate(columns):
        x, y = LEFT + number * wide, top + HISTOGRAM
        for colour, count in ((ANSWERED, len(swept) - sum(swept)), (SWEPT, sum(swept))):
            tall = count / most * HISTOGRAM
            y -= tall
            if count:
                sheet.box(x + 2, y, wide - 4, tall, colour, str(count))
        if swept:
            sheet.text(x + wide / 2, y - 4, str(len(swept)), "middle")
        high = edges[number + 1]
        sheet.text(x + wide, top + HISTOGRAM + 16, f"{high:g} s" if high < float("inf") else "", "middle")
