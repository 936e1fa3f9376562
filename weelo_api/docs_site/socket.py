"""The content of `/docs/socket`: the limits and the close codes, as the server enforces them."""

from __future__ import annotations

from typing import Any

from weelo_api.websocket.close_codes import CloseCode
from weelo_api.websocket.inbound_limits import MAX_FRAME_BYTES, MAX_FRAMES_PER_SECOND
from weelo_api.websocket.transport import PING_SECONDS
from weelo_workers.notifications.socket_sessions import MAX_SOCKETS_PER_USER


def content() -> dict[str, Any]:
    return {
        "max_kib": MAX_FRAME_BYTES // 1024,
        "max_frames": MAX_FRAMES_PER_SECOND,
        "max_sockets": MAX_SOCKETS_PER_USER,
        "ping_seconds": int(PING_SECONDS),
        "close_codes": sorted(CloseCode),
    }
