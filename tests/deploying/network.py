"""Hosts as Linux network namespaces: each has a cable (a veth pair) to one host with the servers, and can be cut off.

Needs root and the programs `ip` and `iptables`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import IO, Any
from uuid import uuid4

SERVERS = "servers"


@lru_cache(maxsize=1)
def why_not() -> str | None:
    """Return why this machine cannot run hosts as network namespaces; None if it can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    if missing := [program for program in ("ip", "iptables") if shutil.which(program) is None]:
        return f"not installed: {', '.join(missing)}"
    name = f"weelo-try-{uuid4().hex[:6]}"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True, check=False)
    if made.returncode:
        return f"no network namespace can be made: {made.stderr.strip()}"
    command = ["ip", "netns", "exec", name, "iptables", "-L"]
    filters = subprocess.run(command, capture_output=True, text=True, check=False)
    subprocess.run(["ip", "netns", "delete", name], check=False)
    return f"iptables does not work: {filters.stderr.strip()}" if filters.returncode else None


class Network:
    """Creates the host `servers` and one host for each name. This process is a further host, also with a cable to `servers`.

    `servers` has the same address, `servers_address`, on all its cables.
    """

    def __init__(self, *hosts: str) -> None:
        self._tag = uuid4().hex[:6]
        # Each run uses a random part of 10.213.0.0/16, so that runs at the same time do not collide.
        self._net = f"10.213.{int(self._tag[:2], 16)}"
        self.servers_address = f"{self._net}.1"
        self._hosts = (SERVERS, *hosts)
        self._addresses: dict[str, str] = {}
        try:
            for host in self._hosts:
                _ip("netns", "add", self._name(host))
                self._ip_in(host, "link", "set", "lo", "up")
            self._ip_in(SERVERS, "address", "add", f"{self.servers_address}/32", "dev", "lo")
            self._connect(1, None)
            for number, name in enumerate(hosts, start=2):
                self._connect(number, name)
        except BaseException:
            self.remove()
            raise

    def begin(
        self, host: str, command: Sequence[str], environment: Mapping[str, str], output: IO[Any] | int
    ) -> subprocess.Popen[str]:
        """Start a program on a host. Its standard input is a pipe."""
        return subprocess.Popen(
            self._on(host, command),
            env=dict(environment),
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT if not isinstance(output, int) else None,
            text=True,
        )

    def run(self, host: str, command: Sequence[str], environment: Mapping[str, str]) -> str:
        """Run a program on a host to its end, and return its output. Raises AssertionError if it fails."""
        done = subprocess.run(
            self._on(host, command),
            env=dict(environment),
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    def cut(self, host: str) -> None:
        """Take the cable of a host down. No packet passes, and no connection is closed."""
        self._ip_in(SERVERS, "link", "set", self._cable(host), "down")

    def mend(self, host: str) -> None:
        self._ip_in(SERVERS, "link", "set", self._cable(host), "up")

    def drop_answers(self, host: str, port: int) -> None:
        """Drop what this port of `servers` sends to the host. What the host sends still arrives."""
        self._filter("--append", host, port)

    def pass_answers(self, host: str, port: int) -> None:
        self._filter("--delete", host, port)

    def remove(self) -> None:
        """Delete the hosts. Programs that still run on them lose their cables."""
        # The kernel deletes a namespace only some time after the namespace's last process has ended. The cable between
        # that namespace and this process would exist until then, so it is deleted explicitly.
        subprocess.run(["ip", "link", "delete", f"w{self._tag}1"], capture_output=True, check=False)
        for host in self._hosts:
            subprocess.run(["ip", "netns", "delete", self._name(host)], capture_output=True, check=False)

    def _connect(self, number: int, host: str | None) -> None:
        """Lay a cable between `servers` and `host`, or the host of this process if `host` is None."""
        here, there = self._cable(host), f"w{self._tag}{number}"
        end, other_end = f"{self._net}.{4 * number + 1}", f"{self._net}.{4 * number + 2}"
        where = ["netns", self._name(host)] if host else []
        _ip("link", "add", there, "type", "veth", "peer", "name", here, "netns", self._name(SERVERS))
        if host:
            _ip("link", "set", there, *where)
        on_host = ("-n", self._name(host)) if host else ()
        _ip(*on_host, "address", "add", f"{other_end}/30", "dev", there)
        _ip(*on_host, "link", "set", there, "up")
        self._ip_in(SERVERS, "address", "add", f"{end}/30", "dev", here)
        self._ip_in(SERVERS, "link", "set", here, "up")
        _ip(*on_host, "route", "add", f"{self.servers_address}/32", "via", end)
        self._addresses[host or ""] = other_end

    def _filter(self, change: str, host: str, port: int) -> None:
        rule = f"{change} OUTPUT --protocol tcp --source-port {port} --destination {self._addresses[host]}"
        subprocess.run(self._on(SERVERS, ["iptables", *rule.split(), "--jump", "DROP"]), check=True)

    def _ip_in(self, host: str, *arguments: str) -> None:
        _ip("-n", self._name(host), *arguments)

    def _on(self, host: str, command: Sequence[str]) -> list[str]:
        return ["ip", "netns", "exec", self._name(host), *command]

    def _name(self, host: str) -> str:
        return f"weelo-{self._tag}-{host}"

    def _cable(self, host: str | None) -> str:
        return f"to-{host or 'tests'}"[:15]


def _ip(*arguments: str) -> None:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"ip {' '.join(arguments)}: {done.stderr}"
