"""The lines that `weelo` prints for expected problems, instead of a traceback."""

from __future__ import annotations

import errno
import sys

# These errors mean that the machine lacks a resource, so they are reported in one line. Any other OSError without a
# file name may be a defect of ours.
SCARCE = {
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EFBIG,
    errno.EIO,
    errno.EROFS,
    errno.EMFILE,
    errno.ENFILE,
    errno.ENOMEM,
}
# Python raises a RuntimeError with this text at the limit of threads. There is no class for this error.
CANNOT_START_THREAD = "can't start new thread"


def expected(problem: Exception) -> str | None:
    """Return the line for an expected problem; None for an exception that is a defect of the program."""
    from weelo_workers.runtime import CommandError
    from weelo_workers.settings import ConfigurationError

    if isinstance(problem, (CommandError, ConfigurationError)):
        return str(problem)
    if line := _refusal_of_the_system(problem):
        return line
    if "sqlalchemy" in sys.modules:
        from sqlalchemy.exc import DBAPIError

        from weelo_workers.models.server import trouble_with

        if isinstance(problem, DBAPIError) and (line := trouble_with(problem)):
            return f"DATABASE_URL: {line}"
    return None


def _refusal_of_the_system(problem: Exception) -> str | None:
    """Return the line for an error of the operating system, such as a full disk; None for any other problem."""
    from weelo_workers.standard_streams import CannotPrint

    if isinstance(problem, CannotPrint):
        return f"standard output cannot be written: {problem.strerror}"
    if isinstance(problem, BlockingIOError):  # `fork` raises this class of error at the limit of processes.
        return f"the operating system refuses another process: {problem.strerror} (see ulimit -u)"
    if isinstance(problem, OSError) and (problem.filename or problem.errno in SCARCE):
        where = f"{problem.filename}: " if problem.filename else ""
        return f"the operating system refuses: {where}{problem.strerror}"
    if isinstance(problem, RuntimeError) and str(problem) == CANNOT_START_THREAD:
        return f"the operating system refuses: {problem} (see ulimit -u and ulimit -v)"
    return None
