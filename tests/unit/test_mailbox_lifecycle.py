"""After each failed attempt a command waits longer for the next attempt. After five failures it is parked."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from weelo_workers.lifecycles.mailbox import (
    MAX_RETRY_DELAY_SECONDS,
    MailboxState as S,
    after_failure,
    state_of,
)

NOW = datetime(2026, 2, 19, 10, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("attempts", "crashes", "is_timer", "seconds", "parked"),
    [
        (1, 0, False, 1, False),
        (0, 1, False, 1, False),
        (2, 0, False, 2, False),
        (1, 1, False, 2, False),
        (3, 0, False, 4, False),
        (4, 0, False, 8, False),
        (2, 2, False, 8, False),
        (5, 0, False, 16, True),
        (0, 5, False, 16, True),
        (3, 2, False, 16, True),
        (6, 0, False, 32, True),
        (5, 0, True, 16, False),
        (0, 9, True, 256, False),
        (10, 0, True, 300, False),
        (1_000, 1_000, True, 300, False),
    ],
)
def test_after_so_many_failures_and_crashes(
    attempts: int, crashes: int, is_timer: bool, seconds: int, parked: bool
) -> None:
    then = after_failure(attempts=attempts, crashes=crashes, is_timer=is_timer, now=NOW, spread=1.0)
    assert (then.retry_at - NOW).total_seconds() == seconds <= MAX_RETRY_DELAY_SECONDS
    assert then.parked is parked


@pytest.mark.parametrize(("spread", "seconds"), [(0.75, 3.0), (1.0, 4.0), (1.25, 5.0)])
def test_the_spread_stretches_the_pause(spread: float, seconds: float) -> None:
    then = after_failure(attempts=3, crashes=0, is_timer=False, now=NOW, spread=spread)
    assert (then.retry_at - NOW).total_seconds() == seconds


@pytest.mark.parametrize(
    ("settled_as", "parked", "attempts", "crashes", "state"),
    [
        (None, False, 0, 0, S.WAITING),
        (None, False, 0, 1, S.WAITING),
        (None, False, 0, 2, S.RETRYING),
        (None, False, 1, 0, S.RETRYING),
        (None, True, 5, 0, S.PARKED),
        (None, True, 0, 5, S.PARKED),
        ("succeeded", False, 4, 1, S.SUCCEEDED),
        ("rejected", False, 0, 0, S.REJECTED),
    ],
)
def test_the_state_follows_from_the_columns(
    settled_as: str | None, parked: bool, attempts: int, crashes: int, state: S
) -> None:
    assert state_of(settled_as=settled_as, parked=parked, attempts=attempts, crashes=crashes) is state
