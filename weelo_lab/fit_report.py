"""`fit.html`: the fitted model of answers beside the data to which it was fitted, as one page that loads nothing."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from html import escape

from weelo_lab import plots
from weelo_lab.fitting import ACCEPT, DECLINE, Fit, Observed, arrived
from weelo_lab.observing import Observations
from weelo_lab.report_style import CSS

BINS = 8
LABELS = {
    "sees": "share of offers that a fleet sees",
    "accepts": "accepts at the pickup, all trucks free, usual price",
    "half_km": "kilometres that halve it",
    "load": "how much smaller with all trucks on the road",
    "price": "elasticity of the price",
    "declines": "share of the others that decline",
    "seconds": "median seconds until the answer, at the pickup",
    "seconds_per_km": "seconds more per kilometre",
    "spread": "spread of the times (of their logarithm)",
}


def page(fit: Fit, seen: Observations) -> str:
    """Return the page."""
    return "\n".join(
        (
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>How fleets answer</title><style>{CSS}</style></head><body><main>",
            *_head(seen),
            *_plots(fit, seen.offers),
            *_table(fit),
            *_limits(seen),
            "</main></body></html>",
        )
    )


def _head(seen: Observations) -> Iterator[str]:
    accepts = sum(each.answer == ACCEPT for each in seen.offers)
    declines = sum(each.answer == DECLINE for each in seen.offers)
    yield "<h1>How fleets answer</h1>"
    yield (
        f'<p class="lead">Fitted to {len(seen.offers):,} offers with {accepts:,} accepts and {declines:,} declines. '
        "Dots are the data, with 95 % intervals; lines are the model for the same offers.</p>"
    )


def _plots(fit: Fit, offers: Sequence[Observed]) -> Iterator[str]:
    model = fit.answers

    def expected(each: Observed) -> float:
        willing = model.willingness(each.km, each.busy, each.price_ratio, each.hour)
        return model.sees * willing * arrived(model, each.km, each.shown_seconds)

    panels: tuple[tuple[str, str, Callable[[Observed], float]], ...] = (
        ("By distance", "kilometres to the pickup", lambda each: each.km),
        ("By load", "share of the fleet's trucks on the road, %", lambda each: 100 * each.busy),
        ("By price", "price / usual price", lambda each: each.price_ratio),
        ("By hour", "hour of the day", lambda each: each.hour + 0.5),
    )
    yield '<h2>Accepts that arrive while the offer is shown</h2><div class="plots">'
    for title, label, of in panels:
        points = [_point(group, of, expected) for group in _bins(offers, of)]
        svg = plots.model_and_data(points, (label, "offers accepted, %"), title)
        yield f"<figure><figcaption><b>{title}</b></figcaption>{svg}</figure>"
    yield "</div><h2>Times until the answer</h2><div class='plots'>"
    steps = sorted(each.seconds for each in offers if each.answer in (ACCEPT, DECLINE))
    svg = plots.times(steps, lambda at: _answered_by(fit, offers, at), "times until the answer", len(offers))
    yield (
        "<figure><figcaption><b>How soon answers arrive</b><span>Of all offers, the share with an answer after so many "
        f"seconds: data (steps) and model (dashes).</span></figcaption>{svg}</figure></div>"
    )


def _bins(offers: Sequence[Observed], of: Callable[[Observed], float]) -> list[list[Observed]]:
    """Return the offers in groups of about the same size, sorted by the value `of`. Equal values are in one group."""
    ordered = sorted(offers, key=of)
    size, groups = max(1, math.ceil(len(ordered) / BINS)), list[list[Observed]]()
    for each in ordered:
        if not groups or (len(groups[-1]) >= size and of(groups[-1][-1]) != of(each)):
            groups.append([])
        groups[-1].append(each)
    return groups


def _point(
    group: Sequence[Observed], of: Callable[[Observed], float], expected: Callable[[Observed], float]
) -> plots.Point:
    share = sum(each.answer == ACCEPT for each in group) / len(group)
    low, high = wilson(share, len(group))
    x = math.fsum(map(of, group)) / len(group)
    return plots.Point(
        x, 100 * share, 100 * low, 100 * high, 100 * math.fsum(map(expected, group)) / len(group)
    )


def wilson(share: float, count: int) -> tuple[float, float]:
    """Return the 95 % confidence interval of a share that was observed in `count` cases (Wilson 1927)."""
    z = 1.96
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    return max(0.0, middle - half), min(1.0, middle + half)


def _answered_by(fit: Fit, offers: Sequence[Observed], seconds: float) -> float:
    """Return the share of the offers that, by the model, get an answer within `seconds`, while they are shown."""
    model, sample = fit.answers, offers[:1_000]
    expected = 0.0
    for each in sample:
        willing = model.willingness(each.km, each.busy, each.price_ratio, each.hour)
        answers = model.sees * (willing + (1 - willing) * model.declines)
        expected += answers * arrived(model, each.km, min(seconds, each.shown_seconds))
    return expected / len(sample)


def _table(fit: Fit) -> Iterator[str]:
    yield "<h2>Values</h2><div class='scroll'><table><thead><tr><th>Value</th><th></th><th class='n'>fitted</th>"
    yield "<th class='n'>95 % interval</th></tr></thead><tbody>"
    for each in fit.parameters:
        yield (
            f"<tr><td><code>{each.name}</code></td><td>{escape(LABELS[each.name])}</td>"
            f'<td class="n">{plots.number(each.value)}</td>'
            f'<td class="n">{plots.number(each.low)} to {plots.number(each.high)}</td></tr>'
        )
    yield "</tbody></table></div>"


def _limits(seen: Observations) -> Iterator[str]:
    yield "<h2>What this fit does not show</h2><ul class='findings'>"
    yield (
        "<li>A fleet that did not see an offer looks like one that saw it and did nothing. <code>sees</code> follows only "
        "from how accepts and declines change together, so its interval is wide. The product of <code>sees</code> and "
        "<code>accepts</code> is known better than either.</li>"
    )
    yield "<li>Accepts that came too late are known only as long as the mailbox keeps their commands.</li>"
    yield "<li>Customers' patience is not fitted, and all fleets have one model.</li>"
    if seen.price is None:
        yield "<li>Fewer than 20 requests name a price, so nothing is known about prices.</li>"
    yield "</ul>"
