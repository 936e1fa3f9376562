"""Starts Debian's RabbitMQ on loopback, with a node name, ports and a data folder of its own."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path

from tests.support.waiting import eventually
from weelo_workers.runtime.ports import free_port

# The script below runs as the current user. Debian's /usr/sbin/rabbitmq-server insists on the user `rabbitmq`.
SERVER = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")


def is_installed() -> bool:
    return SERVER.exists() and shutil.which("epmd") is not None


class RabbitMQ:
    """A broker at `url`. `kill` and `start` keep its data."""

    def __init__(self) -> None:
        """Choose ports, make the folder and start Erlang's name server; `start` starts the broker."""
        self.folder = Path(tempfile.mkdtemp(prefix="weelo-rabbitmq-"))
        self._port, distribution, names = free_port(), free_port(), free_port()
        self.url = f"amqp://guest:guest@127.0.0.1:{self._port}//"
        (self.folder / "plugins").write_text("[].\n")
        (self.folder / "rabbitmq.conf").write_text(f"listeners.tcp.default = 127.0.0.1:{self._port}\n")
        self._environment = {
            **os.environ,
            "HOME": str(self.folder),  # Erlang stores its cookie here
            "RABBITMQ_NODENAME": f"weelo{self._port}@localhost",
            "RABBITMQ_DIST_PORT": str(distribution),
            "RABBITMQ_MNESIA_BASE": str(self.folder / "data"),
            "RABBITMQ_LOG_BASE": str(self.folder / "log"),
            "RABBITMQ_CONFIG_FILE": str(self.folder / "rabbitmq"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "plugins"),
            "RABBITMQ_PID_FILE": str(self.folder / "pid"),
            # One scheduler, which does not spin while it is idle, and a distribution port on loopback only.
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 1:1 +sbwt none -kernel inet_dist_use_interface {127,0,0,1}",
            "ERL_EPMD_PORT": str(names),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
        }
        # Without this name server RabbitMQ would start one that keeps running after the test.
        self._names = subprocess.Popen(
            ["epmd", "-port", str(names), "-address", "127.0.0.1"], env=self._environment
        )
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the broker, and return when it accepts connections."""
        with (self.folder / "output").open("ab") as output:
            self._process = subprocess.Popen(
                [str(SERVER)],
                env=self._environment,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        eventually(self._accepts, within=60)

    def kill(self) -> None:
        """Kill the broker with all its processes."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(10)
            self._process = None

    def remove(self) -> None:
        self.kill()
        self._names.terminate()
        self._names.wait(10)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _accepts(self) -> bool:
        assert self._process is not None
        printed = (self.folder / "output").read_text(errors="replace")[-2_000:]
        if self._process.poll() is not None:
            raise RuntimeError(f"RabbitMQ has ended:\n{printed}")
        with suppress(OSError), socket.create_connection(("127.0.0.1", self._port), timeout=1) as made:
            made.settimeout(5)
            made.sendall(b"AMQP\x00\x00\x09\x01")
            return made.recv(1) == b"\x01"
        raise AssertionError(f"RabbitMQ accepts no connections:\n{printed}")
