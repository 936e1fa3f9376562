"""Both formats of log lines: every line has date, zone, level and process, and no message can look like another line."""

from __future__ import annotations

import io
import json
import logging
import re
from collections.abc import Iterator
from uuid import UUID, uuid4

import pytest

from weelo_workers.logs import context, formats
from weelo_workers.logs.formats import LogFormat, Origin
from weelo_workers.request_ids import request_id
from weelo_workers.runtime.console_log import ConsoleLog

OFFERS = Origin("worker", "offers")


@pytest.fixture
def labelled(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    # `label_records` replaces logging's record factory. This `setattr` changes nothing, but lets monkeypatch restore
    # the present factory after the test.
    monkeypatch.setattr(logging, "_logRecordFactory", logging.getLogRecordFactory())
    context.label_records()
    yield
    context.clear()


def written(log_format: LogFormat, text: str, *values: object, **how: object) -> str:
    """Return what a logger writes in this format."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formats.LineFormatter(log_format, OFFERS))
    logger = logging.getLogger(f"weelo_workers.{uuid4()}")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.info(text, *values, **how)  # type: ignore[arg-type]
    return stream.getvalue()


@pytest.mark.usefixtures("labelled")
def test_a_line_of_json_has_the_time_the_level_the_process_and_the_fields() -> None:
    command_id = uuid4()
    context.bind(command_id=command_id, role="driver", broadcast_id=None)
    before = request_id.set("the-request")
    line = json.loads(written("json", "%d trucks", 3, extra=context.extra(outcome="settled")))
    request_id.reset(before)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line.pop("time"))
    assert line.pop("pid") > 0 and line.pop("logger").startswith("weelo_workers.")
    assert line == {
        "level": "INFO",
        "process": "worker",
        "queue": "offers",
        "message": "3 trucks",
        "command_id": str(command_id),
        "role": "driver",
        "outcome": "settled",
        "request_id": "the-request",
    }


@pytest.mark.usefixtures("labelled")
def test_a_line_for_people_ends_with_the_fields() -> None:
    context.bind(outcome="settled")
    line = written("console", "done", extra=context.extra(duration=0.0125, why="two words"))
    when = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}[+-]\d{4}"
    head = rf"{when} INFO    worker/offers \| "
    assert re.fullmatch(head + r'done outcome=settled duration=0\.0125 why="two words"\n', line), line


def test_a_line_for_people_has_the_ids_of_a_batch_as_they_are_searched_for() -> None:
    ids = [UUID(int=1), UUID(int=2)]
    assert written("console", "done", extra=context.extra(command_ids=ids)).endswith(
        f" command_ids={ids[0]},{ids[1]}\n"
    )


def test_a_message_cannot_look_like_another_line_or_change_a_terminal() -> None:
    forged = "2026-01-01 10:00:00.000+0000 ERROR   api           | forged"
    lines = written("console", f"refused\n{forged}\x1b[2J\x9b").splitlines()
    assert len(lines) == 2
    assert lines[1] == f"    {forged}\\x1b[2J\\x9b"
    assert len(written("json", f"refused\n{forged}").splitlines()) == 1


def test_a_text_that_UTF_8_cannot_encode_is_logged_all_the_same() -> None:
    assert json.loads(written("json", "name: \udcff"))["message"] == "name: \udcff"


@pytest.mark.parametrize("log_format", ["console", "json"])
def test_a_traceback_is_part_of_its_record_and_shows_no_values(log_format: LogFormat) -> None:
    phone = "+91 98100 12345"

    def fail(phone: str) -> None:
        raise LookupError(f"{len(phone)} characters")

    try:
        fail(phone)
    except LookupError:
        text = written(log_format, "it failed", exc_info=True)
    assert "LookupError: 15 characters" in text and "in fail" in text and "98100" not in text
    assert all(formats.is_formatted(line, log_format) for line in text.splitlines())


@pytest.mark.parametrize("log_format", ["console", "json"])
def test_the_supervisor_passes_log_lines_on_unchanged_and_formats_the_others(log_format: LogFormat) -> None:
    stream = io.StringIO()
    console_log = ConsoleLog(stream, log_format)
    console_log.introduce(["offers"])
    own = written(log_format, "first\nsecond").rstrip("\n").splitlines()
    for line in (*own, "Segmentation fault"):
        console_log.child_line("offers", line)
    *passed, other = stream.getvalue().splitlines()
    assert passed == own
    assert "WARNING" in other and formats.is_formatted(other, log_format)
    assert formats.text_of(other) == "Segmentation fault"


def test_fields_of_the_work_at_hand_end_with_it() -> None:
    outer = context.bind(command="first")
    context.bind(command="second", code="FULL")
    context.restore(outer)
    record = logging.makeLogRecord({})
    assert context.fields_of(record) == {}
