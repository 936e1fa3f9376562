"""The columns of a mailbox row show whether an earlier attempt may have crashed its process."""

from __future__ import annotations

import pytest

from weelo_workers.messaging.crashes import may_have_crashed
from weelo_workers.models import MailboxRow


@pytest.mark.parametrize(
    ("queue", "crashes", "sweep_count", "suspected"),
    [
        ("offers", 0, 0, False),
        ("offers", 0, 1, True),
        ("offers", 1, 0, True),
        ("timers", 0, 1, False),
        ("timers", 0, 2, True),
        ("timers", 1, 0, True),
    ],
)
def test_a_crash_is_suspected_after_a_sweep_and_for_timers_after_two(
    queue: str, crashes: int, sweep_count: int, suspected: bool
) -> None:
    row = MailboxRow(queue=queue, crashes=crashes, sweep_count=sweep_count)
    assert may_have_crashed(row) is suspected
