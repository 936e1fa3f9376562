"""The public keys of Firebase's ID tokens: fetched from Google in the background, and cached.

firebase-admin is not used for this: while it fetches keys, every request that it verifies waits for them.
"""

from __future__ import annotations

import json
import logging
import math
import re
import threading
import time
from urllib.request import urlopen

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.x509 import load_pem_x509_certificate

log = logging.getLogger(__name__)

GOOGLE = "https://www.googleapis.com/robot/v1/metadata/x509/securetoken@system.gserviceaccount.com"

WAIT_SECONDS = 2.0
"""For this long a request waits for a fetch, counted from the start of the fetch."""
READ_SECONDS = 2.0
MAX_BYTES = 256 * 1024
# Seconds between fetches. Without this pause every token with an invented key id would cause a fetch.
PAUSE_SECONDS = 60.0
PAUSE_WITHOUT_KEYS_SECONDS = 5.0
MIN_AGE_SECONDS, USUAL_AGE_SECONDS, MAX_AGE_SECONDS = 60, 3_600, 86_400

_MAX_AGE = re.compile(r"(?:^|[,\s])max-age=(\d{1,9})(?:$|[,\s])", re.IGNORECASE)


class FirebaseKeys:
    """The keys by their ids. Old keys stay in use for as long as newer ones cannot be fetched."""

    def __init__(self, url: str = GOOGLE) -> None:
        self._url = url
        self._keys: dict[str, RSAPublicKey] = {}
        self._fresh_until = self._pause_until = self._began_at = -math.inf
        self._starting = threading.Lock()
        self._idle = threading.Event()
        self._idle.set()

    @property
    def is_empty(self) -> bool:
        """Whether no keys have been fetched so far."""
        return not self._keys

    def find(self, key_id: str, *, wait: bool = True) -> RSAPublicKey | None:
        """Return the key of this id; None if it is unknown.

        Starts a fetch if the id is unknown or the keys are outdated. If the id is unknown and `wait` is true, waits for
        the fetch until WAIT_SECONDS after its start.
        """
        if key_id not in self._keys or time.monotonic() >= self._fresh_until:
            self._start_fetch()
        if wait and self.is_pending(key_id):
            self._idle.wait(max(0.0, self._began_at + WAIT_SECONDS - time.monotonic()))
        return self._keys.get(key_id)

    def is_pending(self, key_id: str) -> bool:
        """Return whether the id is unknown and a fetch that may return it has started less than WAIT_SECONDS ago."""
        return (
            key_id not in self._keys
            and not self._idle.is_set()
            and time.monotonic() < self._began_at + WAIT_SECONDS
        )

    def _start_fetch(self) -> None:
        with self._starting:
            now = time.monotonic()
            if not self._idle.is_set() or now < self._pause_until:
                return
            self._began_at = now
            self._idle.clear()
        try:
            threading.Thread(target=self._run, name="firebase-keys", daemon=True).start()
        except RuntimeError as refusal:
            log.warning("keys of Firebase cannot be fetched: %s", refusal)
            self._end_fetch()

    def _run(self) -> None:
        try:
            self._keys, seconds = _fetch(self._url)
            self._fresh_until = time.monotonic() + seconds
        except Exception as error:  # noqa: BLE001 (network, HTTP, JSON and certificates raise many classes)
            log.warning("keys of Firebase cannot be fetched: %s: %s", type(error).__name__, error)
        finally:
            self._end_fetch()

    def _end_fetch(self) -> None:
        pause = PAUSE_WITHOUT_KEYS_SECONDS if self.is_empty else PAUSE_SECONDS
        self._pause_until = time.monotonic() + pause
        self._idle.set()


def _fetch(url: str) -> tuple[dict[str, RSAPublicKey], float]:
    """Return the keys, and for how many seconds they are fresh. Raises an error if any part of the response is invalid."""
    deadline = time.monotonic() + READ_SECONDS
    body = b""
    with urlopen(url, timeout=READ_SECONDS) as response:  # noqa: S310 (the settings accept http and https only)
        # The deadline is needed because the time-out limits each read separately: a server that sends single bytes
        # slowly would never exceed the time-out.
        while part := response.read1(MAX_BYTES):
            body += part
            if len(body) > MAX_BYTES:
                raise ValueError("the response is too long")
            if time.monotonic() > deadline:
                raise TimeoutError("the response is too slow")
        seconds = _seconds_fresh(response.headers.get("Cache-Control", ""), response.headers.get("Age", "0"))
    keys = {str(key_id): _public_key(pem) for key_id, pem in json.loads(body).items()}
    if not keys:
        raise ValueError("the response has no keys")
    return keys, seconds


def _public_key(pem: str) -> RSAPublicKey:
    key = load_pem_x509_certificate(pem.encode()).public_key()
    if not isinstance(key, RSAPublicKey):
        raise TypeError("the response has a key that is not of RSA")
    return key


def _seconds_fresh(cache_control: str, age: str) -> float:
    """Return for how long the response is fresh (RFC 9111, section 4.2), within reasonable bounds."""
    found = _MAX_AGE.search(cache_control)
    seconds = int(found[1]) - (int(age) if age.isdecimal() else 0) if found else USUAL_AGE_SECONDS
    return min(max(seconds, MIN_AGE_SECONDS), MAX_AGE_SECONDS)
