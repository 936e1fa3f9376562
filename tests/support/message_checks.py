"""Compares all frames, ops, close codes and pushes of tests with asyncapi.json, and records the deviations.

`install` checks all sockets of the library websocket-client in this process; the reference client uses that library. Other
sockets, and the stand-ins for FCM and for the endpoints of webhooks, call `check_frame`, `check_op`, `check_close` and
`check_push` themselves. These functions only store the messages, so that tests which measure time are not delayed. `finish`
checks the stored messages.
"""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from typing import Any
from weakref import WeakSet

import websocket
from jsonschema import Draft7Validator, FormatChecker
from websocket import ABNF

from tests.support import deviations

STAND_INS: set[str] = set()
"""Events that exist only in tests, which need events of any size and in any number. Their data is not checked."""

_formats = FormatChecker(formats=["uuid"])


@_formats.checks("date-time")  # type: ignore[untyped-decorator]
def _is_time(value: object) -> bool:
    """Return whether a text has the form of all times of the contract: UTC with milliseconds."""
    return not isinstance(value, str) or bool(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", value))


_kept: deque[tuple[Callable[[Any], list[str]], Any]] = deque()
_scripted_ports: set[int] = set()

MAX_KEPT = 50_000


# --- one message ----------------------------------------------------------------------------------------


def problems_of(message: str, payload: Any) -> list[str]:
    """Return how a payload deviates from the message of this name in asyncapi.json; empty if it conforms."""
    if message not in _document()["components"]["messages"]:
        return [f"{message} is not in asyncapi.json"]
    errors = _validator(message).iter_errors(payload)
    return [f"{message}: {error.message[:300]} at {error.json_path}" for error in errors]


def schema_of(message: str) -> dict[str, Any]:
    """Return the schema of a message's payload, in which no object may have a field that is not documented."""
    components = _document()["components"]
    schema: dict[str, Any] = _closed(components["messages"][message]["payload"])
    return {**schema, "components": {"schemas": _closed(components["schemas"])}}


@lru_cache
def _validator(message: str) -> Draft7Validator:
    return Draft7Validator(schema_of(message), format_checker=_formats)


@lru_cache
def _document() -> dict[str, Any]:
    # The product is imported here, because tests import this module before they set the environment.
    from weelo_api.websocket.asyncapi import document

    return document()


def _closed(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {name: _closed(each) for name, each in schema.items()}
    if closed.get("type") == "object" and "properties" in closed:
        closed.setdefault("additionalProperties", False)
    return closed


# --- messages that tests see ----------------------------------------------------------------------------


def check_frame(frame: Any) -> None:
    """Check a frame of the server, as JSON text or parsed."""
    _keep(_problems_of_frame, frame)


def check_op(op: dict[str, Any]) -> None:
    """Check a message of a client that must only send documented messages."""
    _keep(_problems_of_op, op)


def check_push(data: dict[str, str]) -> None:
    """Check the data of a push."""
    _keep(_problems_of_push, data)


def check_close(code: int) -> None:
    """Check the code in a close frame of the server."""
    _keep(_problems_of_close, code)


def finish() -> int:
    """Check the messages stored since the last call, record deviations, and return how many messages were checked."""
    count = 0
    with suppress(IndexError):
        while True:
            check, message = _kept.popleft()
            count += 1
            for problem in check(message):
                deviations.record(problem)
    return count


def _keep(check: Callable[[Any], list[str]], message: Any) -> None:
    _kept.append((check, message))
    if len(_kept) >= MAX_KEPT:  # this limits the memory; only long runs with faults store so many messages
        finish()


@contextmanager
def scripted(port: int) -> Iterator[None]:
    """Leave sockets to this port unchecked within the block: the server is a test's script, which may send anything."""
    _scripted_ports.add(port)
    try:
        yield
    finally:
        _scripted_ports.discard(port)


def _problems_of_frame(frame: Any) -> list[str]:
    if isinstance(frame, str | bytes):
        frame = json.loads(frame)
    event = frame.get("event") if isinstance(frame, dict) else None
    return [] if event in STAND_INS else problems_of(str(event), frame)


def _problems_of_op(op: dict[str, Any]) -> list[str]:
    return problems_of(f"op_{op.get('op')}", op)


def _problems_of_push(data: dict[str, str]) -> list[str]:
    return [] if data.get("type") in STAND_INS else problems_of(f"push_{data.get('type')}", data)


def _problems_of_close(code: int) -> list[str]:
    documented = {each["code"] for each in _document()["channels"]["events"]["x-close-codes"]}
    return [] if code in documented else [f"close code {code} is not in asyncapi.json"]


# --- the sockets of websocket-client --------------------------------------------------------------------


_sent_another: WeakSet[websocket.WebSocket] = WeakSet()
"""The sockets on which a test has sent something other than documented ops."""


@lru_cache(maxsize=1)
def install() -> None:
    """Check the messages on all sockets of websocket-client in this process from now on."""
    receive, send = websocket.WebSocket.recv_data_frame, websocket.WebSocket.send_frame

    def recv_data_frame(self: websocket.WebSocket, control_frame: bool = False) -> Any:
        opcode, frame = receive(self, control_frame)
        if not _is_scripted(self):
            _on_received(self, opcode, frame.data)
        return opcode, frame

    def send_frame(self: websocket.WebSocket, frame: ABNF) -> Any:
        if not _is_documented(frame):
            _sent_another.add(self)
        return send(self, frame)

    websocket.WebSocket.recv_data_frame = recv_data_frame  # type: ignore[method-assign]
    websocket.WebSocket.send_frame = send_frame  # type: ignore[method-assign]


def _is_scripted(socket: websocket.WebSocket) -> bool:
    try:
        return socket.sock.getpeername()[1] in _scripted_ports
    except (OSError, AttributeError):  # another thread has closed the socket
        return True


def _on_received(socket: websocket.WebSocket, opcode: int, payload: bytes) -> None:
    if opcode == ABNF.OPCODE_TEXT:
        check_frame(payload)
        # A refusal does not name the message that it answers. So a refusal is accepted if the test has sent any
        # undocumented message on this socket.
        if b'"VALIDATION_ERROR"' in payload[:100] and socket not in _sent_another:
            deviations.record(f"the server refused a documented op: {payload!r}")
    elif opcode == ABNF.OPCODE_CLOSE and len(payload) >= 2:
        check_close(int.from_bytes(payload[:2]))


def _is_documented(frame: ABNF) -> bool:
    """Return whether a frame is a control frame, or a text frame with a documented op in JSON of RFC 8259."""
    if frame.opcode not in (ABNF.OPCODE_TEXT, ABNF.OPCODE_CONT, ABNF.OPCODE_BINARY):
        return True
    try:
        op = json.loads(frame.data, object_pairs_hook=_unique, parse_constant=_no_number)
    except (ValueError, RecursionError):
        return False
    return frame.opcode == ABNF.OPCODE_TEXT and isinstance(op, dict) and not _problems_of_op(op)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(found := dict(pairs)) < len(pairs):
        raise ValueError("a name appears more than once")
    return found


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")
