"""A small HTTP/1.1 client for the sender: one request at a time, an absolute deadline, a tick while waiting.

Not `http.client`: a socket's timeout there starts again with every byte, so a server that answers one
byte a second would hold the sender for hours; and it gives no chance to look after the queue meanwhile.
RFC 9112 as far as a POST or PUT needs it.
"""

from __future__ import annotations

import errno
import selectors
import socket
import time
from collections.abc import Callable
from typing import NamedTuple, Optional
from urllib.parse import urlsplit

SLICE_S = 0.1
MAX_HEAD = 65_536
MAX_BODY = 8 * 1024 * 1024

Tick = Callable[[], None]


class Reply(NamedTuple):
    """A whole answer; header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


class TransportError(Exception):
    """The answer did not come whole before the deadline; `str()` says why."""


class StaleError(TransportError):
    """A kept connection was closed by the server before it answered; the request may be repeated."""


class Transport:
    """One kept connection; used by one thread."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._socket: Optional[socket.socket] = None
        self._where: tuple[str, str, int] = ("", "", 0)

    def send(
        self, method: str, url: str, body: bytes, headers: dict[str, str], deadline: float, tick: Tick
    ) -> Reply:
        """Send one request and return the answer; raises `TransportError` or whatever `tick` raises."""
        parts = urlsplit(url)
        secure = parts.scheme == "https"
        where = (parts.scheme, parts.hostname or "", parts.port or (443 if secure else 80))
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        lines = [f"{method} {target} HTTP/1.1", f"Host: {parts.netloc.rpartition('@')[2]}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        lines += [f"Content-Length: {len(body)}", "Connection: keep-alive", "", ""]
        request = "\r\n".join(lines).encode("latin-1", "replace") + body
        if self._socket is not None and self._where != where:
            self.close()
        for fresh in (self._socket is None, True):
            try:
                if self._socket is None:
                    self._connect(where, deadline, tick)
                return self._exchange(request, deadline, tick, fresh)
            except StaleError:
                self.close()
                if fresh:
                    raise
            except (OSError, ValueError) as error:
                self.close()
                raise TransportError(str(error) or type(error).__name__) from error
            except BaseException:
                self.close()
                raise
        raise TransportError("not reached")

    def close(self) -> None:
        """Drop the connection without waiting for anything."""
        sock, self._socket = self._socket, None
        if sock is not None:
            sock.close()

    def _connect(self, where: tuple[str, str, int], deadline: float, tick: Tick) -> None:
        scheme, host, port = where
        last: Exception = TransportError(f"{host} has no address")
        for family, kind, protocol, _, address in socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM):
            sock = socket.socket(family, kind, protocol)
            try:
                self._open(sock, address, deadline, tick)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if scheme == "https":
                    sock = _secure(sock, host, max(0.1, min(5.0, deadline - self._monotonic())))
                sock.settimeout(SLICE_S)
                self._socket, self._where = sock, where
                return
            except OSError as error:
                sock.close()
                last = error
            except BaseException:
                sock.close()
                raise
        raise last

    def _open(self, sock: socket.socket, address: object, deadline: float, tick: Tick) -> None:
        sock.setblocking(False)
        code = sock.connect_ex(address)  # type: ignore[arg-type]
        if code not in (0, errno.EINPROGRESS, errno.EWOULDBLOCK):
            raise OSError(code, errno.errorcode.get(code, "connect failed"))
        with selectors.DefaultSelector() as selector:
            selector.register(sock, selectors.EVENT_WRITE)
            while not selector.select(SLICE_S):
                self._wait(deadline, tick)
        code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            raise OSError(code, errno.errorcode.get(code, "connect failed"))

    def _wait(self, deadline: float, tick: Tick) -> None:
        tick()
        if self._monotonic() >= deadline:
            raise TransportError("no answer in time")

    def _exchange(self, request: bytes, deadline: float, tick: Tick, fresh: bool) -> Reply:
        sock = self._socket
        assert sock is not None
        view = memoryview(request)
        try:
            while view:
                try:
                    view = view[sock.send(view[:65_536]) :]
                except socket.timeout:
                    self._wait(deadline, tick)
        except (BrokenPipeError, ConnectionError) as error:
            raise (TransportError if fresh else StaleError)(str(error)) from error
        return _Reader(self, sock, deadline, tick, fresh).reply()


