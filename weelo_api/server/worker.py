"""A gthread worker in which slow clients block neither request threads nor the accepting thread.

gunicorn's own gthread gives each new connection a thread before any byte has arrived, reads heads and bodies without a
time limit, and waits in its only accepting thread for up to two seconds until a client closes its side. Six clients that
did not close delayed all others by ten seconds; after thirty seconds the arbiter would have killed the worker.
"""

from __future__ import annotations

import errno
import io
import re
import socket
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import partial
from selectors import EVENT_READ
from typing import Any

from gunicorn.errors import AppImportError
from gunicorn.http import get_parser
from gunicorn.http.body import Body
from gunicorn.http.errors import LimitRequestHeaders, LimitRequestLine
from gunicorn.util import write_nonblock
from gunicorn.workers.gthread import TConn, ThreadWorker
from werkzeug.exceptions import BadRequest

from weelo_api.http.request_ids import accepted
from weelo_api.server import malformed
from weelo_api.thread_pool import ThreadPool
from weelo_workers.logs.context import extra

# After a response the unread rest of the body is read for this long, so that the connection can be kept.
LEFTOVER_SECONDS = 0.1
# Lingering close: if a socket is closed too early, the client may lose the response (RFC 9112, section 9.6).
LINGER_SECONDS = 2.0
LINGER_BYTES = 64 * 1024
# A longer head is refused as soon as this much of it has been received.
MAX_HEAD_BYTES = 32 * 1024
READ_BYTES = 16 * 1024
TICK_SECONDS = 0.25

# Probes and scrapes have threads of their own, because all other threads may be waiting for a database that hangs.
PROBE_THREADS = 16
_PROBE = re.compile(rb"(?:GET|HEAD) /(?:healthz|readyz|metrics)[? ]")

_head: ContextVar[bytes] = ContextVar("head", default=b"")
"""The head of the request that this thread handles, as it was received."""


@contextmanager
def reporting_no_threads() -> Iterator[None]:
    """Raise AppImportError if the `with` block cannot start a thread. gunicorn then prints one line and exits."""
    try:
        yield
    except RuntimeError as refusal:
        raise AppImportError(
            f"weelo: {refusal}; raise the limit of processes (`ulimit -u`) or that of the container"
        ) from None


