"""Random bytes, made from a seed, that no WebSocket library would send, and raw sockets to send them on."""

from __future__ import annotations

import json
import random
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from uuid import UUID

from wsproto.frame_protocol import FrameProtocol, Opcode

from tests.support import message_checks
from tests.support.tokens import token

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
OPS = (
    {"op": "ping"},
    {"op": "ack", "seq": 1},
    {"op": "resume", "after": 0},
    {"op": "heartbeat", "latitude": 28.6, "longitude": 77.2},
    {"op": "auth", "token": "x.y.z"},
)


def handshake(user_id: UUID | None) -> bytes:
    """Return a valid opening handshake, with this user's token or without one."""
    bearer = [f"Authorization: Bearer {token('transporter', user_id)}"] if user_id else []
    lines = [
        "GET /api/v1/ws HTTP/1.1",
        "Host: here",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        *bearer,
    ]
    return "\r\n".join([*lines, "", ""]).encode()


def frame(
    opcode: int,
    payload: bytes = b"",
    *,
    fin: bool = True,
    reserved: int = 0,
    masked: bool = True,
    length: int | None = None,
    form: int = 0,
) -> bytes:
    """Return the bytes of a frame, valid or not.

    `length`: the length that the header claims; None for the payload's. `form`: the number of bytes in which the header
    contains the length (1, 2 or 8); 0 for the smallest number that suffices.
    """
    claimed = len(payload) if length is None else length
    form = form or (1 if claimed < 126 else 2 if claimed < 65_536 else 8)
    first = (0x80 if fin else 0) | (reserved << 4) | opcode
    mark = 0x80 if masked else 0
    if form == 1:
        head = bytes([first, mark | (claimed & 0x7F)])
    elif form == 2:
        head = bytes([first, mark | 126]) + struct.pack("!H", claimed & 0xFFFF)
    else:
        head = bytes([first, mark | 127]) + struct.pack("!Q", claimed & (2**64 - 1))
    return head + (b"\0\0\0\0" if masked else b"") + payload  # a mask of zeros leaves the payload unchanged


# --- attacks --------------------------------------------------------------------------------------------

Attack = Callable[[random.Random], Iterator[bytes]]
ATTACKS: list[Attack] = []


def attack(function: Attack) -> Attack:
    ATTACKS.append(function)
    return function


@attack
def random_bytes(chance: random.Random) -> Iterator[bytes]:
    for _ in range(chance.randint(1, 4)):
        yield chance.randbytes(chance.choice([1, 2, 7, 100, 5_000, 60_000]))


@attack
def random_frames(chance: random.Random) -> Iterator[bytes]:
    """Yield frames with any opcode, reserved bits and length, masked or not."""
    for _ in range(chance.randint(1, 8)):
        yield frame(
            chance.randrange(16),
            chance.randbytes(chance.choice([0, 1, 2, 125, 126, 127, 1_000, 70_000])),
            fin=chance.random() < 0.7,
            reserved=chance.choice([0, 0, 0, 1, 2, 4, 7]),
            masked=chance.random() < 0.9,
            length=chance.choice([None, None, None, 0, 5, 126, 65_536, 2**40, 2**63 - 1, 2**63, 2**64 - 1]),
            form=chance.choice([0, 0, 1, 2, 8]),
        )


@attack
def wrong_fragments(chance: random.Random) -> Iterator[bytes]:
    """Yield fragments in any order, control frames among them, and fragmented control frames."""
    ping = json.dumps(OPS[0]).encode()
    for _ in range(chance.randint(2, 12)):
        opcode = chance.choice([CONTINUATION, CONTINUATION, TEXT, BINARY, PING, PONG])
        payload = chance.choice([b"", ping, ping[:5], ping[5:], "ट".encode()[:2], "ट".encode()[2:]])
        yield frame(opcode, payload, fin=chance.random() < 0.5)


@attack
def wrong_control_frames(chance: random.Random) -> Iterator[bytes]:
    """Yield control frames of more than 125 bytes, with longer length fields than needed, or fragmented."""
    for _ in range(chance.randint(1, 5)):
        size = chance.choice([0, 1, 125, 126, 127, 300, 70_000])
        yield frame(
            chance.choice([CLOSE, PING, PONG, 11, 15]),
            chance.randbytes(size),
            fin=chance.random() < 0.8,
            form=chance.choice([0, 0, 1, 2, 8]),
        )


@attack
def closes(chance: random.Random) -> Iterator[bytes]:
    """Yield a close frame with any code and reason, and frames after it."""
    codes = [
        0,
        1,
        999,
        1000,
        1001,
        1004,
        1005,
        1006,
        1007,
        1010,
        1014,
        1015,
        1016,
        2999,
        3000,
        4401,
        4999,
        5000,
        65_535,
    ]
    reason = chance.choice([b"", b"bye", b"\xff\xfe", "ट".encode()[:2], b"x" * 123])
    yield frame(CLOSE, chance.choice([b"", b"\x03", struct.pack("!H", chance.choice(codes)) + reason]))
    for _ in range(chance.randint(0, 3)):
        yield frame(chance.choice([TEXT, PING, CLOSE, 3]), b"after")


