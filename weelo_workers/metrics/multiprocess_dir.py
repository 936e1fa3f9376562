"""The directory in which the processes of a program share metrics: prometheus_client's multiprocess mode.

One directory per program (a worker's parent with its children, the API's arbiter with its workers), named by the
parent's pid, below METRICS_DIR or a temporary directory. The files of children that have died are merged into one.
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
_OF_THE_DEAD = 0  # takes the place of the pid in the name of the merged file
_LOCK_SECONDS = 1.0


def open_dir(*, always: bool = False) -> None:
    """Create this program's directory. To be called before any metric is created, and before any fork.

    Without METRICS_DIR and METRICS_PORT nothing reads the files, so there is no directory unless `always` is set.
    """
    if current_dir() is not None:
        return
    os.environ.pop(VARIABLE, None)  # inherited from another program, which started this one
    try:
        wanted = settings()
    except ConfigurationError:
        return  # the program reports this error itself, and ends
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


def _temporary() -> Path:
    root, maker = tempfile.mkdtemp(prefix="weelo-metrics-"), os.getpid()

    def remove() -> None:
        if os.getpid() == maker:
            shutil.rmtree(root, ignore_errors=True)

    atexit.register(remove)
    return Path(root)


def merged(folders: Iterable[Path]) -> Iterable[Any]:
    """Return the merged metrics of all processes of these directories; gauges only of processes that still run."""
    files: list[str] = []
    with ExitStack() as locks:
        # Read under the lock, so that no file of a dead child is counted a second time in the merged file.
        for folder in sorted(folders):
            locks.enter_context(_locked(folder))
            files += [str(path) for path in folder.glob("*.db") if path.stat().st_size and not _is_past(path)]
        figures: Iterable[Any] = MultiProcessCollector.merge(files)  # type: ignore[no-untyped-call]
    return figures


def merge_dead(folder: Path) -> None:
    """Merge the counter files of children that have died into one. `folder`: the program's own."""
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
        log.warning("metrics are read without their lock: %s", problem)
        yield
        return
    try:
        yield
    finally:
        lock.release()
