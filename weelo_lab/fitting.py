"""Fits the model of answers to observed offers, by maximum likelihood.

An offer is observed until its broadcast ends. A fleet that would have answered later is counted by the probability that
its answer had not arrived by then, so fast competitors do not make slow fleets look unwilling.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from weelo_lab.habits import HOURS_OF_A_DAY, Answers

ACCEPT, DECLINE, NOTHING = "accept", "decline", "nothing"
STEPS = 60
TINY = 1e-12
OFFERS_OF_AN_HOUR = 60.0
"""With this many expected accepts, the factor of an hour is half the observed one and half 1."""


@dataclass(frozen=True, slots=True)
class Observed:
    """An offer and its answer.

    `shown_seconds`: the time for which the offer was shown. `seconds`: the time from the offer to the answer, or
    `shown_seconds` if there was no answer.
    """

    km: float
    busy: float
    price_ratio: float
    hour: int
    answer: str
    seconds: float
    shown_seconds: float


@dataclass(frozen=True, slots=True)
class Parameter:
    """A fitted value with the ends of its 95 % interval."""

    name: str
    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Fit:
    """The fitted model. `answers`: its values. A value that offers do not show is the one with which the fit began."""

    answers: Answers
    parameters: tuple[Parameter, ...]
    offers: int


@dataclass(frozen=True, slots=True)
class _Scale:
    """A parameter, converted to a scale without limits for the fit.

    `inwards` converts a value to this scale, and `outwards` converts it back. `doubt`: the standard deviation of a weak
    prior on this scale, whose mean is the value with which the fit begins.
    """

    name: str
    inwards: Callable[[float], float]
    outwards: Callable[[float], float]
    doubt: float


def _logit(share: float) -> float:
    share = min(max(share, 1e-6), 1 - 1e-6)
    return math.log(share / (1 - share))


def _share(value: float) -> float:
    return 1 / (1 + math.exp(-min(max(value, -40.0), 40.0)))


def _log(value: float) -> float:
    return math.log(max(value, 1e-6))


def _exp(value: float) -> float:
    return math.exp(min(max(value, -40.0), 40.0))


def _same(value: float) -> float:
    return value


_SCALES = (
    _Scale("sees", _logit, _share, 2.0),
    _Scale("accepts", _logit, _share, 2.0),
    _Scale("half_km", _log, _exp, 2.0),
    _Scale("load", _logit, _share, 2.0),
    _Scale("price", _same, _same, 2.0),
    _Scale("declines", _logit, _share, 2.0),
    _Scale("seconds", _log, _exp, 3.0),
    _Scale("seconds_per_km", _log, _exp, 3.0),
    _Scale("spread", _log, _exp, 2.0),
)
NAMES = tuple(scale.name for scale in _SCALES)


def fit(offers: Sequence[Observed], start: Answers | None = None) -> Fit:
    """Return the model that makes these answers most likely. Raises ValueError without an accept."""
    begin = start or Answers()
    if not any(each.answer == ACCEPT for each in offers):
        raise ValueError("no offer was accepted, so there is nothing to fit")
    by_hour = [1.0] * HOURS_OF_A_DAY
    theta = [scale.inwards(float(getattr(begin, scale.name))) for scale in _SCALES]
    prior = list(theta)
    spreads: list[float] = []
    # The hours' factors are computed from the model, and the model from the factors, so both are computed in turn.
    for _ in range(2):
        theta, spreads = _climb(offers, theta, prior, by_hour)
        by_hour = _factors(offers, _answers(theta, begin, None))
    theta, spreads = _climb(offers, theta, prior, by_hour)
    found = _answers(theta, begin, tuple(round(each, 3) for each in by_hour))
    parameters = tuple(
        Parameter(
            scale.name,
            scale.outwards(value),
            scale.outwards(value - 1.96 * spread),
            scale.outwards(value + 1.96 * spread),
        )
        for scale, value, spread in zip(_SCALES, theta, spreads, strict=True)
    )
    return Fit(found, parameters, len(offers))


def arrived(answers: Answers, km: float, seconds: float) -> float:
    """Return the probability that an answer arrives within `seconds`, if the fleet answers at all."""
    return _lognormal(seconds, answers.median_seconds(km), max(answers.spread, 1e-3))[0]


def _answers(theta: Sequence[float], begin: Answers, by_hour: tuple[float, ...] | None) -> Answers:
    values = {
        scale.name: float(f"{scale.outwards(each):.4g}") for scale, each in zip(_SCALES, theta, strict=True)
    }
    values["price"] = min(10.0, max(0.0, values["price"]))
    return Answers.model_validate(begin.model_dump() | values | {"by_hour": by_hour})


def _lognormal(seconds: float, median: float, spread: float) -> tuple[float, float]:
    """Return the lognormal distribution function and its density at `seconds`."""
    if seconds <= 0:
        return 0.0, TINY
    z = (math.log(seconds) - math.log(max(median, 1e-6))) / spread
    density = math.exp(-0.5 * z * z) / (seconds * spread * math.sqrt(2 * math.pi))
    return 0.5 * math.erfc(-z / math.sqrt(2)), density


def _likelihood(theta: Sequence[float], offer: Observed, factor: float) -> float:
    """Return the logarithm of the probability of this offer's answer, for the parameters `theta`."""
    sees, accepts, declines = _share(theta[0]), _share(theta[1]), _share(theta[5])
    half, load, price = _exp(theta[2]), _share(theta[3]), theta[4]
    asked = accepts * 0.5 ** (offer.km / half) * (1 - load * offer.busy) * factor
    willing = min(1.0, asked * offer.price_ratio ** min(max(price, -20.0), 20.0))
    median = _exp(theta[6]) + _exp(theta[7]) * offer.km
    by_then, density = _lognormal(offer.seconds, median, _exp(theta[8]))
    accept, decline = sees * willing, sees * (1 - willing) * declines
    if offer.answer == ACCEPT:
        return math.log(max(accept * density, TINY))
    if offer.answer == DECLINE:
        return math.log(max(decline * density, TINY))
    return math.log(max(1 - (accept + decline) * by_then, TINY))


