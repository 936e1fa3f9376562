"""In production webhooks are posted by HTTPS to public addresses only, also if a name server changes its answer."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import aiodns
import httpcore
import pytest
from pydantic import ValidationError
from pydantic_core import to_json

from tests.support.tls import Authority, TlsProxy
from tests.support.webhook_receiver import SilentEndpoint, WebhookReceiver
from weelo_workers.contracts.addresses import is_public
from weelo_workers.contracts.webhooks import NewWebhook, fault_in_production, frame_of_test
from weelo_workers.webhooks import posting

SECRETS = ["whsec_c2VjcmV0"]
BODY = to_json(frame_of_test(uuid4(), uuid4(), "2026-02-19T10:00:00.000Z"))

PUBLIC = [
    "8.8.8.8",
    "1.1.1.1",
    "2606:4700:4700::1111",
    "64:ff9b::808:808",
    "2002:808:808::1",
    "::ffff:8.8.8.8",
]
NOT_PUBLIC = {
    "loopback": "127.0.0.1",
    "all of loopback": "127.8.8.8",
    "private": "10.0.0.1",
    "private, of 172": "172.16.0.1",
    "private, of 192": "192.168.1.1",
    "link-local": "169.254.169.254",
    "shared (CGNAT)": "100.64.0.1",
    "unspecified": "0.0.0.0",  # noqa: S104 (a test binds nothing to it)
    "this network": "0.1.2.3",
    "multicast": "224.0.0.1",
    "broadcast": "255.255.255.255",
    "reserved": "240.0.0.1",
    "documentation": "192.0.2.1",
    "benchmarks": "198.18.0.1",
    "6to4 relays": "192.88.99.1",
    "loopback of IPv6": "::1",
    "unspecified of IPv6": "::",
    "link-local of IPv6": "fe80::1",
    "with a zone": "fe80::1%eth0",
    "unique local": "fd00::1",
    "site-local": "fec0::1",
    "multicast of IPv6": "ff02::1",
    "multicast, global": "ff0e::1",
    "documentation of IPv6": "2001:db8::1",
    "mapped loopback": "::ffff:127.0.0.1",
    "mapped private": "::ffff:10.0.0.1",
    "6to4 of private": "2002:a00:1::1",
    "NAT64 of loopback": "64:ff9b::7f00:1",
    "NAT64 of metadata": "64:ff9b::a9fe:a9fe",
    "local NAT64": "64:ff9b:1::a00:1",
    "IPv4-compatible": "::10.0.0.1",
    "Teredo": "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "discard": "100::1",
}


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_is_recognised(address: str) -> None:
    assert is_public(address) is True


@pytest.mark.parametrize("address", NOT_PUBLIC.values(), ids=NOT_PUBLIC.keys())
def test_an_address_of_another_kind_is_not_public(address: str) -> None:
    assert is_public(address) is False


def test_a_name_is_no_address() -> None:
    assert is_public("example.com") is None


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/",
        "https://localhost/",
        "https://LOCALHOST./",
        "https://a.localhost/",
        "https://127.0.0.1/",
        "https://[::1]/",
        "https://[::ffff:10.0.0.1]:8443/x",
        "https://169.254.169.254/latest/meta-data",
    ],
)
def test_production_refuses_a_url_that_is_not_public(url: str) -> None:
    assert NewWebhook(url=url, events=("*",)).url == url
    assert fault_in_production(url)
    answer = post(url, NameServer(["8.8.8.8"]))
    assert answer.result == "forbidden"


@pytest.mark.parametrize("url", ["https://example.com/weelo?a=b", "https://8.8.8.8:8443/x"])
def test_production_takes_a_public_url(url: str) -> None:
    assert fault_in_production(url) is None


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.com",
        "ftp://example.com/",
        "https://",
        "https://user@example.com/",
        "https://user:password@example.com/",
        "https://@example.com/",
        "https://example.com/#part",
        "https://example.com:0/",
        "https://example.com:99999/",
        "https://example.com:x/",
        "https://[::1/",
        "https://exa mple.com/",
        "https://example.com/\r\nX-Injected: 1",
        "https://exämple.com/",
        f"https://{'a' * 64}.com/",
        "https://example.com/" + "a" * 2_000,
        "javascript:alert(1)",
        "//example.com/",
    ],
)
def test_a_url_that_cannot_be_called_is_refused(url: str) -> None:
    with pytest.raises(ValidationError):
        NewWebhook(url=url, events=("*",))


class NameServer:
    """Answers each look-up with the next element of a list; the last element is repeated."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self._answers, self.asked = list(answers), 0

    async def __call__(self, *_: object) -> Sequence[str]:
        self.asked += 1
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]


def post(url: str, name_server: NameServer, *, in_production: bool = True) -> posting.Attempt:
    return asyncio.run(
        posting.post(url, SECRETS, "id", BODY, in_production=in_production, resolve=name_server)
    )


