"""redis-py and Celery connect to the same place in the same way, whatever the URL says."""

from __future__ import annotations

import ssl
from urllib.parse import quote

import pytest
from hypothesis import given, settings, strategies as st
from kombu.connection import Connection
from redis import Redis

from weelo_workers import redis_url

TLS = ("cert_reqs", "check_hostname", "ca_certs", "certfile", "keyfile")


def by_redis(url: str) -> dict[str, object]:
    client = Redis(**redis_url.read(url).for_redis())
    return described(client.connection_pool.make_connection())


def by_celery(url: str) -> dict[str, object]:
    """Return the parameters that kombu connects with. The channel's constructor is skipped, because it would connect."""
    chosen = redis_url.read(url).for_celery()
    transport = Connection(chosen["broker_url"], ssl=chosen["broker_use_ssl"]).transport
    channel = object.__new__(transport.Channel)
    channel.connection = transport
    parameters = channel._connparams()
    return described(parameters.pop("connection_class")(**without_pool(parameters)))


def without_pool(parameters: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in parameters.items() if name != "max_connections"}


def described(connection: object) -> dict[str, object]:
    names = ("host", "port", "path", "db", "username", "password", *TLS)
    found = {name: getattr(connection, name, None) for name in names}
    return {"kind": type(connection).__name__, **found}


@pytest.mark.parametrize(
    "url",
    [
        "redis://localhost",
        "redis://localhost/",
        "redis://localhost/5",
        "redis://localhost?db=5",
        "redis://localhost/1?db=5",
        "redis://[::1]:6380/2",
        "redis://user:pass@localhost:6380/0",
        "redis:///3",
        "unix:///run/redis.sock",
        "unix:///run/redis%20one.sock?db=7",
        "unix://user:pass%2Fword@/run/redis.sock?db=1",
        "rediss://localhost:6380/4",
        "rediss://:pass@localhost/0?ssl_cert_reqs=none",
        "rediss://localhost?ssl_cert_reqs=CERT_NONE",
        "rediss://localhost?ssl_cert_reqs=optional&ssl_check_hostname=false",
        "rediss://localhost?ssl_check_hostname=false",
    ],
)
def test_both_libraries_connect_alike(url: str) -> None:
    assert by_redis(url) == by_celery(url)


@settings(deadline=None)  # building a TLS context may take long on a busy machine
@given(user=st.text(max_size=8), password=st.text(min_size=1, max_size=12), db=st.integers(0, 99))
@pytest.mark.parametrize(
    "address", ["redis://{}@localhost/{}", "rediss://{}@[::1]:1/{}", "unix://{}@/run/s?db={}"]
)
def test_both_libraries_sign_in_alike_whatever_the_password_contains(
    address: str, user: str, password: str, db: int
) -> None:
    url = address.format(f"{quote(user, safe='')}:{quote(password, safe='')}", db)
    seen = by_redis(url)
    assert seen == by_celery(url)
    assert (seen["username"], seen["password"], seen["db"]) == (user or None, password, db)


def test_a_certificate_is_verified_unless_the_url_says_otherwise() -> None:
    for seen in (by_redis("rediss://localhost"), by_celery("rediss://localhost")):
        assert (seen["cert_reqs"], seen["check_hostname"]) == (ssl.CERT_REQUIRED, True)
    for seen in (by_redis("rediss://h?ssl_cert_reqs=none"), by_celery("rediss://h?ssl_cert_reqs=none")):
        assert (seen["cert_reqs"], seen["check_hostname"]) == (ssl.CERT_NONE, False)


def test_the_printed_form_of_an_address_has_no_password() -> None:
    assert "hunter2" not in repr(redis_url.read("rediss://:hunter2@localhost?ssl_password=hunter2"))
