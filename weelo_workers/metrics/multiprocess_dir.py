"""The directory in which the processes of a program share metrics: prometheus_client's multiprocess mode.

Each program (a worker's parent with its children, the API's arbiter with its workers) has one directory. Its name is
the parent's pid, and it is below METRICS_DIR or a temporary directory. `merging` reads its files. prometheus_client is
not imported here, because it has to be imported after the directory is opened.
"""

from __future__ import annotations

import atexit
import logging
import os
import shutil
import tempfile
from pathlib import Path

from weelo_workers.settings import ConfigurationError, settings

log = logging.getLogger(__name__)

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"


def open_dir(*, always: bool = False) -> None:
    """Create this program's directory. Call this before prometheus_client is imported, and before any fork.

    If neither METRICS_DIR nor METRICS_PORT is set, nothing reads the files, and the directory is created only if `always`
    is true.
    """
    if current_dir() is not None:
        return
    # If PROMETHEUS_MULTIPROC_DIR is set, it was inherited from the program that started this one, and names that
    # program's directory.
    os.environ.pop(VARIABLE, None)
    try:
        wanted = settings()
    except ConfigurationError:
        return  # The error is ignored here: the caller reads the settings next, reports the same error and ends.
    if not (always or wanted.metrics_dir or wanted.metrics_port):
        return
    try:
        root = Path(wanted.metrics_dir) if wanted.metrics_dir else _temporary()
        folder = root / str(os.getpid())
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as problem:
        log.warning("METRICS_DIR: %s; processes do not share their metrics", problem)
        return
    os.environ[VARIABLE] = str(folder)


def current_dir() -> Path | None:
    """Return this program's directory, in the parent and in its forked children; None if there is none."""
    found = os.environ.get(VARIABLE)
    path = Path(found) if found else None
    return path if path is not None and path.name in {str(os.getpid()), str(os.getppid())} else None


def make_again_if_deleted() -> None:
    """Make this program's directory again if it was deleted, so that new processes of the program can store their metrics.

    Call this after a fork, and before the directory is read.
    """
    folder = current_dir()
    if folder is None or folder.is_dir():
        return
    log.warning(
        "METRICS_DIR: %s was deleted; metrics of processes that run already are missing until they are restarted",
        folder,
    )
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as problem:
        log.warning("METRICS_DIR: the directory cannot be made again: %s", problem)


def _temporary() -> Path:
    root, maker = tempfile.mkdtemp(prefix="weelo-metrics-"), os.getpid()

    def remove() -> None:
        if os.getpid() == maker:
            shutil.rmtree(root, ignore_errors=True)

    atexit.register(remove)
    return Path(root)
