"""Configures logging in a process: the level, the format, and which lines of the libraries are logged."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any

from weelo_workers.logs import context, formats
from weelo_workers.logs.formats import LogFormat, Origin
from weelo_workers.settings import ConfigurationError, settings

log = logging.getLogger(__name__)

OWN = ("weelo_workers", "weelo_api", "weelo_demo")
# At INFO these loggers report events of the process: that it has started, is connected again, or ends.
OF_PROCESSES = ("celery", "gunicorn")
# These loggers write two lines for each message. Such lines are not needed, because the bus logs one line for each
# command.
OF_MESSAGES = ("celery.worker.strategy", "celery.app.trace")
# These processes print an error of their own if a server cannot be reached, so a log line about the outage would only
# repeat it.
REPORT_OUTAGES_THEMSELVES = ("up", "cli")


class _LineHandler(logging.Handler):
    """Passes each formatted record to a function.

    `configure` recognises the handler that it made earlier by its class.
    """

    def __init__(self, write: Callable[[str], None]) -> None:
        super().__init__()
        self._write = write

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._write(self.format(record))
        except Exception:  # noqa: BLE001 (as in logging's own handlers: a line that is lost must stop nothing)
            self.handleError(record)


_kind = "python"


def process_kind() -> str:
    """Return the kind of this process, as passed to `configure`."""
    return _kind


def configure(process: str, *, queue: str | None = None, write: Callable[[str], None] | None = None) -> None:
    """Make this process log in the format and at the level of the settings. It may be called again.

    `process`: the kind of process. `queue`: the queue whose commands it executes, if it is only one. `write`: is called
    with each line, instead of writing it to standard error. If a setting is invalid, the defaults apply: the program
    reads the settings next, reports the error and ends.
    """
    global _kind  # noqa: PLW0603 (it is the process that is configured)
    _kind = process
    level, log_format = logging.INFO, _format()
    with suppress(ConfigurationError):
        level = logging.getLevelNamesMapping()[settings().log_level]
    context.label_records()
    handler = _LineHandler(write or _to_standard_error)
    handler.setFormatter(formats.LineFormatter(log_format, Origin(process, queue)))
    root = logging.getLogger()
    for former in [each for each in root.handlers if isinstance(each, _LineHandler)]:
        root.removeHandler(former)
    root.addHandler(handler)
    root.setLevel(max(level, logging.WARNING))
    for name in OWN:
        logging.getLogger(name).setLevel(level)
    if process in REPORT_OUTAGES_THEMSELVES:
        logging.getLogger("weelo_workers.logs.outages").setLevel(logging.ERROR)
    for name in OF_PROCESSES:
        logging.getLogger(name).setLevel(max(level, logging.INFO))
    for name in OF_MESSAGES:
        logging.getLogger(name).setLevel(max(level, logging.WARNING))


def log_uncaught() -> None:
    """Log warnings of Python, and exceptions that end the process or one of its threads, instead of printing them."""
    logging.captureWarnings(capture=True)
    sys.excepthook = _uncaught
    threading.excepthook = _uncaught_in_thread


def _format() -> LogFormat:
    try:
        return settings().format_of_log_lines
    except ConfigurationError:
        return "console"


def _to_standard_error(line: str) -> None:
    # One call per line, so that lines of forked processes do not mix. `sys.stderr` is looked up for each line, because
    # it may be replaced at any time.
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def _uncaught(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, traceback)
        return
    log.critical("the process ends, because of an unexpected error", exc_info=(kind, error, traceback))


def _uncaught_in_thread(problem: Any) -> None:
    if problem.exc_value is not None and not issubclass(problem.exc_type, SystemExit):
        name = problem.thread.name if problem.thread else "?"
        found = (problem.exc_type, problem.exc_value, problem.exc_traceback)
        log.critical("the thread %s ends, because of an unexpected error", name, exc_info=found)
