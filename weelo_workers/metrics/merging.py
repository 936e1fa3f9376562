"""Merges the metrics of several processes, and merges the files of ended child processes into one file."""

from __future__ import annotations

import logging
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.multiprocess import MultiProcessCollector

log = logging.getLogger(__name__)

_OF_THE_DEAD = 0  # The name of a merged file contains this number in the place of a pid.
_LOCK_SECONDS = 1.0


def merged(folders: Iterable[Path]) -> Iterable[Any]:
    """Return the merged metrics of all processes of these directories.

    Live gauges of processes that have ended are left out.
    """
    files: list[str] = []
    figures: Iterable[Any] = ()
    with ExitStack() as locks:
        # The files are read under the lock. Otherwise the counts of a dead child process could be read twice: from its
        # own file, and from the merged file.
        try:
            for folder in sorted(folders):
                locks.enter_context(_locked(folder))
                files += [
                    str(path) for path in folder.glob("*.db") if path.stat().st_size and not _is_past(path)
                ]
            figures = MultiProcessCollector.merge(files)  # type: ignore[no-untyped-call]
        except FileNotFoundError as problem:
            log.warning("METRICS_DIR: files were deleted while they were read: %s", problem)
    return figures


def merge_dead(folder: Path) -> None:
    """Merge the counter files of ended child processes into one file. `folder`: the program's directory."""
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
            path.unlink(missing_ok=True)


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
