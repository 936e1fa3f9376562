"""`report.html`: the comparison of policies as one page that loads nothing."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from html import escape
from pathlib import Path

from weelo_lab import plots
from weelo_lab.comparing import FIGURES, Comparison, Estimate, Figure
from weelo_lab.demand import Demand
from weelo_lab.policies import NAMES, NamedPolicy
from weelo_lab.report_style import CSS

UNKNOWN = (
    "Prices. They spread around the usual one, and fleets weigh them as the demand file says. Nobody bargains or stays away.",
    "Roads. Trucks drive straight lines at one speed: there is no traffic, no toll, no closed bridge.",
    "Word of mouth. Nobody here stays away tomorrow because a request was not filled today.",
    "Your people. How fleets answer comes from the demand file. If the file is wrong, so is the report.",
    "Races inside PostgreSQL. The lab executes one command at a time; tests with real concurrency look for races.",
)
"""What a report cannot know. It is part of every page, because a plot looks more certain than it is."""


SCRIPT = Path(__file__).with_name("film.js")
MINUS = "\u2212"


def page(comparison: Comparison, demand: Demand, policies: list[NamedPolicy]) -> str:
    """Return the page."""
    return "\n".join(
        (
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escape(demand.name)}: {escape(' against '.join(comparison.policies))}</title>",
            f"<style>{CSS}</style></head><body><main>",
            *_head(comparison, demand),
            *_findings(comparison),
            *_table(comparison),
            *_film(comparison),
            *_multiples(comparison),
            *_plots(comparison),
            *_unknown(),
            *_inputs(demand, policies),
            "</main></body></html>",
        )
    )


def _head(comparison: Comparison, demand: Demand) -> Iterator[str]:
    fleets = sum(group.count for group in demand.fleets)
    yield f"<h1>{escape(demand.name)}</h1>"
    yield (
        f'<p class="lead">{demand.requests:,} requests in {demand.hours:g} hours, {fleets:,} fleets, '
        f"{len(comparison.seeds)} seeds. Under every policy the same customers ask at the same times, and the same fleets "
        "see them with the same mind.</p>"
    )
    yield '<p class="legend">'
    for place, policy in enumerate(comparison.policies):
        yield f'<span><i style="background:{plots.colour(place)}"></i>{escape(policy)}</span>'
    yield "</p>"


def _findings(comparison: Comparison) -> Iterator[str]:
    yield "<h2>What differs</h2>"
    base = comparison.policies[0]
    if len(comparison.policies) == 1:
        yield "<p>There is only one policy, so nothing is compared.</p>"
    for policy in comparison.policies[1:]:
        yield f"<p><b>{escape(policy)}</b> against {escape(base)}:</p><ul class='findings'>"
        shown = 0
        for figure in FIGURES:
            found = comparison.difference(policy, figure.name)
            verdict = plots.verdict_of(found, figure.better)
            if verdict in ("better", "worse"):
                shown += 1
                yield f'<li class="{verdict}">{escape(figure.label)}: {_difference(found, figure)}</li>'
        if not shown:
            yield "<li>No difference is larger than chance explains.</li>"
        yield "</ul>"


def _table(comparison: Comparison) -> Iterator[str]:
    base, others = comparison.policies[0], comparison.policies[1:]
    yield "<h2>All figures</h2>"
    yield (
        "<p><small>Differences are taken seed by seed, then averaged. The line is the 95 % interval of their mean; each small "
        "dot is one seed. Green: better; red: worse; grey: the interval contains zero.</small></p>"
    )
    yield f'<div class="scroll"><table><thead><tr><th>Figure</th><th class="n">{escape(base)}</th>'
    for policy in others:
        yield f'<th class="n">{escape(policy)}</th><th class="n">Difference</th><th></th>'
    yield "</tr></thead><tbody>"
    for figure in FIGURES:
        yield f'<tr><td>{escape(figure.label)}</td><td class="n">{_mean(comparison.of(base, figure.name), figure)}</td>'
        for policy in others:
            found = comparison.difference(policy, figure.name)
            extent = max(
                (abs(each) for each in (*found.values, found.low or 0, found.high or 0)), default=0.0
            )
            yield f'<td class="n">{_mean(comparison.of(policy, figure.name), figure)}</td>'
            yield f'<td class="n {plots.verdict_of(found, figure.better)}">{_difference(found, figure)}</td>'
            yield f"<td>{plots.interval(found, extent, figure.better)}</td>"
        yield "</tr>"
    yield "</tbody></table></div>"


def _film(comparison: Comparison) -> Iterator[str]:
    filmed = {
        policy: run
        for policy, runs in comparison.runs.items()
        for run in runs.values()
        if run.film is not None
    }
    if not filmed:
        return
    seed = next(iter(filmed.values())).seed
    yield '<h2 id="film-title">One run as a film</h2>'
    yield (
        f'<p class="lead">The run of seed {seed}. A diamond is a request, its circle the ring; dots are fleets, squares the '
        "trucks of larger fleets. Blue: asked or open; green: won; red: ended without all trucks. The space bar plays and "
        "pauses; arrow keys move the time.</p>"
    )
    left_out = max(run.film["left_out"] for run in filmed.values() if run.film is not None)
    if left_out:
        yield f"<p><small>The film ends early: {left_out:,} later requests are left out.</small></p>"
    yield '<div id="film" role="group" aria-labelledby="film-title" class="film"><div class="controls">'
    yield '<button type="button" aria-pressed="false">Play</button>'
    yield '<label class="time">Time <output>–</output><input type="range" min="0" value="0"></label><label>Speed <select>'
    for factor in (10, 60, 300, 1_200):
        yield f'<option value="{factor}"{" selected" if factor == 60 else ""}>{factor:,} ×</option>'
    yield '</select></label></div><div class="maps">'
    for place, policy in enumerate(filmed):
        yield f'<figure><figcaption><b><i style="background:{plots.colour(place)}"></i>{escape(policy)}</b></figcaption>'
        yield f'<canvas role="img" aria-label="Map of the run under {escape(policy)}"></canvas><dl>'
        for name in ("requests so far", "open now", "offers", "trucks won"):
            yield f"<div><dt>{name}</dt><dd>–</dd></div>"
        yield "</dl><ol></ol></figure>"
    yield "</div></div>"
    data = json.dumps([run.film for run in filmed.values()], separators=(",", ":"), ensure_ascii=False)
    yield f'<script type="application/json" id="film-data">{data.replace("<", chr(92) + "u003c")}</script>'
    yield f"<script>{SCRIPT.read_text(encoding='utf-8')}</script>"


def _multiples(comparison: Comparison) -> Iterator[str]:
    """Return a small plot for each figure: a thin line for each seed, from policy to policy."""
    if len(comparison.policies) == 1 or len(comparison.seeds) == 1:
        return
    yield "<h2>Every seed</h2>"
    yield (
        "<p><small>A thin line is one seed under each policy; the thick line is the mean with its 95 % interval. Where most "
        "thin lines rise or fall together, the policy does it and not chance.</small></p>"
    )
    yield '<div class="multiples">'
    for figure in FIGURES:
        values = [
            [comparison.value(policy, seed, figure.name) for policy in comparison.policies]
            for seed in comparison.seeds
        ]
        means = [comparison.of(policy, figure.name) for policy in comparison.policies]
        svg = plots.paired(values, means, 100.0 if figure.is_share else 1.0, figure.label)
        found = comparison.difference(comparison.policies[-1], figure.name)
        verdict = plots.verdict_of(found, figure.better)
        unit = f", {figure.unit}" if figure.unit else ""
        yield f"<figure><figcaption><b>{escape(figure.label)}{unit}</b>"
        yield f'<span class="{verdict}">{_difference(found, figure)}</span></figcaption>{svg}</figure>'
    yield "</div>"


def trade(comparison: Comparison) -> str:
    """Return the plot of offers per filled slot against the median time to all trucks."""
    points = {
        policy: [
            (x, y)
            for run in of_policy.values()
            if (x := run.figures["offersPerFilledSlot"]) is not None
            and (y := run.figures["fullP50"]) is not None
        ]
        for policy, of_policy in comparison.runs.items()
    }
    labels = ("offers per filled slot", "median time to all trucks, s")
    return plots.scatter(points, labels, "offers per filled slot against the median time to all trucks")


def _plots(comparison: Comparison) -> Iterator[str]:
    runs = comparison.runs
    first = {
        policy: [value for run in of_policy.values() for value in run.details["first"]]
        for policy, of_policy in runs.items()
    }
    full = {
        policy: [value for run in of_policy.values() for value in run.details["full"]]
        for policy, of_policy in runs.items()
    }
    requests = {
        policy: sum(run.details["requests"] for run in of_policy.values())
        for policy, of_policy in runs.items()
    }
    rings: dict[str, Counter[str]] = {
        policy: sum((Counter(run.details["wonByRing"]) for run in of_policy.values()), Counter())
        for policy, of_policy in runs.items()
    }
    yield '<h2>Plots</h2><div class="plots">'
    yield _figure(
        "Disturbing fleets against waiting",
        "Each small dot is a seed, each large one the mean of a policy. Down and left is better.",
        trade(comparison),
    )
    yield _figure(
        "How soon the first truck is found",
        "Of all requests of all seeds, the share with a truck after so many seconds.",
        plots.cumulative(first, requests, "seconds after the request", "time to the first truck"),
    )
    yield _figure(
        "How soon all trucks are found",
        "Of all requests of all seeds, the share with all trucks after so many seconds.",
        plots.cumulative(full, requests, "seconds after the request", "time to all trucks"),
    )
    yield _figure(
        "Which ring wins",
        "Of all trucks won, the share of the ring whose offer won them.",
        plots.bars(rings, "share of trucks won by ring"),
    )
    yield "</div>"


def _figure(title: str, about: str, svg: str) -> str:
    return (
        f"<figure><figcaption><b>{escape(title)}</b><span>{escape(about)}</span></figcaption>{svg}</figure>"
    )


def _unknown() -> Iterator[str]:
    yield "<h2>What the lab does not know</h2><ul class='findings'>"
    for each in UNKNOWN:
        yield f"<li>{escape(each)}</li>"
    yield "</ul>"


def _inputs(demand: Demand, policies: list[NamedPolicy]) -> Iterator[str]:
    yield "<h2>Policies</h2><div class='scroll'><table><thead><tr><th>Value</th>"
    for policy in policies:
        yield f'<th class="n">{escape(policy.name)}</th>'
    yield "</tr></thead><tbody>"
    given = {policy.name: dict(policy.values) for policy in policies}
    for name in NAMES:
        if any(name in values for values in given.values()):
            cells = "".join(
                f'<td class="n">{escape(given[policy.name].get(name, "default"))}</td>' for policy in policies
            )
            yield f"<tr><td><code>{name}</code></td>{cells}</tr>"
    yield "</tbody></table></div><p><small>Values that no policy sets are the defaults of Weelo.</small></p>"
    yield "<h2>Fleets</h2><div class='scroll'><table><thead><tr><th class='n'>Fleets</th><th>Towns</th>"
    yield "<th class='n'>accept near</th><th class='n'>half at</th><th class='n'>answer after</th></tr></thead><tbody>"
    for group in demand.fleets:
        answers = group.answers
        yield (
            f'<tr><td class="n">{group.count:,}</td><td>{escape(", ".join(group.towns or ("all",)))}</td>'
            f'<td class="n">{answers.sees * answers.accepts:.0%}</td><td class="n">{answers.half_km:g} km</td>'
            f'<td class="n">{answers.seconds:g} s</td></tr>'
        )
    yield "</tbody></table></div>"


def _scaled(value: float, figure: Figure) -> float:
    return value * 100 if figure.is_share else value


def _mean(found: Estimate, figure: Figure) -> str:
    if found.mean is None:
        return "–"
    half = ""
    if found.high is not None and found.high > found.mean:
        half = f" ± {plots.number(_scaled(found.high - found.mean, figure))}"
    return f"{plots.number(_scaled(found.mean, figure))}{half} {figure.unit}".strip()


def _difference(found: Estimate, figure: Figure) -> str:
    if found.mean is None:
        return "–"
    mean = _signed(_scaled(found.mean, figure))
    unit = " points" if figure.is_share else f" {figure.unit}" if figure.unit else ""
    if found.low is None or found.high is None:
        return f"{mean}{unit}"
    ends = f"{_signed(_scaled(found.low, figure))} to {_signed(_scaled(found.high, figure))}"
    return f"{mean}{unit} ({ends})"


def _signed(value: float) -> str:
    sign = "+" if value > 0 else MINUS if value < 0 else ""
    return f"{sign}{plots.number(abs(value))}"
