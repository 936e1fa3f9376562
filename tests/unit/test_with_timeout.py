"""Callers of a function that may hang wait for a limited time, and calls that hang do not accumulate."""

from __future__ import annotations

import threading

import pytest

from tests.support.waiting import eventually
from weelo_workers.with_timeout import NoThread, WithTimeout


def test_the_result_and_the_exception_reach_the_caller() -> None:
    assert WithTimeout(lambda: 7)() == 7
    with pytest.raises(ZeroDivisionError):
        WithTimeout(lambda: 1 / 0)()


def test_while_a_call_hangs_others_wait_for_the_same_one_and_a_later_call_begins_anew() -> None:
    calls, release = [], threading.Event()

    def hang() -> int:
        calls.append(1)
        assert release.wait(10)
        return len(calls)

    limited = WithTimeout(hang, seconds=0.02)
    for _ in range(3):
        with pytest.raises(TimeoutError):
            limited()
    assert len(calls) == 1
    release.set()
    assert limited._call is not None
    eventually(limited._call.done)
    limited._seconds = 10
    assert limited() == 2


def test_a_call_for_which_no_thread_can_be_started_raises_and_a_later_one_begins_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    limited = WithTimeout(lambda: 7, seconds=0.5)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        for _ in range(2):
            with pytest.raises(NoThread, match="can't start new thread"):
                limited()
    assert limited() == 7
