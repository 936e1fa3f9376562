"""Whether the system answers that it is ready, and if not, what it says."""

from __future__ import annotations

import time
import urllib.error
import urllib.request

PATIENCE_SECONDS = 60.0
PAUSE_SECONDS = 0.2
ANSWER_SECONDS = 2.0

# An HTTP_PROXY in the environment is not for a server on this machine.
_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Readiness:
    """Asks `url` now and then until it answers 200."""

    def __init__(self, url: str) -> None:
        self.reached = False
        self.reason = "nothing asked yet"
        self._url = url
        self._began = time.monotonic()
        self._next_question = 0.0
        self._next_complaint = self._began + PATIENCE_SECONDS

    def check(self) -> bool:
        """Ask, unless it was asked just now. True once it is ready."""
        if not self.reached and time.monotonic() >= self._next_question:
            self.reached = self._ask()
            self._next_question = time.monotonic() + PAUSE_SECONDS
        return self.reached

    def overdue(self) -> float:
        """The seconds waited, once per minute of waiting; 0 at all other times."""
        now = time.monotonic()
        if self.reached or now < self._next_complaint:
            return 0.0
        self._next_complaint = now + PATIENCE_SECONDS
        return now - self._began

    def _ask(self) -> bool:
        try:
            with _direct.open(self._url, timeout=ANSWER_SECONDS) as answer:
                self.reason = f"{self._url} answers {answer.status}"
                return bool(answer.status == 200)
        except urllib.error.HTTPError as answer:
            said = answer.read(500).decode(errors="replace").strip()
            self.reason = f"{self._url} answers {answer.code} {said}"
        except OSError as problem:
            self.reason = f"{self._url} does not answer ({problem})"
        return False
