"""The content of `/docs/socket`: the limits as the server enforces them, and the close codes of the AsyncAPI document."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from weelo_api.websocket import asyncapi
from weelo_api.websocket.inbound_limits import MAX_FRAME_BYTES, MAX_FRAMES_PER_SECOND
from weelo_api.websocket.transport import PING_SECONDS
from weelo_workers.notifications.socket_sessions import MAX_SOCKETS_PER_USER

_RECONNECT = "Connect again, waiting longer each time, with jitter; then resume."

_REMEDIES = {
    4401: "Get a new token first, then connect again and resume.",
    4403: "Do not connect again with this token.",
    4408: "Correct the app: send smaller frames.",
    4409: "Do not connect again by itself: the user has newer sockets.",
    4429: "Correct the app: send fewer frames, such as one ack every 0.3 s. Then connect again and resume.",
}
"""What an app does after a close code, if it is not to connect again."""


@dataclass(frozen=True, slots=True)
class CloseCode:
    code: int
    meaning: str
    remedy: str


def content() -> dict[str, Any]:
    return {
        "max_kib": MAX_FRAME_BYTES // 1024,
        "max_frames": MAX_FRAMES_PER_SECOND,
        "max_sockets": MAX_SOCKETS_PER_USER,
        "ping_seconds": int(PING_SECONDS),
        "close_codes": close_codes(),
    }


def close_codes() -> list[CloseCode]:
    """Return the close codes that the AsyncAPI document names, sorted."""
    channel = asyncapi.document()["channels"]["events"]
    named = channel.get("x-close-codes") or _from_description(channel["description"])
    return sorted(
        (CloseCode(each["code"], each["meaning"], each["remedy"]) for each in named),
        key=lambda each: each.code,
    )


def _from_description(description: str) -> Iterator[dict[str, Any]]:
    for code, meaning in re.findall(r"(?<!\d)([14]\d{3}): ([^;]+)", description):
        yield {"code": int(code), "meaning": meaning, "remedy": _REMEDIES.get(int(code), _RECONNECT)}
