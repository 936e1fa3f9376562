"""Requests that are malformed on the wire are answered with problem+json, once, and without a traceback."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.api_process import Api
from tests.support.raw_http import exchange, problem, request


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("malformed") / "api.log"


@pytest.fixture(scope="module")
def api(migrated: None, log: Path) -> Iterator[Api]:
    api = Api(log=log)
    yield api
    api.stop()


@pytest.fixture(autouse=True)
def _nothing_is_logged_as_an_error(log: Path, api: Api) -> Iterator[None]:
    before = log.stat().st_size
    yield
    logged = log.read_text()[before:]
    assert "Traceback" not in logged
    assert "unexpected" not in logged


MALFORMED_CHUNKS = {
    "letters for a size": b"ZZ\r\n{}\r\n0\r\n\r\n",
    "0x2": b"0x2\r\n{}\r\n0\r\n\r\n",
    "a negative size": b"-2\r\n{}\r\n0\r\n\r\n",
    "a signed size": b"+2\r\n{}\r\n0\r\n\r\n",
    "an underscore": b"0_2\r\n{}\r\n0\r\n\r\n",
    "an empty size": b"\r\n{}\r\n0\r\n\r\n",
    "a space before the size": b" 2\r\n{}\r\n0\r\n\r\n",
    "no CRLF after a chunk": b"2\r\n{}0\r\n\r\n",
    "a chunk longer than its size": b"2\r\n{}   \r\n0\r\n\r\n",
    "line feeds alone": b"2\n{}\n0\n\n",
    "a size beyond 64 bits": b"F" * 20 + b"\r\n{}\r\n0\r\n\r\n",
    "a size line without end": b"0" * 20_000 + b"2\r\n{}\r\n0\r\n\r\n",
    "a bad extension": b"2;=\r\n{}\r\n0\r\n\r\n",
    "a bad trailer": b"2\r\n{}\r\n0\r\nno colon\r\n\r\n",
    "a forbidden trailer": b"2\r\n{}\r\n0\r\nAuthorization: Bearer x\r\n\r\n",
    "a folded trailer": b"2\r\n{}\r\n0\r\nX: y\r\n z\r\n\r\n",
    "no last chunk": b"2\r\n{}\r\n",
    "half a chunk": b"200\r\n{}",
    "no end of the trailers": b"2\r\n{}\r\n0\r\n",
    "nothing": b"",
}

# Each of these routes reads its body in a different way.
READERS = {
    "a command with a body": ("POST /api/v1/bookings", "customer"),
    "a command with an optional body": (
        "PUT /api/v1/bookings/7f3b1c1e-0000-4000-8000-000000000000/cancel",
        "customer",
    ),
    "a command without a body": (
        "POST /api/v1/orders/7f3b1c1e-0000-4000-8000-000000000000/continue-partial",
        "customer",
    ),
    "telemetry": ("POST /api/v1/transporter/heartbeat", "transporter"),
}
DRAINERS = {
    "a read": ("GET /healthz", "customer", 200),
    "another role's route": ("POST /api/v1/bookings", "driver", 403),
    "no token": ("POST /api/v1/bookings", None, 401),
    "an unknown address": ("POST /nothing/here", "customer", 404),
    "an unknown method": ("DELETE /api/v1/bookings", "customer", 405),
    "the socket": ("GET /api/v1/ws", "customer", 400),
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("chunks", MALFORMED_CHUNKS)
def test_a_malformed_chunked_body_is_400(api: Api, chunks: str, reader: str) -> None:
    line, role = READERS[reader]
    sent = request(line, "Transfer-Encoding: chunked", body=MALFORMED_CHUNKS[chunks], role=role)
    [answer] = exchange(api.port, sent, half_close=True)
    assert problem(answer, 400, "VALIDATION_ERROR")["retryable"] is False


@pytest.mark.parametrize("drainer", DRAINERS)
@pytest.mark.parametrize("chunks", MALFORMED_CHUNKS)
def test_a_malformed_chunked_body_that_is_not_read_gets_exactly_one_answer(
    api: Api, chunks: str, drainer: str
) -> None:
    line, role, status = DRAINERS[drainer]
    sent = request(line, "Transfer-Encoding: chunked", body=MALFORMED_CHUNKS[chunks], role=role, close=False)
    [answer] = exchange(api.port, sent, half_close=True)
    assert answer.status == status


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("body", [b"", b"{}", b'{"latitude": 1.0, "longitude": 1.0}'])
def test_a_body_shorter_than_its_length_is_400_and_is_not_executed(
    api: Api, body: bytes, reader: str
) -> None:
    line, role = READERS[reader]
    [answer] = exchange(api.port, request(line, "Content-Length: 100", body=body, role=role), half_close=True)
    problem(answer, 400, "VALIDATION_ERROR")


def test_a_well_formed_chunked_body_is_read(api: Api) -> None:
    chunks = b'11;a=b\r\n{"latitude": 1.0,\r\n12\r\n "longitude": 1.0}\r\n0\r\nX-Trailer: y\r\n\r\n'
    line, role = READERS["telemetry"]
    [answer] = exchange(api.port, request(line, "Transfer-Encoding: chunked", body=chunks, role=role))
    assert answer.status == 204


MALFORMED_HEADS = {
    "a lower-case method": (b"post /api/v1/bookings HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "a method in mixed case": (b"Get /healthz HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "a method with a control character": (b"GE\x01T /healthz HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "a short method": (b"GO /healthz HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "a request line of one word": (b"GET\r\nHost: x\r\n\r\n", 400),
    "a request line of two words": (b"GET /healthz\r\nHost: x\r\n\r\n", 400),
    "two spaces in the request line": (b"GET  /healthz HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "a target with a space": (b"GET /a b HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "a target that is no path": (b"GET healthz HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "a target beyond ASCII": ("GET /ü HTTP/1.1\r\nHost: x\r\n\r\n".encode(), 400),
    "a target with a NUL": (b"GET /\x00 HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "a target with a broken IPv6 address": (b"GET http://[::1/healthz HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "an asterisk": (b"GET * HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "HTTP/0.9": (b"GET /healthz HTTP/0.9\r\nHost: x\r\n\r\n", 505),
    "HTTP/2.0": (b"GET /healthz HTTP/2.0\r\nHost: x\r\n\r\n", 505),
    "the preface of HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "no version at all": (b"GET /healthz HTP/1.1\r\nHost: x\r\n\r\n", 400),
    "no request at all": (b"hello\r\n\r\n", 400),
    "a header without a colon": (b"GET /healthz HTTP/1.1\r\nHost: x\r\nno colon\r\n\r\n", 400),
    "a header without a name": (b"GET /healthz HTTP/1.1\r\nHost: x\r\n: y\r\n\r\n", 400),
    "a space before the colon": (b"GET /healthz HTTP/1.1\r\nHost: x\r\nX : y\r\n\r\n", 400),
    "a folded header": (b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: y\r\n z\r\n\r\n", 400),
    "a NUL in a header": (b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: \x00\r\n\r\n", 400),
    "line feeds alone": (b"GET /healthz HTTP/1.1\nHost: x\r\n\r\n", 400),
    "no host": (b"GET /healthz HTTP/1.1\r\n\r\n", 400),
    "a host with a space": (b"GET /healthz HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
    "a host with a path": (b"GET /healthz HTTP/1.1\r\nHost: x/y\r\n\r\n", 400),
    "a host with a user": (b"GET /healthz HTTP/1.1\r\nHost: a@b\r\n\r\n", 400),
    "a host with a port in words": (b"GET /healthz HTTP/1.1\r\nHost: x:http\r\n\r\n", 400),
    "two hosts in HTTP/1.0": (b"GET /healthz HTTP/1.0\r\nHost: x\r\nHost: y\r\n\r\n", 400),
    "two hosts": (b"GET /healthz HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", 400),
    "a long target": (b"GET /" + b"x" * 10_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414),
    "a long query": (b"GET /healthz?" + b"x" * 10_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414),
    "a target without end": (b"GET /" + b"x" * 40_000, 414),
    "a long header": (b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 10_000 + b"\r\n\r\n", 431),
    "many headers": (b"GET /healthz HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * 200 + b"\r\n", 431),
    "headers without end": (b"GET /healthz HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * 10_000, 431),
    "a header without end": (b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 40_000, 431),
    "an unknown expectation": (b"GET /healthz HTTP/1.1\r\nHost: x\r\nExpect: miracles\r\n\r\n", 417),
    "an unknown coding": (
        b"POST /healthz HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: br, chunked\r\n\r\n",
        501,
    ),
    "a coding below chunked": (
        b"POST /healthz HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        501,
    ),
    "a coding in a header of its own": (
        b"POST /healthz HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n",
        501,
    ),
    "a coding that is not chunked": (
        b"POST /healthz HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n",
        400,
    ),
    "chunked twice": (
        b"POST /healthz HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, chunked\r\n\r\n",
        400,
    ),
    "chunked in HTTP/1.0": (
        b"POST /healthz HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    "a length and chunks": (
        b"POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    "a negative length": (b"POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 400),
    "a signed length": (b"POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: +1\r\n\r\n1", 400),
    "two lengths": (
        b"POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n12",
        400,
    ),
    "a list of lengths": (b"POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 1, 1\r\n\r\n1", 400),
    "a length in words": (b"POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: ten\r\n\r\n", 400),
    "a length of 5,000 digits": (
        b"POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: " + b"9" * 5_000 + b"\r\n\r\n",
        400,
    ),
    "a length in superscript": (
        "POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: ²\r\n\r\n".encode("latin-1"),
        400,
    ),
}


@pytest.mark.parametrize("name", MALFORMED_HEADS)
def test_a_malformed_head_is_answered_with_a_problem_and_the_connection_ends(api: Api, name: str) -> None:
    """Bytes that follow the malformed head are not parsed as another request."""
    head, status = MALFORMED_HEADS[name]
    smuggled = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" if head.endswith(b"\r\n\r\n") else b""
    [answer] = exchange(api.port, head + smuggled)
    assert problem(answer, status, "VALIDATION_ERROR")["retryable"] is False
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"


UNUSUAL = {
    "HTTP/1.0": (b"GET /healthz HTTP/1.0\r\n\r\n", 200),
    "an empty line before the request": (
        b"\r\nGET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        200,
    ),
    "an absolute target": (b"GET http://elsewhere.example/healthz HTTP/1.1\r\nHost: x\r\n\r\n", 200),
    "an absolute target without a path": (b"GET http://elsewhere.example HTTP/1.1\r\nHost: x\r\n\r\n", 404),
    "an absolute target of two slashes": (
        b"GET http://elsewhere.example//healthz HTTP/1.1\r\nHost: x\r\n\r\n",
        404,
    ),
    "a target with a scheme alone": (b"GET http:///healthz HTTP/1.1\r\nHost: x\r\n\r\n", 200),
    "CONNECT": (b"CONNECT elsewhere.example:443 HTTP/1.1\r\nHost: x\r\n\r\n", 404),
    "OPTIONS of everything": (b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", 404),
    "TRACE": (b"TRACE /healthz HTTP/1.1\r\nHost: x\r\n\r\n", 405),
    "a method of twenty letters": (b"ABCDEFGHIJKLMNOPQRST /healthz HTTP/1.1\r\nHost: x\r\n\r\n", 405),
    "a NUL in the path": (b"GET /healthz%00 HTTP/1.1\r\nHost: x\r\n\r\n", 404),
    "a line end in the path": (b"GET /healthz%0d%0aX:%20y HTTP/1.1\r\nHost: x\r\n\r\n", 404),
    "a slash in the path": (b"GET /api%2fv1%2fbroadcasts HTTP/1.1\r\nHost: x\r\n\r\n", 404),
    "two slashes in the path": (b"GET /%2fhealthz HTTP/1.1\r\nHost: x\r\n\r\n", 404),
    "half an escape in the path": (b"GET /healthz% HTTP/1.1\r\nHost: x\r\n\r\n", 404),
    "bytes that are no UTF-8": (b"GET /%ff%fe HTTP/1.1\r\nHost: x\r\n\r\n", 404),
    "a surrogate in the path": (b"GET /%ed%a0%80 HTTP/1.1\r\nHost: x\r\n\r\n", 404),
    "a path above the root": (b"GET /../healthz HTTP/1.1\r\nHost: x\r\n\r\n", 404),
    "a file outside": (b"GET /docs/assets/..%2f..%2f..%2fetc/passwd HTTP/1.1\r\nHost: x\r\n\r\n", 404),
    "a query that is odd": (b"GET /healthz?%ff=%00&&==&[]=%zz HTTP/1.1\r\nHost: x\r\n\r\n", 200),
    "many parameters": (b"GET /healthz?" + b"a=1&" * 1_900 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 200),
    "a fragment": (b"GET /healthz#x HTTP/1.1\r\nHost: x\r\n\r\n", 404),
    "an empty host": (b"GET /healthz HTTP/1.1\r\nHost:\r\n\r\n", 200),
    "a host that is an IPv6 address": (b"GET /healthz HTTP/1.1\r\nHost: [::1]:8000\r\n\r\n", 200),
    "HTTP/1.2": (b"GET /healthz HTTP/1.2\r\nHost: x\r\nConnection: close\r\n\r\n", 200),
    "cookies without sense": (b"GET /healthz HTTP/1.1\r\nHost: x\r\nCookie: ;=;a;\xff=\x80\r\n\r\n", 200),
    "a range": (b"GET /healthz HTTP/1.1\r\nHost: x\r\nRange: bytes=9-1,x\r\n\r\n", 200),
    "bytes beyond ASCII in the token": (
        b"GET /api/v1/offers HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \xff\r\n\r\n",
        401,
    ),
    "a token that is a digest": (
        b'GET /api/v1/offers HTTP/1.1\r\nHost: x\r\nAuthorization: Digest a="\r\n\r\n',
        401,
    ),
    "an empty token": (b"GET /api/v1/offers HTTP/1.1\r\nHost: x\r\nAuthorization:\r\n\r\n", 401),
}


@pytest.mark.parametrize("name", UNUSUAL)
def test_an_unusual_request_is_answered_with_its_status(api: Api, name: str) -> None:
    sent, status = UNUSUAL[name]
    [answer] = exchange(api.port, sent, half_close=True)
    if status < 400:
        assert answer.status == status
    else:
        problem(answer, status, answer.json()["code"])


UNREAD = {
    "a long body": (b"Content-Length: 200000\r\n\r\n", b"x" * 200_000),
    "a long chunk": (b"Transfer-Encoding: chunked\r\n\r\n", b"30d40\r\n" + b"x" * 200_000 + b"\r\n0\r\n\r\n"),
    "a body that does not arrive": (b"Content-Length: 2\r\n\r\n", b"{"),
    "a malformed chunk": (b"Transfer-Encoding: chunked\r\n\r\n", b"ZZ\r\n"),
}


@pytest.mark.parametrize("line", ["POST /api/v1/bookings", "POST /nothing", "POST /healthz", "GET /healthz"])
@pytest.mark.parametrize("name", UNREAD)
def test_an_answer_after_which_the_connection_ends_says_so(api: Api, name: str, line: str) -> None:
    """If the server closes after a response, the response has `Connection: close`.

    A proxy then sends no other request on this connection.
    """
    head, body = UNREAD[name]
    [answer] = exchange(api.port, f"{line} HTTP/1.1\r\nHost: x\r\n".encode() + head + body)
    assert answer.headers["connection"] == "close"


def test_a_connection_is_kept_if_the_unread_body_arrives_in_time(api: Api) -> None:
    first = b"POST /nothing HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\n" + b"x" * 60_000
    answers = exchange(api.port, first + request("GET /healthz"))
    assert [(answer.status, answer.headers["connection"]) for answer in answers] == [
        (404, "keep-alive"),
        (200, "close"),
    ]


def test_an_expected_100_comes_before_the_answer(api: Api) -> None:
    line, role = READERS["telemetry"]
    body = b'{"latitude": 1.0, "longitude": 1.0}'
    sent = request(line, "Expect: 100-continue", f"Content-Length: {len(body)}", role=role, body=body)
    assert [answer.status for answer in exchange(api.port, sent)] == [100, 204]


def test_an_answer_to_head_has_the_head_of_get_and_no_body(api: Api) -> None:
    with socket.create_connection(("127.0.0.1", api.port), timeout=10) as line:
        line.sendall(request("HEAD /healthz"))
        received = b"".join(iter(lambda: line.recv(65_536), b""))
    assert received.startswith(b"HTTP/1.1 200 ") and received.endswith(b"\r\n\r\n")


HANDSHAKES = {
    "no key": ["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13"],
    "an old version": [
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 8",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ],
    "no version": [
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ],
    "another upgrade": ["Upgrade: h2c", "Connection: Upgrade", "HTTP2-Settings: AAMAAABk"],
    "no connection header": [
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ],
}


_VALID = [
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
]
HANDSHAKES |= {
    "a short key": [*_VALID[:3], "Sec-WebSocket-Key: abc"],
    "a key beyond ASCII": [*_VALID[:3], "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZ\xe9=="],
    "two keys": [*_VALID, _VALID[3]],
    "two upgrades": [*_VALID, "Upgrade: h2c"],
}


@pytest.mark.parametrize("name", HANDSHAKES)
@pytest.mark.parametrize("role", [None, "customer"])
def test_a_malformed_handshake_is_400(api: Api, name: str, role: str | None) -> None:
    sent = request("GET /api/v1/ws", *HANDSHAKES[name], role=role, content_type=None, close=False)
    [answer] = exchange(api.port, sent, half_close=True)
    problem(answer, 400, "VALIDATION_ERROR")
    assert answer.headers["sec-websocket-version"] == "13"


@pytest.mark.parametrize(
    "sent",
    [
        ("GET /api/v1/ws HTTP/1.0", *_VALID, "", ""),
        ("GET /api/v1/ws HTTP/1.1", *_VALID, "Content-Length: 2", "", "{}"),
        ("GET /api/v1/ws HTTP/1.1", *_VALID, "Transfer-Encoding: chunked", "", "0", "", ""),
    ],
    ids=["HTTP/1.0", "a body", "chunks"],
)
def test_a_handshake_is_in_http_1_1_and_without_a_body(api: Api, sent: tuple[str, ...]) -> None:
    line, *rest = sent
    with socket.create_connection(("127.0.0.1", api.port), timeout=10) as client:
        client.sendall("\r\n".join([line, "Host: x", *rest]).encode())
        assert client.recv(65_536).split()[1] == b"400"


ODD_HANDSHAKES = {
    "a protocol beyond ASCII": ["Host: here", *_VALID, "Sec-WebSocket-Protocol: \xe9"],
    "an extension beyond ASCII": ["Host: here", *_VALID, "Sec-WebSocket-Extensions: \xe9"],
    "a connection option beyond ASCII": ["Host: here", _VALID[0], "Connection: \xe9, Upgrade", *_VALID[2:]],
    "a host that is no IDNA": ["Host: xn--a", *_VALID],
    "many cookies": ["Host: here", *_VALID, *[f"Cookie: a{n}={'x' * 4_000}" for n in range(5)]],
}


@pytest.mark.parametrize("name", ODD_HANDSHAKES)
def test_headers_that_the_handshake_does_not_need_do_not_matter(api: Api, name: str) -> None:
    sent = "\r\n".join(["GET /api/v1/ws HTTP/1.1", *ODD_HANDSHAKES[name], "", ""]).encode("latin-1")
    with socket.create_connection(("127.0.0.1", api.port), timeout=10) as client:
        client.sendall(sent)
        assert client.recv(65_536).split()[1] == b"101"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_a_handshake_by_another_method_is_405(api: Api, method: str) -> None:
    upgrade = HANDSHAKES["an old version"]
    [answer] = exchange(
        api.port, request(f"{method} /api/v1/ws", *upgrade, content_type=None), half_close=True
    )
    problem(answer, 405, "METHOD_NOT_ALLOWED")