class SlowClientSafeWorker(ThreadWorker):  # type: ignore[misc]
    """Keeps connections on the poller, without a thread, until their head is complete and while they are closing."""

    # Time limit for receiving a head, up to the empty line at its end. The time starts when a connection is accepted,
    # or with the first byte of a later request on it. The limit allows for mobile networks, which stall for seconds.
    head_seconds = 10.0
    # Time limit for receiving a body. The largest body, 64 KiB, must therefore arrive at just over 3 KiB a second.
    body_seconds = 20.0
    wsgi: Callable[..., Any]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._lingering: deque[tuple[float, TConn]] = deque()
        self._read_until: dict[TConn, float] = {}

    def init_process(self) -> None:
        self._probes = ThreadPool(PROBE_THREADS, thread_name_prefix="probe")
        with reporting_no_threads():
            self._probes.start()
        super().init_process()

    def get_thread_pool(self) -> ThreadPool:
        pool = ThreadPool(self.cfg.threads)
        with reporting_no_threads():
            pool.start()
        return pool

    def load_wsgi(self) -> None:
        super().load_wsgi()
        self.wsgi = _announcing_the_close(self.wsgi)

    # --- accepting ------------------------------------------------------------------------------------------

    def accept(self, listener: socket.socket) -> None:
        try:
            client, address = listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        except OSError as error:
            if error.errno not in (errno.EMFILE, errno.ENFILE):
                raise
            self._evict_idle()
            return
        self.nr_conns += 1
        if self.nr_conns >= self.worker_connections:
            self._evict_idle()
        conn = TConn(self.cfg, client, address, listener.getsockname())
        conn.parser = get_parser(self.cfg, client, address)
        self._await_head(conn)

    def _evict_idle(self) -> None:
        """Close the connection that has waited longest for a head.

        If none waits, close the longest idle keep-alive connection.
        """
        for idle in (self.pending_conns, self.keepalived_conns):
            if idle:
                conn = idle.popleft()
                self.poller.unregister(conn.sock)
                self._close(conn)
                return

    def on_client_socket_readable(self, conn: TConn, client: socket.socket) -> None:
        """Wait for the head of the next request on a keep-alive connection."""
        self.poller.unregister(client)
        self.keepalived_conns.remove(conn)
        self._await_head(conn)
        self.on_pending_socket_readable(conn, client)

    def _await_head(self, conn: TConn) -> None:
        conn.timeout = time.monotonic() + self.head_seconds
        self.pending_conns.append(conn)
        self.poller.register(conn.sock, EVENT_READ, partial(self.on_pending_socket_readable, conn))

    def on_pending_socket_readable(self, conn: TConn, client: socket.socket) -> None:
        """Give the connection a thread once its head is complete."""
        try:
            data = client.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        head = conn.parser.unreader.take_buffered() + data
        conn.parser.unreader.unread(head)
        if data and not _is_whole(head) and len(head) < MAX_HEAD_BYTES:
            return
        self.poller.unregister(client)
        self.pending_conns.remove(conn)
        if not data:
            self._close(conn)
            return
        conn.data_ready = True
        self.enqueue_req(conn)

    def enqueue_req(self, conn: TConn) -> None:
        """Submit the request to the thread pool for probes or to the one for all other requests."""
        pool = self._probes if _PROBE.match(conn.parser.unreader.buf.getvalue()) else self.tpool
        handled = pool.submit(self.handle, conn)
        handled.add_done_callback(lambda done: self.method_queue.defer(self.finish_request, conn, done))

    # --- reading --------------------------------------------------------------------------------------------

    def handle(self, conn: TConn) -> Any:
        head = conn.parser.unreader.buf.getvalue()
        _head.set(head)
        if not _is_whole(head):
            # The parser is not called, because it would read on, up to the 800 KB that a hundred headers may have.
            self.handle_error(None, conn.sock, conn.client, _too_long(head))
            return False
        self._read_until[conn] = time.monotonic() + self.body_seconds
        try:
            return super().handle(conn)
        finally:
            self._read_until.pop(conn, None)

    def handle_request(self, req: Any, conn: TConn) -> Any:
        malformed.check_head(req)
        read_to_the_end = partial(self._read_until.pop, conn, None)
        if getattr(req.body.reader, "length", None) == 0:
            read_to_the_end()
        else:
            req.body = _Body(_Reader(req.body.reader, read_to_the_end), conn)
        keepalive = super().handle_request(req, conn)
        if not keepalive:
            _release_buffers(req.body, conn)
        return keepalive

    def handle_error(self, _req: Any, client: socket.socket, _addr: Any, exc: Exception) -> None:
        """Send problem+json for a request that the parser refuses or an exception that the application did not catch."""
        problem = malformed.problem_of(exc)
        own_id = accepted(malformed.request_id_in(_head.get()))
        fields = extra(request_id=own_id)
        if problem["status"] == 500:
            self.log.error("a request failed, because of an unexpected error", exc_info=exc, extra=fields)
        else:
            # The exception's text is not logged: it quotes the request, which may contain a token.
            self.log.warning("a malformed request was refused: %s", type(exc).__name__, extra=fields)
        with suppress(OSError):
            write_nonblock(client, malformed.response(problem, own_id))

    # --- closing --------------------------------------------------------------------------------------------

    def finish_request(self, conn: TConn, fs: Future[Any]) -> None:
        if conn.sock.fileno() < 0:
            # The socket was detached: it is a WebSocket now and belongs to the hub (see websocket/endpoint.py). So the
            # worker stops counting it, but does not close it.
            self.nr_conns -= 1
            return
        if fs.cancelled() or fs.exception() is not None:
            super().finish_request(conn, fs)
            return
        if fs.result():
            next_head = conn.parser.unreader.buf.getvalue()
            if next_head and not _is_whole(next_head):
                # Part of the next head came with this request. The connection waits for the rest on the poller, whereas
                # gthread would let a thread wait.
                conn.sock.setblocking(False)
                self._await_head(conn)
            else:
                super().finish_request(conn, fs)
            return
        try:
            conn.sock.shutdown(socket.SHUT_WR)
            conn.sock.setblocking(False)
            self.poller.register(conn.sock, EVENT_READ, partial(self._drain_before_close, conn, [0]))
        except (OSError, ValueError):
            self._close(conn)
            return
        self._lingering.append((time.monotonic() + LINGER_SECONDS, conn))

    def _drain_before_close(self, conn: TConn, received: list[int], client: socket.socket) -> None:
        try:
            data = client.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        received[0] += len(data)
        if not data or received[0] > LINGER_BYTES:
            self._end_lingering(conn)

    def _end_lingering(self, conn: TConn) -> None:
        if conn.sock.fileno() >= 0:
            self.poller.unregister(conn.sock)
            self._close(conn)

    def _close(self, conn: TConn) -> None:
        self.nr_conns -= 1
        conn.close()

    # --- time limits ----------------------------------------------------------------------------------------

    def wait_for_and_dispatch_events(self, timeout: float) -> None:
        waiting = self._lingering or self._read_until
        super().wait_for_and_dispatch_events(min(timeout, TICK_SECONDS) if waiting else timeout)
        now = time.monotonic()
        while self._lingering and self._lingering[0][0] <= now:
            self._end_lingering(self._lingering.popleft()[1])
        for conn, until in list(self._read_until.items()):
            if until <= now:
                # This ends receiving, but not sending: the thread that reads the body gets end-of-file, and can still
                # write a response.
                with suppress(OSError):
                    conn.sock.shutdown(socket.SHUT_RD)
                self._read_until.pop(conn, None)

    def _cap_keepalive(self, deadline: float) -> None:
        """While the worker is stopping, apply gunicorn's keep-alive deadline also to connections with an incomplete head.

        gunicorn itself applies it to keep-alive connections only.
        """
        super()._cap_keepalive(deadline)
        for conn in self.pending_conns:
            conn.timeout = min(conn.timeout, deadline)


