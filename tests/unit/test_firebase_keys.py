"""The cache of Firebase's keys: when it fetches, for how long a request waits, and what it keeps."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

from tests.support.firebase import KeyServer
from tests.support.waiting import eventually
from weelo_api import firebase_keys
from weelo_api.firebase_keys import FirebaseKeys, _seconds_fresh


@pytest.fixture
def server() -> Iterator[KeyServer]:
    server = KeyServer("first")
    yield server
    server.close()


@pytest.fixture
def ahead(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return a list whose only element, which the test sets, is how many seconds the module's clock is ahead."""
    ahead = [0.0]
    clock = SimpleNamespace(monotonic=lambda: time.monotonic() + ahead[0])
    monkeypatch.setattr(firebase_keys, "time", clock)
    return ahead


def test_many_requests_cause_one_fetch(server: KeyServer) -> None:
    keys = FirebaseKeys(server.url)
    assert keys.is_empty
    with ThreadPoolExecutor(20) as pool:
        found = list(pool.map(keys.find, ["first"] * 100))
    assert all(found) and server.requests == 1


def test_an_unknown_key_causes_at_most_one_fetch_a_minute(server: KeyServer, ahead: list[float]) -> None:
    keys = FirebaseKeys(server.url)
    assert keys.find("first")
    server.names.append("second")
    assert keys.find("second") is None and keys.find("third") is None
    assert server.requests == 1
    ahead[0] = 61
    assert keys.find("second") and keys.find("first")
    assert keys.find("third") is None
    assert server.requests == 2


def test_outdated_keys_are_used_while_newer_ones_are_fetched(server: KeyServer, ahead: list[float]) -> None:
    server.cache_control = "max-age=600"
    keys = FirebaseKeys(server.url)
    assert keys.find("first")
    server.names[:] = ["second"]
    ahead[0] = 599
    assert keys.find("first") and server.requests == 1
    ahead[0] = 601
    assert keys.find("first"), "no request waits for it"
    eventually(lambda: keys.find("second", wait=False), within=5)
    assert keys.find("first") is None, "Google has withdrawn it"
    assert server.requests == 2


@pytest.mark.parametrize("trouble", ["unavailable", "nonsense", "empty", "hang", "drip"])
def test_old_keys_stay_in_use_if_the_fetch_fails(
    server: KeyServer, ahead: list[float], trouble: str, caplog: pytest.LogCaptureFixture
) -> None:
    keys = FirebaseKeys(server.url)
    assert keys.find("first")
    server.answer = trouble
    ahead[0] = 100_000
    began = time.monotonic()
    assert keys.find("first")
    assert time.monotonic() - began < 0.5
    eventually(lambda: "cannot be fetched" in caplog.text, within=6)
    assert keys.find("first") and keys.find("first")
    assert server.requests == 2
    ahead[0] += 61
    server.answer = "ok"
    keys.find("first")
    eventually(lambda: server.requests == 3, within=5)


def test_a_request_waits_two_seconds_for_a_fetch_and_later_ones_no_longer(server: KeyServer) -> None:
    server.answer = "hang"
    keys = FirebaseKeys(server.url)
    began = time.monotonic()
    with ThreadPoolExecutor(5) as pool:
        assert list(pool.map(keys.find, ["first"] * 5)) == [None] * 5
    assert 1.5 < time.monotonic() - began < 3.5
    again = time.monotonic()
    assert keys.find("first") is None
    assert time.monotonic() - again < 0.5
    assert server.requests == 1


def test_without_any_key_the_next_fetch_is_soon(server: KeyServer, ahead: list[float]) -> None:
    server.answer = "unavailable"
    keys = FirebaseKeys(server.url)
    assert keys.find("first") is None and keys.find("first") is None
    assert keys.is_empty and server.requests == 1
    server.answer = "ok"
    ahead[0] = 5.1
    assert keys.find("first") and server.requests == 2


@pytest.mark.parametrize(
    ("cache_control", "age", "seconds"),
    [
        ("public, max-age=19302, must-revalidate", "0", 19_302),
        ("max-age=19302", "302", 19_000),
        ("Max-Age=600", "x", 600),
        ("max-age=0", "0", 60),
        ("max-age=100", "5000", 60),
        ("max-age=999999999", "0", 86_400),
        ("no-store", "0", 3_600),
        ("", "0", 3_600),
        ("s-max-age=700", "0", 3_600),
    ],
)
def test_the_response_says_for_how_long_the_keys_are_fresh(
    cache_control: str, age: str, seconds: int
) -> None:
    assert _seconds_fresh(cache_control, age) == seconds
