"""Settings and servers of a run, made before any module reads the settings, and the fixtures of all folders."""

from __future__ import annotations

import fcntl
import logging
import os
import re
import signal
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support import answer_checks, deviations, long, message_checks, servers
from tests.support.tokens import SECRET

if TYPE_CHECKING:
    from tests.support.world import World


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--long", action="store_true", help="also run the tests marked `long`, and more rounds of the races"
    )


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--long"):
        os.environ[long.VARIABLE] = "1"
    # Environment variables for libpq and for proxies are removed, because they would redirect connections. The servers
    # under test run on this machine, and their URLs are complete.
    foreign = ("PG", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
    for name in [each for each in os.environ if each.upper().startswith(foreign)]:
        if not (name.startswith("PG") and os.environ.get("DATABASE_URL")):
            del os.environ[name]
    # A background job of a shell ignores SIGINT. The default is restored, because programs that the tests start would
    # inherit the ignored signal.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    if worker is None:
        servers.start()
    number = int(re.sub(r"\D", "", worker or "0") or 0) + 1
    # Each worker of pytest-xdist has its own database and its own Redis database. The variables are set before any
    # module reads the settings.
    os.environ["DATABASE_URL"] = servers.own_database(number)
    os.environ["REDIS_URL"] = servers.own_redis(number)
    os.environ["JWT_SECRET"] = SECRET
    os.environ["WEELO_ENV"] = "development"
    answer_checks.install()
    message_checks.install()
    logging.getLogger("weelo_workers.messaging.run").addHandler(deviations.FromLog())


def pytest_unconfigure(config: pytest.Config) -> None:
    servers.stop()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Without `--long`, leave out the tests marked `long`, and all but the named parameters of those marked `long_except`."""
    if config.getoption("--long"):
        return
    left_out = [item for item in items if long.is_long(item)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if not long.is_long(item)]


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Run a test marked `alone` while no other worker runs any test. Waiting does not count towards a test's time limit."""
    with _lock("turn", fcntl.LOCK_EX) as turn:
        alone = item.get_closest_marker("alone") is not None
        with _lock("tests", fcntl.LOCK_EX if alone else fcntl.LOCK_SH):
            # While a test marked `alone` waits for the lock `tests`, it holds the lock `turn`, so that no other test
            # begins.
            fcntl.flock(turn, fcntl.LOCK_UN)
            return (yield)


@contextmanager
def _lock(name: str, kind: int) -> Iterator[int]:
    """Hold a lock that all xdist workers of this run share."""
    folder = Path(os.environ["WEELO_TEST_FOLDER"])
    with (folder / f"{name}.lock").open("w") as file:
        fcntl.flock(file, kind)
        yield file.fileno()


@pytest.fixture(autouse=True)
def _loggers_enabled() -> None:
    """Enable the project's loggers again. A command of `weelo` that a test ran in this process may have disabled them."""
    for name, logger in logging.root.manager.loggerDict.items():
        if name.startswith("weelo_") and isinstance(logger, logging.Logger):
            logger.disabled = False
    # The level of this logger is reset as well, because a command of `weelo` may have set it.
    logging.getLogger("weelo_workers.logs.outages").setLevel(logging.NOTSET)


@pytest.fixture(autouse=True)
def _no_deviations(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail the test if a response, frame or push was not as documented, or a handler rejected with an undeclared code."""
    if request.node.get_closest_marker("undocumented"):
        with deviations.tolerated():
            yield
            message_checks.finish()
        return
    yield
    message_checks.finish()
    if found := deviations.take():
        pytest.fail("\n".join(["not as the documents say:", *found[:10]]), pytrace=False)


@pytest.fixture(scope="session")
def migrated() -> None:
    from weelo_workers.models.migrate import upgrade_to_head

    upgrade_to_head()


@pytest.fixture
def world(migrated: None) -> World:
    """Return a `World` on an empty database and an empty Redis."""
    from tests.support.world import World

    world = World()
    world.empty()
    return world
