"""The rate limit per caller, with a clock that the test sets."""

from __future__ import annotations

from types import SimpleNamespace
from uuid import uuid4

import pytest

from weelo_api.commands import rate_limit
from weelo_api.commands.rate_limit import TokenBuckets
from weelo_workers.contracts.rejections import Rejected


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return the clock: a list whose only element is the time."""
    at = [1000.0]
    monkeypatch.setattr(rate_limit, "time", SimpleNamespace(monotonic=lambda: at[0]))
    return at


@pytest.mark.parametrize(("per_second", "burst"), [(2.0, 20), (0.1, 1), (0.05, 1)])
def test_a_burst_is_ten_seconds_of_the_rate_and_at_least_one_command(
    at: list[float], per_second: float, burst: int
) -> None:
    buckets, caller_id = TokenBuckets(per_second), uuid4()
    for _ in range(burst):
        buckets.take(caller_id)
    with pytest.raises(Rejected) as refused:
        buckets.take(caller_id)
    assert refused.value.extra["retryAfter"] == pytest.approx(1 / per_second, abs=1)
    at[0] += refused.value.extra["retryAfter"]
    buckets.take(caller_id)


def test_a_bucket_is_forgotten_only_when_it_is_full(at: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_limit, "REMEMBERED_CALLERS", 1)
    buckets, caller_id = TokenBuckets(0.05), uuid4()
    buckets.take(caller_id)
    at[0] += 15  # the bucket becomes full only after 20 s
    with pytest.raises(Rejected):
        buckets.take(caller_id)


@pytest.mark.parametrize(
    ("per_second", "policy"),
    [
        (50.0, '"commands";q=500;w=10'),
        (0.25, '"commands";q=2;w=10'),
        (0.05, '"commands";q=1;w=20'),
        (0.3, '"commands";q=3;w=10'),
    ],
)
def test_the_policy_is_in_whole_numbers(per_second: float, policy: str) -> None:
    assert str(TokenBuckets(per_second).policy) == policy


def test_what_is_left_grows_with_time_and_never_beyond_a_full_bucket(at: list[float]) -> None:
    buckets, caller_id = TokenBuckets(2.0), uuid4()
    assert buckets.left(caller_id) == (20, 0)
    for _ in range(5):
        buckets.take(caller_id)
    assert buckets.left(caller_id) == (15, 3)
    at[0] += 1
    assert buckets.left(caller_id) == (17, 2)
    at[0] += 60
    assert buckets.left(caller_id) == (20, 0)
