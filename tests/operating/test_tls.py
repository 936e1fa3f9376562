"""TLS to Redis: redis-py and Celery verify certificates alike, and send no password to an untrusted server."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.redis_libraries import LIBRARIES, Connects
from tests.support.servers import TLS, own_redis
from tests.support.tls import Authority, TlsProxy


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("stranger"), "stranger")


@pytest.mark.parametrize("connects", LIBRARIES)
@pytest.mark.parametrize(
    "trust", ["", "?ssl_cert_reqs=required", "?ssl_check_hostname=false", "?ssl_ca_certs={}"]
)
def test_a_server_with_an_untrusted_certificate_gets_no_byte(
    authority: Authority, stranger: Authority, connects: Connects, trust: str
) -> None:
    with TlsProxy(own_redis(TLS), stranger.certificate("127.0.0.1")) as proxy:
        assert not connects(proxy.url(trust.format(authority.file)))
        assert proxy.refused and not proxy.handshakes
        assert proxy.received == b""


@pytest.mark.parametrize("connects", LIBRARIES)
def test_a_server_whose_certificate_is_for_another_host_gets_no_byte(
    authority: Authority, connects: Connects
) -> None:
    trust = f"?ssl_ca_certs={authority.file}"
    with TlsProxy(own_redis(TLS), authority.certificate("elsewhere.example")) as proxy:
        assert not connects(proxy.url(trust))
        assert proxy.received == b""
        assert connects(proxy.url(f"{trust}&ssl_check_hostname=false"))


@pytest.mark.parametrize("connects", LIBRARIES)
def test_a_trusted_server_is_used(authority: Authority, connects: Connects) -> None:
    with TlsProxy(own_redis(TLS), authority.certificate("127.0.0.1")) as proxy:
        assert connects(proxy.url(f"?ssl_ca_certs={authority.file}"))
        assert b"AUTH" in proxy.received, "an untrusted server would have received this"


@pytest.mark.parametrize("connects", LIBRARIES)
def test_without_verification_every_server_is_used(stranger: Authority, connects: Connects) -> None:
    with TlsProxy(own_redis(TLS), stranger.certificate("127.0.0.1")) as proxy:
        assert connects(proxy.url("?ssl_cert_reqs=none"))


@pytest.mark.parametrize("connects", LIBRARIES)
def test_a_server_that_wants_a_certificate_gets_the_one_of_the_url(
    authority: Authority, connects: Connects
) -> None:
    own, trust = authority.certificate("weelo.example"), f"?ssl_ca_certs={authority.file}"
    with TlsProxy(own_redis(TLS), authority.certificate("127.0.0.1"), authority.file) as proxy:
        assert not connects(proxy.url(trust))
        assert connects(proxy.url(f"{trust}&ssl_certfile={own}&ssl_keyfile={own}"))


def test_workers_send_an_untrusted_server_nothing(stranger: Authority, tmp_path: Path) -> None:
    """Celery has one connection for reading and one for writing, and must refuse the server's certificate on both."""
    script = (
        "from weelo_workers.app import app\n"
        "from kombu.exceptions import OperationalError\n"
        "for connection in (app.connection_for_read(), app.connection_for_write()):\n"
        "    try:\n        connection.ensure_connection(max_retries=1, interval_start=0)\n"
        "    except OperationalError:\n        print('refused')\n"
    )
    with TlsProxy(own_redis(TLS), stranger.certificate("127.0.0.1")) as proxy:
        done = subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "CELERY_BROKER_URL": proxy.url()},
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        assert done.stdout.split() == ["refused"] * 2
        assert proxy.refused and not proxy.handshakes and proxy.received == b""