class _Reader:
    """Reads one answer; every wait is a slice, every buffer bounded."""

    def __init__(
        self, owner: Transport, sock: socket.socket, deadline: float, tick: Tick, fresh: bool
    ) -> None:
        self._owner = owner
        self._socket = sock
        self._deadline = deadline
        self._tick = tick
        self._fresh = fresh
        self._data = bytearray()
        self._eof = False

    def reply(self) -> Reply:
        while True:
            head = self._until(b"\r\n\r\n", MAX_HEAD)
            first, _, rest = head.partition(b"\r\n")
            version, _, tail = first.decode("latin-1").partition(" ")
            if not version.startswith("HTTP/1.") or not tail[:3].isdigit():
                raise TransportError("the answer is not HTTP")
            status = int(tail[:3])
            if status >= 200:
                break
        headers: dict[str, str] = {}
        for line in rest.decode("latin-1").split("\r\n"):
            name, _, value = line.partition(":")
            headers[name.strip().lower()] = value.strip()
        body = self._body(status, headers)
        if self._eof or self._data or headers.get("connection", "").lower() == "close":
            self._owner.close()
        return Reply(status, headers, body)

    def _body(self, status: int, headers: dict[str, str]) -> bytes:
        if status in (204, 304):
            return b""
        if "chunked" in headers.get("transfer-encoding", "").lower():
            return self._chunked()
        if "content-length" in headers:
            return self._exactly(int(headers["content-length"]))
        while not self._eof:
            self._more(MAX_BODY)
        body = bytes(self._data)
        self._data.clear()
        return body

    def _chunked(self) -> bytes:
        pieces: list[bytes] = []
        total = 0
        while True:
            size = int(self._until(b"\r\n", 1024).split(b";")[0], 16)
            total += size
            if total > MAX_BODY:
                raise TransportError("the answer is too long")
            if size == 0:
                while self._until(b"\r\n", MAX_HEAD):
                    pass
                return b"".join(pieces)
            pieces.append(self._exactly(size))
            self._until(b"\r\n", 2)

    def _until(self, mark: bytes, limit: int) -> bytes:
        while True:
            at = self._data.find(mark)
            if at >= 0:
                found = bytes(self._data[:at])
                del self._data[: at + len(mark)]
                return found
            if self._eof or len(self._data) > limit:
                raise TransportError("the answer broke off")
            self._more(limit + 65_536)

    def _exactly(self, size: int) -> bytes:
        if not 0 <= size <= MAX_BODY:
            raise TransportError("the answer is too long")
        while len(self._data) < size:
            if self._eof:
                raise TransportError("the answer broke off")
            self._more(size + 65_536)
        found = bytes(self._data[:size])
        del self._data[:size]
        return found

    def _more(self, limit: int) -> None:
        if len(self._data) > limit:
            raise TransportError("the answer is too long")
        try:
            data = self._socket.recv(65_536)
        except socket.timeout:
            data = None
        except ConnectionError as error:
            raise (TransportError if self._fresh or self._data else StaleError)(str(error)) from error
        if data is None or self._owner._monotonic() >= self._deadline:
            self._owner._wait(self._deadline, self._tick)
        if data == b"":
            if not self._data and not self._fresh:
                raise StaleError("the connection was closed")
            self._eof = True
        self._data += data or b""


def _secure(sock: socket.socket, host: str, timeout_s: float) -> socket.socket:
    import ssl

    sock.settimeout(timeout_s)
    return ssl.create_default_context().wrap_socket(sock, server_hostname=host)
