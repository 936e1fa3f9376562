"""The codes with which a socket is closed. Code, documents and tests read them from here only."""

from __future__ import annotations

from enum import IntEnum
from typing import Self


class CloseCode(IntEnum):
    """A close code (RFC 6455, section 7.4), with when the server sends it and what the client should do then."""

    meaning: str
    remedy: str

    def __new__(cls, code: int, meaning: str, remedy: str) -> Self:
        member = int.__new__(cls, code)
        member._value_ = code
        member.meaning = meaning
        member.remedy = remedy
        return member

    NORMAL = (
        1000,
        "The client has closed the socket. The server answers with the code that the client sent, such as 1000.",
        "Nothing.",
    )
    GOING_AWAY = (1001, "The server restarts.", "Connect again after a random delay, and resume.")
    PROTOCOL_ERROR = (
        1002,
        "The client has sent bytes that are not a valid WebSocket frame (RFC 6455).",
        "Correct the client: this is an error of its WebSocket library, or of a proxy.",
    )
    INVALID_PAYLOAD = (1007, "A text frame or a close reason is not UTF-8.", "Correct the client.")
    POLICY_VIOLATION = (
        1008,
        "No answer came to a ping of the server (RFC 6455) before the next one was due 18 s later.",
        "Connect again, and resume. WebSocket libraries answer pings by themselves.",
    )
    INTERNAL_ERROR = (
        1011,
        "An unexpected error happened on the server.",
        "Connect again with back-off, and resume.",
    )
    TRY_AGAIN_LATER = (
        1013,
        "The user's log, or the keys that verify tokens, cannot be read at the moment.",
        "Connect again with back-off, and resume.",
    )
    UNAUTHORIZED = (
        4401,
        "No valid token came within 5 s, or the token has expired.",
        "Get a new token first, then connect again with it. Do not repeat the same one: it is refused again.",
    )
    FORBIDDEN = (
        4403,
        "The fresh token of an op `auth` is valid, but of another user or role.",
        "Open another socket for the other user.",
    )
    TOO_BIG = (4408, "A message was larger than 8 KiB.", "Send smaller messages.")
    TOO_MANY_SOCKETS = (
        4409,
        "The user has opened a sixth socket. The oldest one is closed.",
        "Do not connect again automatically: two apps that both do so would close each other's sockets.",
    )
    TOO_SLOW = (
        4413,
        "The client reads more slowly than events arrive.",
        "Connect again, and resume. Read frames without waiting for their processing.",
    )
    TOO_MANY = (4429, "More than 30 frames or 30 control frames came in a second.", "Send fewer frames.")
