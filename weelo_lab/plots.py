"""The plots of the report, as inline SVG. Colours are CSS variables, so that they follow the reader's light or dark theme."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from weelo_lab.comparing import Estimate

WIDTH, HEIGHT = 560.0, 320.0
LEFT, RIGHT, TOP, BOTTOM = 56.0, 16.0, 14.0, 46.0
LIGHT = (
    "--policy-0:#2f6fde;--policy-1:#e07b1f;--policy-2:#23946a;--policy-3:#9b51c4;"
    "--policy-4:#c93b5c;--policy-5:#008aa6;--policy-6:#8a6d1f;--policy-7:#5f6b7a"
)
COLOURS = 8
"""How many colours `report_style.py` has for policies. Further policies begin again with the first."""


def colour(number: int) -> str:
    """Return the colour of the policy of this number, counted from 0."""
    return f"var(--policy-{number % COLOURS})"


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Return about this many round numbers between two values."""
    span = high - low
    if span <= 0:
        return [low]
    rough = span / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough)
    first = math.ceil(low / step - 1e-9)
    return [round(number * step, 10) for number in range(first, math.floor(high / step + 1e-9) + 1)]


def number(value: float) -> str:
    """Return a number with about three digits."""
    if value == 0:
        return "0"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:,.{min(digits, 4)}f}"


class _Axes:
    """The two axes of a plot, which convert values to positions."""

    def __init__(self, x: tuple[float, float], y: tuple[float, float], labels: tuple[str, str]) -> None:
        self.x_range, self.y_range, self.labels = _wide(x), _wide(y), labels

    def x(self, value: float) -> float:
        low, high = self.x_range
        return LEFT + (value - low) / (high - low) * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        low, high = self.y_range
        return HEIGHT - BOTTOM - (value - low) / (high - low) * (HEIGHT - TOP - BOTTOM)

    def frame(self) -> str:
        parts = []
        for each in ticks(*self.y_range):
            at = self.y(each)
            parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>')
            parts.append(
                f'<text class="tick" x="{LEFT - 8}" y="{at + 4:.1f}" text-anchor="end">{each:g}</text>'
            )
        for each in ticks(*self.x_range):
            at = self.x(each)
            parts.append(
                f'<text class="tick" x="{at:.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{each:g}</text>'
            )
        middle = (LEFT + WIDTH - RIGHT) / 2
        parts.append(
            f'<text class="axis" x="{middle}" y="{HEIGHT - 8}" text-anchor="middle">{escape(self.labels[0])}</text>'
        )
        across = (TOP + HEIGHT - BOTTOM) / 2
        parts.append(
            f'<text class="axis" transform="translate(14 {across}) rotate(-90)" text-anchor="middle">'
            f"{escape(self.labels[1])}</text>"
        )
        return "".join(parts)


def _wide(ends: tuple[float, float]) -> tuple[float, float]:
    low, high = ends
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _svg(body: str, title: str, height: float = HEIGHT) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH:g} {height:g}" role="img" aria-label="{escape(title)}">'
        f"<title>{escape(title)}</title>{body}</svg>"
    )


def scatter(points: Mapping[str, Sequence[tuple[float, float]]], labels: tuple[str, str], title: str) -> str:
    """Return one small dot for each run, and a large one for the mean of each policy."""
    every = [point for of_policy in points.values() for point in of_policy]
    if not every:
        return '<p class="none">No run has both figures.</p>'
    axes = _Axes(_padded([x for x, _ in every]), _padded([y for _, y in every]), labels)
    body = [axes.frame()]
    for place, (policy, of_policy) in enumerate(points.items()):
        for x, y in of_policy:
            body.append(
                f'<circle cx="{axes.x(x):.1f}" cy="{axes.y(y):.1f}" r="3" fill="{colour(place)}" opacity=".35"/>'
            )
        if of_policy:
            x = sum(x for x, _ in of_policy) / len(of_policy)
            y = sum(y for _, y in of_policy) / len(of_policy)
            body.append(
                f'<circle cx="{axes.x(x):.1f}" cy="{axes.y(y):.1f}" r="7" fill="{colour(place)}" class="mean">'
                f"<title>{escape(policy)}: {number(x)}, {number(y)}</title></circle>"
            )
    return _svg("".join(body), title)


def standalone(svg: str, policies: Sequence[str]) -> str:
    """Return a plot as a file of its own, with a legend and with the colours of a light page."""
    legend = []
    for place, policy in enumerate(policies):
        x, y = WIDTH - 150.0, TOP + 12.0 + 20.0 * place
        legend.append(f'<circle cx="{x}" cy="{y - 4}" r="5" fill="{colour(place)}"/>')
        legend.append(f'<text x="{x + 12}" y="{y}">{escape(policy)}</text>')
    style = (
        f"<style>svg{{background:#fff;font-family:sans-serif;{LIGHT}}}text{{fill:#5c6675;font-size:12px}}"
        ".grid{stroke:#dfe3e8}.mean{stroke:#fff;stroke-width:2}</style>"
    )
    whole = svg.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1)
    return whole.replace("</title>", f"</title>{style}", 1).replace("</svg>", f"{''.join(legend)}</svg>\n")


