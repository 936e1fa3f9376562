"""Where the processes of a program leave their figures for one another: files of prometheus_client's multiprocess mode.

One folder per program (a worker's parent with its children, the API's arbiter with its workers), named by the parent's
pid, below METRICS_DIR or a temporary directory. The files of children that have died are added up into one.
"""

from __future__ import annotations

import atexit
import logging
import os
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.multiprocess import MultiProcessCollector

from weelo_workers.settings import ConfigurationError, settings

log = logging.getLogger(__name__)

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
_OF_THE_DEAD = 0  # stands where a pid does
_LOCK_SECONDS = 1.0


def open_dir(*, always: bool = False) -> None:
    """Make this program's folder. To be called before `counted` is imported, and before any fork.

    Without METRICS_DIR and METRICS_PORT nobody would look into it, so there is none unless `always`.
    """
    if current_dir() is not None:
        return
    os.environ.pop(VARIABLE, None)  # a parent's that is no fork of ours
    try:
        wanted = settings()
    except ConfigurationError:
        return  # the start is about to be stopped with that one line
    if not (always or wanted.metrics_dir or wanted.metrics_port):
        return
    try:
        root = Path(wanted.metrics_dir) if wanted.metrics_dir else _temporary()
        folder = root / str(os.getpid())
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as problem:
        log.warning("METRICS_DIR: %s; each process counts for itself", problem)
        return
    os.environ[VARIABLE] = str(folder)


def current_dir() -> Path | None:
    """This program's folder: also in its forked children, whose parent is the one that it is named by."""
    found = os.environ.get(VARIABLE)
    path = Path(found) if found else None
    return path if path is not None and path.name in {str(os.getpid()), str(os.getppid())} else None


def _temporary() -> Path:
    root, maker = tempfile.mkdtemp(prefix="weelo-metrics-"), os.getpid()

    def remove() -> None:
        if os.getpid() == maker:
            shutil.rmtree(root, ignore_errors=True)

    atexit.register(remove)
    return Path(root)


def merged(folders: Iterable[Path]) -> Iterable[Any]:
    """The figures of all processes that have been in these folders; of what is a state, of the living ones."""
    files: list[str] = []
    with ExitStack() as locks:
        # Read under the lock: a dead child's file and the sum that it is added to must not both be counted.
        for folder in sorted(folders):
            locks.enter_context(_locked(folder))
            files += [str(path) for path in folder.glob("*.db") if path.stat().st_size and not _is_past(path)]
        figures: Iterable[Any] = MultiProcessCollector.merge(files)  # type: ignore[no-untyped-call]
    return figures


def merge_dead(folder: Path) -> None:
    """The counters of children that have died become one file. For the program itself, now and then."""
    with _locked(folder):
        dead = [path for path in folder.glob("*.db") if not _alive(_pid(path))]
        by_kind: dict[str, list[Path]] = defaultdict(list)
        for path in dead:
            kind = path.name.rpartition("_")[0]
            if kind in {"counter", "histogram"}:
                by_kind[kind].append(path)
        for kind, paths in by_kind.items():
            _add(paths, folder / f"{kind}_{_OF_THE_DEAD}.db")
        for path in dead:
            path.unlink()


def _add(paths: Iterable[Path], to: Path) -> None:
    sums = MmapedDict(str(to))  # type: ignore[no-untyped-call]
    try:
        for path in paths:
            for key, value, _, _ in MmapedDict.read_all_values_from_file(str(path)):  # type: ignore[no-untyped-call]
                before, _ = sums.read_value(key)  # type: ignore[no-untyped-call]
                sums.write_value(key, before + value, 0.0)  # type: ignore[no-untyped-call]
    finally:
        sums.close()  # type: ignore[no-untyped-call]


def _is_past(path: Path) -> bool:
    return path.name.startswith("gauge_live") and not _alive(_pid(path))


def _pid(path: Path) -> int:
    return int(path.stem.rpartition("_")[2])


def _alive(pid: int) -> bool:
    if pid == _OF_THE_DEAD:
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    lock = FileLock(folder / "lock", timeout=_LOCK_SECONDS, mode=0o600)
    try:
        lock.acquire()
    except (Timeout, OSError) as problem:
        log.warning("figures are read without their lock: %s", problem)
        yield
        return
    try:
        yield
    finally:
        lock.release()
