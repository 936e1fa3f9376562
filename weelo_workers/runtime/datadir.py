"""The data dir: the state that an installation keeps between runs, and a description of the running system."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from weelo_workers.runtime import CommandError
from weelo_workers.runtime.processes import Identity

# Only these entries are checked: a data dir on a file system of its own also contains others, such as lost+found.
OWN_ENTRIES = (
    "jwt-secret",
    "children.json",
    "runtime.json",
    "metrics",
    "up.lock",
    "postgres",
    "valkey",
)


@dataclass(frozen=True, slots=True)
class Running:
    """The system that `weelo up` runs on a data dir.

    Addresses and secrets that came from the environment are None: they are not written to disk.
    """

    pid: int
    born: float
    url: str
    flower_url: str | None
    database_url: str | None
    redis_url: str | None
    jwt_secret_file: str | None
    server_pids: dict[str, int | None]
    metrics_urls: dict[str, str]
    """The metrics addresses of workers and beat, by name. The API serves its metrics at its own address."""
    sandbox: bool = False


@dataclass(frozen=True, slots=True)
class DataDir:
    """The paths in one data dir, and the operations on them."""

    path: Path

    @classmethod
    def at(cls, path: Path) -> DataDir:
        """Return the data dir at `path`, which need not exist. No directory is made."""
        return cls(absolute(path))

    @classmethod
    def open(cls, path: Path) -> DataDir:
        """Return the data dir at `path`, made if it is missing."""
        opened = cls.at(path)
        make_directory(opened.path)
        _check_owner(opened.path)
        return opened

    @property
    def jwt_secret_file(self) -> Path:
        return self.path / "jwt-secret"

    @property
    def children_file(self) -> Path:
        return self.path / "children.json"

    @property
    def metrics_dir(self) -> Path:
        return self.path / "metrics"

    @property
    def running_file(self) -> Path:
        return self.path / "runtime.json"

    @contextmanager
    def claimed(self) -> Iterator[None]:
        """Lock this data dir for one `weelo up`. Raises CommandError if another one holds it."""
        lock = FileLock(self.path / "up.lock", timeout=0, mode=0o600)
        try:
            lock.acquire()
        except Timeout:
            running = self.running()
            by = f"pid {running.pid}, {running.url}" if running else "just starting"
            raise CommandError(
                f"{self.path} is in use by another `weelo up` ({by}); see --data-dir"
            ) from None
        except OSError as problem:
            raise CommandError(f"{self.path} cannot be used: {problem.strerror}; see --data-dir") from None
        try:
            yield
        finally:
            lock.release()

    def jwt_secret(self) -> str:
        """Return this installation's own secret, made on first use."""
        return kept_secret(self.jwt_secret_file)

    def running(self) -> Running | None:
        """Return the system running on this data dir, None if there is none."""
        try:
            running = Running(**json.loads(self.running_file.read_text()))
        except (OSError, ValueError, TypeError):
            return None
        return running if Identity(running.pid, running.born).alive() else None

    def announce(self, running: Running) -> None:
        write_private(self.running_file, json.dumps(asdict(running), indent=2) + "\n")

    def withdraw(self) -> None:
        self.running_file.unlink(missing_ok=True)

    def withdraw_if_dead(self) -> None:
        """Delete the description of a system whose `weelo up` was killed. The description of a running system stays.

        This does not take the lock of `weelo up`, because a `weelo up` that starts at this moment would then fail.
        """
        if self.running() is None:
            with suppress(OSError):
                self.withdraw()


def absolute(path: Path) -> Path:
    """Return the absolute path of a data dir."""
    try:
        return path.expanduser().absolute()
    except (OSError, RuntimeError) as problem:  # there is no current directory, or no home for `~`
        raise CommandError(
            f"{path} cannot be found from here ({problem}); give an absolute --data-dir"
        ) from None


def make_directory(path: Path) -> None:
    """Make a directory that only its owner can use. An existing one is left as it is.

    If root makes it, other accounts may pass through it, but may not list it: PostgreSQL refuses to run as root, and
    its account must reach the directory of its data below this one.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir(mode=0o700)
    except FileExistsError:
        if not path.is_dir():
            raise CommandError(f"{path} is not a directory; see --data-dir") from None
    except OSError as problem:
        raise CommandError(f"{path} cannot be made: {problem.strerror}; see --data-dir") from None
    else:
        if os.geteuid() == 0:
            path.chmod(0o711)


def _check_owner(path: Path) -> None:
    """Raise CommandError if the data dir has files of another user, because this process could not replace them."""
    me = os.geteuid()
    if me == 0:
        return
    for name in OWN_ENTRIES:
        entry = path / name
        try:
            owner = entry.lstat().st_uid
        except FileNotFoundError:
            continue
        except OSError as problem:
            raise CommandError(f"{path} cannot be used: {problem.strerror}; see --data-dir") from None
        if owner != me:
            raise CommandError(
                f"{entry} belongs to another user (id {owner}); run as them, give the files back "
                f"(chown -R {me} {path}), or see --data-dir"
            )


def write_private(path: Path, text: str, durable: bool = True) -> None:
    """Replace a file atomically. Only its owner can read it. `durable`: the file survives a power failure."""
    draft = path.with_name(f"{path.name}.{os.getpid()}.new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
        if durable:
            file.flush()
            os.fsync(file.fileno())
    draft.replace(path)


def kept_secret(path: Path) -> str:
    """Return the secret in `path`.

    If the file is missing, make a secret (256 random bits, URL-safe). Concurrent callers get the same secret.
    """
    if not path.exists():
        with FileLock(path.with_name(f"{path.name}.lock"), mode=0o600):
            if not path.exists():
                write_private(path, secrets.token_urlsafe(32) + "\n")
    return path.read_text().strip()
