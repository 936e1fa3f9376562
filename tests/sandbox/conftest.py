"""One running sandbox, shared by all tests of this folder. Each test begins with an empty one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.sandbox.sandbox_system import Sandbox
from tests.support.servers import SANDBOX, own_database, own_redis
from tests.support.tls import Authority
from weelo_workers.redis_client import connect


@pytest.fixture(scope="package")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Return the authority whose certificates the running sandbox trusts."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="package")
def running_sandbox(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[Sandbox]:
    redis_url = own_redis(SANDBOX)
    connect(redis_url).flushdb()
    running = Sandbox(
        tmp_path_factory.mktemp("sandbox") / "data",
        DATABASE_URL=own_database(SANDBOX),
        REDIS_URL=redis_url,
        SSL_CERT_FILE=str(authority.file),
    )
    yield running
    running.stop()


@pytest.fixture
def sandbox(running_sandbox: Sandbox) -> Sandbox:
    running_sandbox.reset()
    return running_sandbox
