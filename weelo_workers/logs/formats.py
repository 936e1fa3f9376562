"""The two formats of log lines: `json`, one object per line, and `console`, for people.

A line has its time with zone, level, process, message and fields. `console_line` and `json_line` also format lines
that were no log records, such as what a child of `weelo up` prints before it can log.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Literal

from pydantic_core import to_json

from weelo_workers.logs.context import fields_of

LogFormat = Literal["console", "json"]

CONTINUES = "    "
"""Begins the further lines of a record in the format `console`. So no message can look like a record of its own."""

_LEVEL_WIDTH = len("WARNING")
_PROCESS_WIDTH = len("worker/offers")
_RECORD = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}[+-]\d{4} [A-Z]+ +\S+ +\| (?P<message>.*)")
_JSON_BEGINS = '{"time":"'
# Control characters, which could change what a terminal shows. Line breaks were removed earlier.
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]")
_PLAIN = re.compile(r"[^\s\"=]+")


@dataclass(frozen=True, slots=True)
class Origin:
    """The process that logs: its kind, such as `worker`, and its queue if it executes the commands of one queue only."""

    process: str
    queue: str | None = None

    @property
    def label(self) -> str:
        return f"{self.process}/{self.queue}" if self.queue else self.process


class LineFormatter(logging.Formatter):
    """Formats a record in one of the two formats. `json` also names the logger and the process id."""

    def __init__(self, log_format: LogFormat, origin: Origin) -> None:
        super().__init__()
        self._is_json = log_format == "json"
        self._origin = origin

    def format(self, record: logging.LogRecord) -> str:
        line, fields = console_line, fields_of(record)
        if self._is_json:
            line, fields = json_line, {"logger": record.name, "pid": record.process, **fields}
        return line(
            record.created,
            record.levelname,
            self._origin,
            record.getMessage(),
            fields,
            exception=_exception(self, record),
        )


def json_line(
    at: float,
    level: str,
    origin: Origin,
    message: str,
    fields: Mapping[str, Any],
    *,
    exception: str | None = None,
) -> str:
    """Return one JSON object. `at`: seconds since 1970; `exception`: a traceback."""
    line = {
        "time": f"{_utc(int(at))}.{int(at % 1 * 1000):03d}Z",
        "level": level,
        "process": origin.process,
        **({"queue": origin.queue} if origin.queue else {}),
        "message": message,
        **fields,
        **({"exception": exception} if exception else {}),
    }
    # `to_json` can write UUIDs, but raises ValueError for a surrogate, which UTF-8 cannot encode. Then `json.dumps` is
    # used, which escapes surrogates.
    try:
        return to_json(line, fallback=str).decode()
    except ValueError:
        return json.dumps(line, default=str)


def console_line(
    at: float,
    level: str,
    origin: Origin,
    message: str,
    fields: Mapping[str, Any],
    *,
    exception: str | None = None,
) -> str:
    """Return one line for people. Further lines of the message, and a traceback, follow as indented lines."""
    first, *more = message.splitlines() or [""]
    if exception:
        more += exception.splitlines()
    text = " ".join([first, *(f"{name}={_value(value)}" for name, value in fields.items())])
    time, zone = _local(int(at))
    head = (
        f"{time}.{int(at % 1 * 1000):03d}{zone} {level:<{_LEVEL_WIDTH}} {origin.label:<{_PROCESS_WIDTH}} | "
    )
    return "\n".join([head + _visible(text), *(CONTINUES + _visible(line) for line in more)])


def is_formatted(line: str, log_format: LogFormat) -> bool:
    """Return whether the line is in the format `log_format` already, so that it can be passed on unchanged."""
    if log_format == "json":
        return line.startswith(_JSON_BEGINS)
    return line.startswith(CONTINUES) or _RECORD.match(line) is not None


def text_of(line: str) -> str:
    """Return the message of a formatted line with its fields or traceback, without time, level and process."""
    if line.startswith(_JSON_BEGINS):
        try:
            record = json.loads(line)
            return str(record.get("exception") or record["message"]).strip().splitlines()[-1]
        except (ValueError, LookupError):
            return line.strip()
    found = _RECORD.match(line)
    return (found["message"] if found else line).strip()


def _exception(formatter: logging.Formatter, record: logging.LogRecord) -> str | None:
    """Return the traceback, without values of local variables; None without an exception."""
    if record.exc_info and record.exc_info[0] is not None:
        return formatter.formatException(record.exc_info)
    return record.exc_text


def _value(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list):
        return ",".join(_value(each) for each in value)
    text = str(value)
    return text if _PLAIN.fullmatch(text) else json.dumps(text, ensure_ascii=False)


def _visible(text: str) -> str:
    return _CONTROLS.sub(lambda found: repr(found[0])[1:-1], text)


# The last result is cached, because a busy process writes many lines in the same second.
@lru_cache(maxsize=1)
def _utc(second: int) -> str:
    return f"{datetime.fromtimestamp(second, UTC):%Y-%m-%dT%H:%M:%S}"


@lru_cache(maxsize=1)
def _local(second: int) -> tuple[str, str]:
    """Return this time in the time zone of this machine, and the zone's offset from UTC."""
    at = datetime.fromtimestamp(second, UTC).astimezone()
    return f"{at:%Y-%m-%d %H:%M:%S}", f"{at:%z}"
