"""Repeated warnings with the same text are limited. The tests set the clock."""

from __future__ import annotations

import logging
from types import SimpleNamespace

import pytest

from weelo_workers import log_rate_limit
from weelo_workers.log_rate_limit import RateLimitFilter


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return the clock: a list whose only element is the time."""
    at = [1000.0]
    monkeypatch.setattr(log_rate_limit, "time", SimpleNamespace(monotonic=lambda: at[0]))
    return at


def record(
    text: str = "no %s", level: int = logging.WARNING, *, exc_info: object = None
) -> logging.LogRecord:
    return logging.LogRecord("weelo", level, __file__, 1, text, ("answer",), exc_info)  # type: ignore[arg-type]


def test_one_warning_of_a_text_passes_and_the_next_one_counts_those_between(at: list[float]) -> None:
    limit = RateLimitFilter(10)
    assert limit.filter(record())
    at[0] += 9.9
    assert not limit.filter(record()) and not limit.filter(record())
    assert limit.filter(record("another text"))
    at[0] += 0.1
    later = record()
    assert limit.filter(later)
    assert later.getMessage() == "no answer (and 2 more before)"
    at[0] += 10
    last = record()
    assert limit.filter(last) and last.getMessage() == "no answer"


@pytest.mark.parametrize("other", [record(level=logging.ERROR), record(exc_info=(None, None, None))])
def test_errors_and_tracebacks_always_pass(at: list[float], other: logging.LogRecord) -> None:
    limit = RateLimitFilter(10)
    assert limit.filter(other) and limit.filter(other)
