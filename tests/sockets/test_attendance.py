"""Who is here is known to whoever decides about pushes."""

from __future__ import annotations

import threading
from uuid import uuid4

import pytest

from tests.waiting import eventually
from weelo_api import attendance
from weelo_api.attendance import Attendance, Seat
from weelo_workers.notifications import listening


def test_PUSH_01_who_has_just_come_is_known_to_be_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attendance, "EVERY_SECONDS", 60.0)
    here, stopped = Attendance(list[Seat]), threading.Event()
    thread = threading.Thread(target=here.keep, args=(stopped,))
    thread.start()
    try:
        for user in (uuid4(), uuid4()):
            here.arrive(user)
            eventually(lambda: listening.connected([user]), within=5)  # noqa: B023
    finally:
        stopped.set()
        here.arrive(uuid4())
        thread.join()
