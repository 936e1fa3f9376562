"""A worker logs once that beat has stopped, and once that beat sweeps again."""

from __future__ import annotations

import pytest

from weelo_workers.doctor.stopped_beat import StoppedBeatLog


def lines(caplog: pytest.LogCaptureFixture, *seconds: float | None) -> list[str]:
    log = StoppedBeatLog()
    for each in seconds:
        log.note(each)
    return [record.getMessage() for record in caplog.records]


def test_a_stopped_beat_is_logged_once_and_so_is_its_return(caplog: pytest.LogCaptureFixture) -> None:
    assert lines(caplog, 1, 16, 21, 26, 31, 1, 2) == [
        "beat: it has not swept for 21 s; lost messages and late timers are not executed",
        "beat sweeps again",
    ]


def test_a_single_late_look_and_a_system_that_starts_are_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    assert lines(caplog, None, None, 16, 1, 300, 0) == []
