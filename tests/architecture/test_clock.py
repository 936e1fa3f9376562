"""Every place that reads the time is listed here, so that the clock of a sandbox moves all of the product.

New code uses `weelo_workers.clock` in Python and LUA_NOW in a script for Redis. In SQL it uses one of the functions that a
sandbox replaces, without naming a schema. A place that must use the plain clock is added to the list, with its reason.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.support.sources import ROOT, python_files
from weelo_workers.models.sandbox import CLOCK_FUNCTIONS

PYTHON = re.compile(
    r"\bdatetime\.(?:now|utcnow|today)\(|\bdate\.today\(|(?<!\w)time\.(?:time|time_ns|gmtime|localtime|ctime)\b"
    r"|\bredis\(\)\.time\("
)
LUA = re.compile(r"call\(\s*['\"](?:TIME|time)['\"]")
PLAIN_SQL = re.compile(r"pg_catalog\.(?:now|\w+_timestamp|\{\w+\})\(")
# A sandbox cannot replace these by functions of its own, because PostgreSQL parses them as keywords or constants.
IRREPLACEABLE = re.compile(
    r"\b(?:CURRENT_TIMESTAMP|CURRENT_TIME|CURRENT_DATE|LOCALTIMESTAMP|LOCALTIME)\b"
    r"|\bfunc\.(?:current_timestamp|current_time|current_date|localtimestamp|localtime|sysdate|timeofday|age)\b"
    r"|\btimeofday\(|'(?:now|today|tomorrow|yesterday)'::|\bage\([^,()]*\)",
    re.IGNORECASE,
)

ALLOWED = {
    PYTHON: {
        "weelo_workers/clock.py": "the clock itself",
        "weelo_workers/cli/__init__.py": "times in a token: they are compared with the plain clock",
        "weelo_workers/metrics/counters.py": "when a process began",
        "weelo_workers/runtime/system.py": "when the process of `weelo up` began",
        "weelo_workers/runtime/console_log.py": "the time in front of a line on the terminal",
        "weelo_workers/notifications/live_stream.py": "the ids of stream entries, which have Redis's own time",
        "weelo_workers/notifications/push_results.py": "FCM answers in real time, and checks run in real time",
        "weelo_workers/notifications/socket_sessions.py": "the order in which sockets were opened",
        "weelo_api/sandbox/tokens.py": "times in a token: they are compared with the plain clock",
        "weelo_workers/webhooks/posting.py": "the time in a signature: receivers compare it with the plain clock",
        "weelo_api/console/sessions.py": "the end of a token: it is compared with the plain clock",
        "weelo_api/websocket/session.py": "the end of a token: it is compared with the plain clock",
    },
    LUA: {"weelo_workers/redis_clock.py": "the clock itself"},
    PLAIN_SQL: {
        "weelo_workers/clock.py": "how far the plain clock differs from the plain clock of PostgreSQL",
        "weelo_workers/models/sandbox.py": "the clock itself",
        "weelo_api/sandbox/mover.py": "the offset is the difference to the plain clock",
        "weelo_workers/webhooks/leases.py": "a lease limits the real time of a process",
        "weelo_workers/messaging/beat_heartbeats.py": "a heartbeat is of the real time of a process",
        "weelo_workers/queries/health.py": "the age of such a heartbeat",
        "weelo_workers/doctor/recording.py": "checks run in real time",
        "weelo_workers/models/replica.py": "the lag of a standby, which PostgreSQL measures by its own clock",
    },
    IRREPLACEABLE: {},
}
TIMES_IN_SQL = re.compile(r"(?<![\w.])(?:func\.)?(\w*(?:now|_timestamp))\(\)", re.IGNORECASE)
# This function may be called anywhere, because it returns the time of an earlier commit, not the present time.
PAST = {"pg_last_xact_replay_timestamp"}


def _files() -> Iterator[tuple[str, str]]:
    for folder in ("weelo_workers", "weelo_api"):
        for path in python_files(folder):
            yield str(path.relative_to(ROOT)), path.read_text()


@pytest.mark.parametrize("asks", ALLOWED, ids=["python", "lua", "plain-sql", "irreplaceable"])
def test_the_time_is_read_in_the_listed_places_only(asks: re.Pattern[str]) -> None:
    assert {name for name, text in _files() if asks.search(text)} == set(ALLOWED[asks])


def test_every_function_of_SQL_that_returns_the_time_is_one_that_a_sandbox_replaces() -> None:
    found = {name.lower() for _, text in _files() for name in TIMES_IN_SQL.findall(text)}
    assert "clock_timestamp" in found
    assert found - PAST <= set(CLOCK_FUNCTIONS)


@pytest.mark.parametrize(
    ("asks", "line"),
    [
        (PYTHON, "began = datetime.now(UTC)"),
        (PYTHON, "began = time.time()"),
        (PYTHON, "seconds, _ = redis().time()"),
        (LUA, "local t = redis.call('TIME')"),
        (PLAIN_SQL, "SELECT pg_catalog.now()"),
        (IRREPLACEABLE, "SELECT CURRENT_TIMESTAMP"),
        (IRREPLACEABLE, "select(func.current_timestamp())"),
        (IRREPLACEABLE, "SELECT 'now'::timestamptz"),
        (IRREPLACEABLE, "SELECT age(created_at)"),
    ],
)
def test_a_new_place_would_be_found(asks: re.Pattern[str], line: str) -> None:
    assert asks.search(line)
    assert not asks.search("began = clock.now(); deadline = time.monotonic(); select(func.clock_timestamp())")
