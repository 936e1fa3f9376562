"""Players: processes that play scripts, each in a database of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager

from weelo_lab import servers
from weelo_lab.seeds import trial
from weelo_lab.seeds.script import Step
from weelo_lab.seeds.stage import PRESENCE_TTL_SECONDS
from weelo_lab.seeds.trial import Verdict

MOST_SCRIPTS = 100
"""After so many scripts a player begins anew, because deleted rows stay in the files of its database."""


class Player:
    """Plays scripts one after another. The first takes longest, as later ones reuse the plans of its statements."""

    def __init__(self, on: servers.Servers) -> None:
        self._on = on
        self._stack = ExitStack()
        self._played = MOST_SCRIPTS

    def start(self, steps: Sequence[Step]) -> Future[Verdict]:
        """Begin to play a script. It has to be finished before the next one is started."""
        if self._played >= MOST_SCRIPTS:
            self._begin_anew()
        self._played += 1
        return servers.submit(self._pool, self._environment, trial.play, list(steps))

    def play(self, steps: Sequence[Step]) -> Verdict:
        """Play a script and return its verdict."""
        return self.start(steps).result()

    def close(self) -> None:
        """End the process and delete the database."""
        self._stack.close()

    def _begin_anew(self) -> None:
        self._stack.close()
        self._played = 0
        self._environment = environment(self._stack.enter_context(self._on.run_environment()))
        self._pool = self._stack.enter_context(servers.processes(1, functions=None))


@contextmanager
def player(on: servers.Servers) -> Iterator[Player]:
    """Yield a player, which is closed afterwards."""
    made = Player(on)
    try:
        yield made
    finally:
        made.close()


def environment(of_servers: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a player's process."""
    return {**of_servers, "PRESENCE_TTL_SECONDS": repr(PRESENCE_TTL_SECONDS)}