class _Body(Body):  # type: ignore[misc]
    """gunicorn's request body, which can also be read to its end and discarded."""

    def __init__(self, reader: _Reader, conn: TConn) -> None:
        super().__init__(reader)
        self._parser = conn.parser

    def finish(self) -> bool:
        """Read and discard the rest of the body. Return False if the connection must be closed: the rest is too long, too
        slow or malformed."""
        with suppress(BadRequest, OSError):
            return bool(self._parser.finish_body(deadline=time.monotonic() + LEFTOVER_SECONDS))
        return False


def _announcing_the_close(app: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a WSGI application, so that a response after which the connection ends has `Connection: close`.

    gunicorn reads the rest of the body after the response, and closes the connection if that takes too long. If the
    response announced `keep-alive`, a proxy would send the next request, perhaps another client's, on a connection that
    is ending.
    """

    def answer(environ: dict[str, Any], start_response: Any) -> Any:
        content = app(environ, start_response)
        body = environ["wsgi.input"]
        if isinstance(body, _Body) and not body.finish():
            start_response.__self__.force_close()
        return content

    return answer


class _Reader:
    """Wraps gunicorn's body reader. Calls `at_its_end` when the body ends. Raises BadRequest for a malformed body."""

    def __init__(self, reader: Any, at_its_end: Callable[[], object]) -> None:
        self.reader = reader
        self._at_its_end = at_its_end
        self._missing: int = getattr(reader, "length", 0)

    def read(self, size: int) -> bytes:
        try:
            data: bytes = self.reader.read(size)
        except Exception as error:
            # gunicorn parses chunks and trailers while they are read, and raises many kinds of errors here.
            raise BadRequest(f"The body cannot be read: {error}") from error
        self._missing -= len(data)
        if not data and self._missing > 0:
            # The part that was received is refused, because it may be valid JSON by chance although it is not the whole
            # body.
            raise BadRequest(
                f"The body ended, or its time was over, {self._missing} bytes before its Content-Length."
            )
        if not data or getattr(self.reader, "length", None) == 0:
            self._at_its_end()
        return data


def _release_buffers(body: Any, conn: TConn) -> None:
    """Free the buffers of a finished request, which may have a size of up to a megabyte.

    Otherwise the garbage collector would free them, and it runs too rarely to keep up with a flood of large bodies.
    """
    reader = getattr(body.reader, "reader", body.reader)
    for holder in (body, reader, conn.parser.unreader):
        if hasattr(holder, "buf"):
            holder.buf = io.BytesIO()
    if hasattr(reader, "parser"):
        reader.parser = None


def _is_whole(head: bytes) -> bool:
    # A head whose lines end without a carriage return counts as complete too: the parser refuses it at once.
    return b"\r\n\r\n" in head or head.count(b"\n") != head.count(b"\r\n")


def _too_long(head: bytes) -> Exception:
    error: Exception = LimitRequestHeaders("") if b"\r\n" in head.lstrip() else LimitRequestLine(len(head))
    return error