def _climb(
    offers: Sequence[Observed], begin: Sequence[float], prior: Sequence[float], by_hour: Sequence[float]
) -> tuple[list[float], list[float]]:
    """Return the parameters of the highest likelihood, and their standard deviations (Berndt, Hall, Hall and Hausman 1974).

    The matrix of second derivatives is replaced by the sum of the products of each offer's first derivatives.
    """
    theta, count = list(begin), len(begin)

    def total(at: Sequence[float]) -> float:
        doubts = zip(at, prior, _SCALES, strict=True)
        weak = sum(((value - mean) / scale.doubt) ** 2 for value, mean, scale in doubts)
        return math.fsum(_likelihood(at, each, by_hour[each.hour]) for each in offers) - 0.5 * weak

    best, damping = total(theta), 1e-3
    matrix: list[list[float]] = []
    for _ in range(STEPS):
        slope = [(prior[i] - theta[i]) / _SCALES[i].doubt ** 2 for i in range(count)]
        matrix = [[_SCALES[i].doubt ** -2 if i == j else 0.0 for j in range(count)] for i in range(count)]
        for offer in offers:
            _add_products(theta, offer, by_hour[offer.hour], slope, matrix)
        better = False
        while damping < 1e6:
            damped = [
                [cell * (1 + damping) if i == j else cell for j, cell in enumerate(row)]
                for i, row in enumerate(matrix)
            ]
            step = solve(damped, slope)
            moved = [value + change for value, change in zip(theta, step, strict=True)]
            if (reached := total(moved)) > best:
                better = reached - best > 1e-4
                theta, best, damping = moved, reached, damping / 5
                break
            damping *= 5
        if not better:
            break
    spreads = [math.sqrt(max(solve(matrix, _unit(i, count))[i], 0.0)) for i in range(count)]
    return theta, spreads


def _add_products(
    theta: Sequence[float], offer: Observed, factor: float, slope: list[float], matrix: list[list[float]]
) -> None:
    """Add the derivatives of one offer's likelihood to the slope, and their products to the matrix."""
    here, width, own = _likelihood(theta, offer, factor), 1e-5, []
    for place in range(len(theta)):
        beside = list(theta)
        beside[place] += width
        own.append((_likelihood(beside, offer, factor) - here) / width)
    for i, one in enumerate(own):
        slope[i] += one
        row = matrix[i]
        for j, other in enumerate(own):
            row[j] += one * other


def _factors(offers: Sequence[Observed], model: Answers) -> list[float]:
    """Return the factor of each hour: the observed accepts divided by those that a model without factors expects.

    The factor of an hour with few offers is moved towards 1.
    """
    seen, expected = [0.0] * HOURS_OF_A_DAY, [0.0] * HOURS_OF_A_DAY
    for each in offers:
        willing = model.willingness(each.km, each.busy, each.price_ratio, each.hour)
        if each.answer == NOTHING:
            # No answer arrived before the broadcast ended. This adds the probability that an accept would have come.
            hidden = model.sees * willing * (1 - arrived(model, each.km, each.seconds))
            by_then = arrived(model, each.km, each.seconds)
            answers = model.sees * (willing + (1 - willing) * model.declines)
            seen[each.hour] += hidden / max(TINY, 1 - answers * by_then)
        elif each.answer == ACCEPT:
            seen[each.hour] += 1
        expected[each.hour] += model.sees * willing
    weight = OFFERS_OF_AN_HOUR
    raw = [(a + weight) / (b + weight) if b else 1.0 for a, b in zip(seen, expected, strict=True)]
    whole = sum(expected) or 1.0
    mean = sum(factor * part for factor, part in zip(raw, expected, strict=True)) / whole
    return [factor / mean if part else 1.0 for factor, part in zip(raw, expected, strict=True)]


def _unit(place: int, count: int) -> list[float]:
    return [1.0 if each == place else 0.0 for each in range(count)]


def solve(matrix: Sequence[Sequence[float]], right: Sequence[float]) -> list[float]:
    """Return the solution of linear equations (Gauss, with pivots). The matrix must be regular."""
    rows = [[*row, value] for row, value in zip(matrix, right, strict=True)]
    count = len(rows)
    for place in range(count):
        pivot = max(range(place, count), key=lambda each: abs(rows[each][place]))
        rows[place], rows[pivot] = rows[pivot], rows[place]
        for below in range(place + 1, count):
            factor = rows[below][place] / rows[place][place]
            for column in range(place, count + 1):
                rows[below][column] -= factor * rows[place][column]
    solution = [0.0] * count
    for place in reversed(range(count)):
        known = sum(rows[place][column] * solution[column] for column in range(place + 1, count))
        solution[place] = (rows[place][count] - known) / rows[place][place]
    return solution
