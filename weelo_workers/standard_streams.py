"""Standard input, output and error of the command line, which may be closed, full or a pipe without a reader."""

from __future__ import annotations

import errno
import io
import os
import sys
from contextlib import suppress
from typing import Any, TextIO

import click

STDIN, STDOUT, STDERR = range(3)


class CannotPrint(OSError):
    """The result of a command cannot be written to its standard output."""


class _Output(io.FileIO):
    """Standard output. Its errors have a class of their own, so that the command can report them in one line."""

    def write(self, data: Any) -> Any:
        try:
            return super().write(data)
        # The reader of the pipe has ended. click and Rich then end silently, if they get this error unchanged.
        except BrokenPipeError:
            raise
        except OSError as problem:
            raise CannotPrint(problem.errno, problem.strerror) from None


def prepare() -> None:
    """Open the standard streams that are closed, and give errors of standard output a class of their own.

    Call this before anything is opened. Cron jobs and daemon managers may start a program without standard streams. The
    next file or socket would then get the number of a missing stream, and children would write their output into it. In
    place of standard output /dev/null is opened for reading, so that a command that prints a result fails instead of
    losing it.
    """
    for number, mode in ((STDIN, os.O_RDONLY), (STDOUT, os.O_RDONLY), (STDERR, os.O_WRONLY)):
        if not _is_open(number):
            # The new file gets the lowest free number. That is `number`, because the numbers below it are open.
            os.open(os.devnull, mode)
            os.set_inheritable(number, True)
    sys.stdin = sys.stdin or open(STDIN, closefd=False)  # noqa: SIM115 (open until the process ends)
    sys.stderr = sys.stderr or open(STDERR, "w", closefd=False)  # noqa: SIM115
    sys.stdout = _output(like=sys.stdout)


def report(line: str) -> None:
    """Print a line on standard error, if that can be written."""
    with suppress(OSError):
        click.echo(line, err=True)


def give_up_unwritten() -> None:
    """Discard output that cannot be written. Otherwise Python would try again at its exit, and exit with code 120."""
    for number, stream in ((STDOUT, sys.stdout), (STDERR, sys.stderr)):
        try:
            stream.flush()
        except (OSError, ValueError):
            with suppress(OSError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), number)


def _output(like: TextIO | None) -> TextIO:
    unbuffered = isinstance(like, io.TextIOWrapper) and like.write_through
    raw = _Output(STDOUT, "w", closefd=False)
    return io.TextIOWrapper(
        raw if unbuffered else io.BufferedWriter(raw),
        encoding=like.encoding if like else "utf-8",
        errors=like.errors if like else "backslashreplace",
        line_buffering=raw.isatty(),
        write_through=unbuffered,
    )


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError as problem:
        if problem.errno != errno.EBADF:
            raise
        return False
    return True