def _padded(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    margin = (high - low) * 0.08 or abs(high) * 0.1 or 0.5
    return (max(0.0, low - margin) if low >= 0 else low - margin), high + margin


def cumulative(
    values: Mapping[str, Sequence[float]], totals: Mapping[str, int], label: str, title: str
) -> str:
    """Return a curve for each policy: the share of all requests (`totals`) whose value is at most the one on the x axis."""
    longest = max((max(each, default=0.0) for each in values.values()), default=0.0)
    if not longest:
        return '<p class="none">No request got a truck.</p>'
    axes = _Axes((0.0, longest), (0.0, 100.0), (label, "requests, %"))
    body = [axes.frame()]
    for place, (policy, found) in enumerate(values.items()):
        if not found or not totals[policy]:
            continue
        steps = [(0.0, 0.0)]
        for rank, value in enumerate(sorted(found), start=1):
            share = 100.0 * rank / totals[policy]
            steps += [(value, steps[-1][1]), (value, share)]
        steps.append((longest, steps[-1][1]))
        line = " ".join(f"{axes.x(x):.1f},{axes.y(y):.1f}" for x, y in _thinned(steps))
        body.append(f'<polyline points="{line}" stroke="{colour(place)}" class="line"/>')
    return _svg("".join(body), title)


def _thinned(steps: Sequence[tuple[float, float]], most: int = 1_200) -> Sequence[tuple[float, float]]:
    every = max(1, len(steps) // most)
    return [*steps[::every], steps[-1]]


def bars(shares: Mapping[str, Mapping[str, float]], title: str) -> str:
    """Return one bar of 100 % for each policy, divided into named shares. The names are in the order of the rings."""
    names = sorted(
        {name for each in shares.values() for name in each}, key=lambda name: (name == "last", name)
    )
    if not names:
        return '<p class="none">No truck was won.</p>'
    height, row = 34.0 + 44.0 * len(shares) + 18.0, 44.0
    body = []
    for place, (policy, of_policy) in enumerate(shares.items()):
        top, left, whole = 10.0 + row * place, LEFT, sum(of_policy.values())
        body.append(f'<text class="tick" x="{LEFT}" y="{top + 8}">{escape(policy)}</text>')
        for rank, name in enumerate(names):
            share = of_policy.get(name, 0.0) / whole if whole else 0.0
            wide = share * (WIDTH - LEFT - RIGHT)
            strength = 1 - 0.75 * rank / max(1, len(names) - 1) if len(names) > 1 else 1
            label = "last step" if name == "last" else f"ring {name}"
            body.append(
                f'<rect x="{left:.1f}" y="{top + 13}" width="{max(0.0, wide - 1):.1f}" height="20" '
                f'fill="{colour(place)}" opacity="{strength:.2f}"><title>{label}: {share:.0%}</title></rect>'
            )
            if wide > 46:
                body.append(
                    f'<text class="inside" x="{left + 5:.1f}" y="{top + 27}">{label} {share:.0%}</text>'
                )
            left += wide
    return _svg("".join(body), title, height)


def paired(
    values: Sequence[Sequence[float | None]], means: Sequence[Estimate], factor: float, title: str
) -> str:
    """Return a thin line for each seed over its values under the policies, and a thick one for the means."""
    known = [each * factor for row in values for each in row if each is not None]
    if not known:
        return '<p class="none">No run has this figure.</p>'
    wide, high, left, edge = 220.0, 150.0, 46.0, 14.0
    low, top = _wide(_padded(known))
    count = max(1, len(means) - 1)

    def x(place: int) -> float:
        return left + 14 + place / count * (wide - left - 28)

    def y(value: float) -> float:
        # Intervals of few seeds may be longer than the plot.
        inside = min(max(value * factor, low), top)
        return high - edge - (inside - low) / (top - low) * (high - 2 * edge)

    body = []
    for each in ticks(low, top, 3):
        at = y(each / factor)
        body.append(f'<line class="grid" x1="{left}" x2="{wide}" y1="{at:.1f}" y2="{at:.1f}"/>')
        body.append(
            f'<text class="tick" x="{left - 5}" y="{at + 4:.1f}" text-anchor="end">{each:,.10g}</text>'
        )
    for row in values:
        line = " ".join(f"{x(n):.1f},{y(each):.1f}" for n, each in enumerate(row) if each is not None)
        body.append(f'<polyline points="{line}" class="seed-line"/>')
    drawn = [(n, found, found.mean) for n, found in enumerate(means) if found.mean is not None]
    line = " ".join(f"{x(n):.1f},{y(mean):.1f}" for n, _, mean in drawn)
    body.append(f'<polyline points="{line}" class="mean-line"/>')
    for n, found, mean in drawn:
        if found.low is not None and found.high is not None:
            body.append(
                f'<line x1="{x(n):.1f}" x2="{x(n):.1f}" y1="{y(found.low):.1f}" y2="{y(found.high):.1f}" '
                f'stroke="{colour(n)}" stroke-width="3"/>'
            )
        body.append(f'<circle cx="{x(n):.1f}" cy="{y(mean):.1f}" r="5" fill="{colour(n)}" class="mean"/>')
    return (
        f'<svg viewBox="0 0 {wide:g} {high:g}" role="img" aria-label="{escape(title)}">{"".join(body)}</svg>'
    )


def interval(found: Estimate, extent: float, better: int) -> str:
    """Return a small plot of a difference: zero in the middle, the interval, the mean, and the values of the seeds."""
    wide, high = 220.0, 26.0

    def x(value: float) -> float:
        return wide / 2 + (value / extent if extent else 0.0) * (wide / 2 - 6)

    body = [f'<line class="zero" x1="{wide / 2}" x2="{wide / 2}" y1="2" y2="{high - 2}"/>']
    body += [f'<circle cx="{x(each):.1f}" cy="{high - 6}" r="1.6" class="seed"/>' for each in found.values]
    if found.mean is not None:
        verdict = verdict_of(found, better)
        if found.low is not None and found.high is not None:
            body.append(
                f'<line class="interval {verdict}" x1="{x(found.low):.1f}" x2="{x(found.high):.1f}" y1="11" y2="11"/>'
            )
        body.append(f'<circle cx="{x(found.mean):.1f}" cy="11" r="4" class="point {verdict}"/>')
    return f'<svg class="small" viewBox="0 0 {wide:g} {high:g}" aria-hidden="true">{"".join(body)}</svg>'


def verdict_of(found: Estimate, better: int) -> str:
    """Return `better` or `worse` if the interval excludes zero, `same` if all differences are exactly zero, else `unclear`."""
    if found.values and not any(found.values):
        return "same"
    if found.low is None or found.high is None or found.mean is None or found.low <= 0 <= found.high:
        return "unclear"
    if not better:
        return "different"
    return "better" if (found.mean > 0) == (better > 0) else "worse"


@dataclass(frozen=True, slots=True)
class Point:
    """A share that was observed, with the ends of its interval, and the share that the model predicts (`model`)."""

    x: float
    y: float
    low: float
    high: float
    model: float


def model_and_data(points: Sequence[Point], labels: tuple[str, str], title: str) -> str:
    """Return a plot: dots with intervals for the data, and a line for the model."""
    if not points:
        return '<p class="none">There are no offers.</p>'
    top = max(max(each.high, each.model) for each in points)
    axes = _Axes(_padded([each.x for each in points]), (0.0, max(top * 1.05, 1.0)), labels)
    line = " ".join(f"{axes.x(each.x):.1f},{axes.y(each.model):.1f}" for each in points)
    body = [axes.frame(), f'<polyline points="{line}" stroke="{colour(1)}" class="line"/>']
    for each in points:
        x = f"{axes.x(each.x):.1f}"
        body.append(
            f'<line x1="{x}" x2="{x}" y1="{axes.y(each.low):.1f}" y2="{axes.y(each.high):.1f}" '
            f'stroke="{colour(0)}" stroke-width="2"/><circle cx="{x}" cy="{axes.y(each.y):.1f}" r="4.5" '
            f'fill="{colour(0)}"><title>data {number(each.y)} %, model {number(each.model)} %</title></circle>'
        )
    return _svg("".join(body), title)


def times(seconds: Sequence[float], model: Callable[[float], float], title: str, of: int = 0) -> str:
    """Return a plot of the share of cases that have ended by each time: steps for the data, dashes for the model.

    `seconds`: the times at which cases ended. `of`: the number of all cases, ended or
    not; 0 stands for `len(seconds)`, which means that all have ended.
    """
    if not seconds:
        return '<p class="none">There are no answers.</p>'
    ordered = sorted(seconds)
    longest, whole = ordered[math.ceil(0.98 * len(ordered)) - 1], of or len(ordered)
    lines = [(longest * step / 60, 100 * model(longest * step / 60)) for step in range(61)]
    top = max(100 * len(ordered) / whole, lines[-1][1])
    axes = _Axes((0.0, longest), (0.0, top * 1.05), ("seconds", "%"))
    steps = [(0.0, 0.0)]
    for rank, value in enumerate(ordered, start=1):
        if value <= longest:
            steps += [(value, steps[-1][1]), (value, 100.0 * rank / whole)]
    drawn = " ".join(f"{axes.x(x):.1f},{axes.y(y):.1f}" for x, y in _thinned(steps))
    dashed = " ".join(f"{axes.x(x):.1f},{axes.y(y):.1f}" for x, y in lines)
    body = (
        f'{axes.frame()}<polyline points="{drawn}" stroke="{colour(0)}" class="line"/>'
        f'<polyline points="{dashed}" stroke="{colour(1)}" class="line" stroke-dasharray="6 4"/>'
    )
    return _svg(body, title)