@attack
def text_that_is_not_utf_8(chance: random.Random) -> Iterator[bytes]:
    broken = chance.choice(
        [b"\xff", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", "ट".encode()[:2], b"\x80"]
    )
    text = json.dumps(chance.choice(OPS)).encode()
    cut = chance.randrange(len(text))
    damaged = text[:cut] + broken + text[cut:]
    middle = chance.randrange(len(damaged))
    if chance.random() < 0.5:
        yield frame(TEXT, damaged)
    else:
        yield frame(TEXT, damaged[:middle], fin=False)
        yield frame(CONTINUATION, damaged[middle:])


@attack
def damaged_ops(chance: random.Random) -> Iterator[bytes]:
    """Yield ops in which a byte was changed, removed or inserted, and JSON of other shapes."""
    for _ in range(chance.randint(1, 10)):
        text = bytearray(json.dumps(chance.choice(OPS)).encode())
        at = chance.randrange(len(text))
        match chance.randrange(4):
            case 0:
                text[at] = chance.randrange(32, 127)
            case 1:
                del text[at]
            case 2:
                text[at:at] = bytes([chance.randrange(32, 127)]) * chance.choice([1, 3, 4_000])
            case 3:
                text = bytearray(
                    chance.choice(
                        [
                            b"[" * 8_000,
                            b'{"op":' * 1_300,
                            b"1" * 8_000,
                            b"null",
                            b'"\\ud800"',
                            b'{"op":"ping","op":"ping"}',
                        ]
                    )
                )
        yield frame(chance.choice([TEXT, TEXT, TEXT, BINARY]), bytes(text))


@attack
def giant_frames(chance: random.Random) -> Iterator[bytes]:
    size = chance.choice([8_193, 100_000, 3_000_000])
    yield frame(chance.choice([TEXT, BINARY]), b"x" * size, length=size + chance.choice([0, 0, 1, 10**9]))


@attack
def many_small_frames(chance: random.Random) -> Iterator[bytes]:
    kind = chance.choice([TEXT, PING, PONG, CONTINUATION])
    if kind == CONTINUATION:
        yield frame(TEXT, b"", fin=False)
    yield frame(kind, b"{}" if kind == TEXT else b"", fin=kind != CONTINUATION) * chance.choice(
        [10, 100, 5_000]
    )


@attack
def a_frame_in_pieces(chance: random.Random) -> Iterator[bytes]:
    """Yield a frame with an op, byte by byte. It may lack its end, or have a longer length field than allowed."""
    whole = frame(TEXT, json.dumps(chance.choice(OPS)).encode(), form=chance.choice([1, 1, 2]))
    for byte in whole[: chance.choice([len(whole), chance.randrange(len(whole))])]:
        yield bytes([byte])


# --- sockets --------------------------------------------------------------------------------------------


@dataclass
class RawSocket:
    """A client's end of a connection to the API. It sends any bytes, and parses the server's frames."""

    port: int
    user_id: UUID | None
    line: socket.socket = field(init=False)

    def __post_init__(self) -> None:
        self.line = socket.create_connection(("127.0.0.1", self.port), timeout=20)

    def upgrade(self) -> bool:
        """Send the handshake and return whether the server has accepted it."""
        self.line.sendall(handshake(self.user_id))
        answer = b""
        while b"\r\n\r\n" not in answer:
            if not (chunk := self.line.recv(1)):
                return False
            answer += chunk
        return answer.startswith(b"HTTP/1.1 101 ")

    def send(self, data: bytes) -> None:
        """Send bytes, unless the server has closed the connection."""
        with suppress(ConnectionError):
            self.line.sendall(data)

    def end(self, how: str) -> None:
        """End the connection: `half-closed` ends the sending direction only, `reset` and `closed` end both directions."""
        if how == "half-closed":
            with suppress(OSError):  # the server may have closed the connection
                self.line.shutdown(socket.SHUT_WR)
            return
        if how == "reset":
            self.line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.line.close()

    def read_to_the_end(self, within: float) -> int | None:
        """Read until the server closes, check every frame, and return the close code; None if there was no close frame.

        Raises TimeoutError if the server does not close.
        """
        server, text, close_code = FrameProtocol(client=True, extensions=[]), "", None
        deadline = time.monotonic() + within
        with suppress(ConnectionError):
            while True:
                self.line.settimeout(max(0.01, deadline - time.monotonic()))
                if not (chunk := self.line.recv(65_536)):
                    break
                server.receive_bytes(chunk)
                for each in server.received_frames():
                    if each.opcode is Opcode.TEXT:
                        text += each.payload
                        if each.message_finished:
                            message_checks.check_frame(text)
                            text = ""
                    elif each.opcode is Opcode.CLOSE:
                        close_code = int(each.payload[0])
        return close_code