@pytest.mark.parametrize("address", NOT_PUBLIC.values(), ids=NOT_PUBLIC.keys())
def test_production_connects_to_no_name_that_leads_to_another_address(address: str) -> None:
    answer = post("https://example.com/", NameServer([address]))
    assert (answer.result, answer.http_status) == ("forbidden", None)


def test_one_forbidden_address_among_public_ones_is_enough() -> None:
    assert post("https://example.com/", NameServer(["8.8.8.8", "127.0.0.1"])).result == "forbidden"


def test_a_name_that_changes_between_check_and_connect_has_no_effect(
    receiver: WebhookReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name server answers first with a public address, then with loopback. The post looks up the name only once."""
    connected: list[str] = []

    class Network:
        async def connect_tcp(self, host: str, *_: object, **__: object) -> None:
            connected.append(host)
            raise httpcore.ConnectError("not in a test")

    monkeypatch.setattr(httpcore, "AnyIOBackend", Network)
    name_server = NameServer(["8.8.8.8"], ["127.0.0.1"])
    answer = post(f"https://example.com:{receiver.port}/", name_server)
    assert (answer.result, connected, name_server.asked) == ("unreachable", ["8.8.8.8"], 1)
    assert post(f"https://example.com:{receiver.port}/", name_server).result == "forbidden"
    assert connected == ["8.8.8.8"]
    assert receiver.messages == []


class SilentNameServer:
    """A name server that receives every question and answers none."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]

    def close(self) -> None:
        self._socket.close()


def test_names_that_cannot_be_looked_up_delay_no_other(
    receiver: WebhookReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    silent = SilentNameServer()
    made = aiodns.DNSResolver

    def resolver(**options: Any) -> aiodns.DNSResolver:
        return made(nameservers=[f"127.0.0.1:{silent.port}"], **options)

    monkeypatch.setattr(aiodns, "DNSResolver", resolver)
    monkeypatch.setattr(posting, "ATTEMPT_SECONDS", 3.0)

    async def posts() -> tuple[posting.Attempt, list[posting.Attempt]]:
        resolve = posting.Resolver()

        async def to(url: str) -> posting.Attempt:
            return await posting.post(url, SECRETS, "id", BODY, in_production=False, resolve=resolve)

        hanging = asyncio.gather(*[to(f"http://endpoint{number}.example/") for number in range(300)])
        await asyncio.sleep(0.1)
        answers = await to(f"http://localhost:{receiver.port}/hook"), await hanging
        await resolve.close()
        return answers

    answer, others = asyncio.run(posts())
    assert answer.delivered
    assert answer.seconds < 1
    assert {each.result for each in others} == {"timeout"}
    silent.close()


def test_the_look_up_of_a_host_returns_all_its_addresses() -> None:
    async def look_up(host: str) -> Sequence[str]:
        resolve = posting.Resolver()
        try:
            return await resolve(host, 80)
        finally:
            await resolve.close()

    assert "127.0.0.1" in asyncio.run(look_up("localhost"))
    assert asyncio.run(look_up("192.0.2.7")) == ["192.0.2.7"]
    assert asyncio.run(look_up("2001:db8::7")) == ["2001:db8::7"]
    with pytest.raises(httpcore.ConnectError, match="cannot be looked up"):
        asyncio.run(look_up("weelo.invalid"))


def test_the_next_address_is_tried_if_one_refuses(receiver: WebhookReceiver) -> None:
    url = f"http://example.com:{receiver.port}/hook"
    answer = post(url, NameServer(["127.0.0.2", "127.0.0.1"]), in_production=False)
    assert answer.delivered
    assert receiver.messages[0].headers["host"] == f"example.com:{receiver.port}"


def test_no_proxy_of_the_environment_is_used(
    receiver: WebhookReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    silent = SilentEndpoint()
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, silent.url)
    assert post(receiver.url, NameServer(["127.0.0.1"]), in_production=False).delivered
    silent.close()


# --- certificates -----------------------------------------------------------------------------------------


def test_a_wrong_certificate_is_a_failure_and_the_right_one_is_not(
    receiver: WebhookReceiver, authority: Authority, tmp_path: Path
) -> None:
    stranger = Authority(tmp_path, "stranger")
    parts = urlsplit(receiver.url)
    plain = f"http://{parts.netloc}"
    for certificate, delivered in (
        (stranger.certificate("example.com"), False),
        (authority.certificate("another.example"), False),
        (authority.certificate("example.com"), True),
    ):
        with TlsProxy(plain, certificate) as proxy:
            url = f"https://example.com:{proxy.port}/hook"
            answer = post(url, NameServer(["127.0.0.1"]), in_production=False)
        assert answer.delivered is delivered, answer
        assert ("certificate" in (answer.error or "").lower()) is not delivered
    assert len(receiver.messages) == 1
