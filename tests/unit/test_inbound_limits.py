"""What one WebSocket client may send, with a clock that the test sets."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from weelo_api.websocket import inbound_limits
from weelo_api.websocket.close_codes import CloseCode
from weelo_api.websocket.inbound_limits import (
    MAX_BYTES_PER_SECOND,
    MAX_FRAME_BYTES,
    MAX_FRAMES_PER_SECOND,
    InboundLimits,
)


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return the clock: a list whose only element is the time."""
    at = [1000.0]
    monkeypatch.setattr(inbound_limits, "time", SimpleNamespace(monotonic=lambda: at[0]))
    return at


@pytest.mark.parametrize("count", ["count_frame", "count_control"])
@pytest.mark.parametrize(
    ("seconds_later", "refused"), [(0.0, CloseCode.TOO_MANY), (0.9, CloseCode.TOO_MANY), (1.0, None)]
)
def test_a_second_holds_so_many_frames(
    at: list[float], count: str, seconds_later: float, refused: int | None
) -> None:
    limits = InboundLimits()
    for _ in range(MAX_FRAMES_PER_SECOND):
        getattr(limits, count)()
    assert limits.refused is None
    at[0] += seconds_later
    getattr(limits, count)()
    assert limits.refused == refused


def test_the_second_slides(at: list[float]) -> None:
    limits = InboundLimits()
    for tenth in range(20):
        at[0] = 1000 + tenth / 10
        for _ in range(3):
            limits.count_frame()
    assert limits.refused is None
    limits.count_frame()
    assert limits.refused == CloseCode.TOO_MANY


def test_control_frames_use_up_no_other_frames(at: list[float]) -> None:
    limits = InboundLimits()
    for _ in range(MAX_FRAMES_PER_SECOND):
        limits.count_frame()
        limits.count_control()
    assert limits.refused is None


@pytest.mark.parametrize(
    ("size", "refused"), [(MAX_FRAME_BYTES, None), (MAX_FRAME_BYTES + 1, CloseCode.TOO_BIG)]
)
def test_a_message_has_a_largest_size(size: int, refused: int | None) -> None:
    limits = InboundLimits()
    limits.count_message(size)
    assert limits.refused == refused


@pytest.mark.parametrize(("seconds_later", "refused"), [(0.9, CloseCode.TOO_MANY), (1.0, None)])
def test_a_second_holds_so_many_bytes(at: list[float], seconds_later: float, refused: int | None) -> None:
    limits = InboundLimits()
    limits.count_bytes(MAX_BYTES_PER_SECOND)
    assert limits.refused is None
    at[0] += seconds_later
    limits.count_bytes(1)
    assert limits.refused == refused


def test_the_first_reason_stays(at: list[float]) -> None:
    limits = InboundLimits()
    limits.count_message(MAX_FRAME_BYTES + 1)
    limits.count_bytes(MAX_BYTES_PER_SECOND + 1)
    assert limits.refused == CloseCode.TOO_BIG
