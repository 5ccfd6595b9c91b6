"""Sockets that log lines come by without HTTP: datagrams and streams, for syslog and GELF.

Datagrams wait in a bounded queue and are dropped, and counted, where it is full; streams are read no
faster than lines are stored, so that TCP holds the sender back.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import os
import socket
import ssl
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import msgspec
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from mamimon.clock import Clock
from mamimon.config import ConfigError
from mamimon.logs.ingest import LogIngest
from mamimon.logs.model import LogRecord
from mamimon.problems import Problem
from mamimon.room import Task
from mamimon.sockets import address_of, bound

_log = logging.getLogger("mamimon.logs")
_QUEUE_MESSAGES = 20_000
_QUEUE_BYTES = 32 * 1024 * 1024
_BATCH = 200
_READ_BYTES = 64 * 1024
_SOCKET_BYTES = 4 * 1024 * 1024
_SO_RCVBUFFORCE = 33  # Linux; Python does not name it
_RETRY_S = 1.0
_HANDSHAKE_S = 15.0


class Framer(Protocol):
    """Cuts a stream into messages."""

    cut: int

    def feed(self, data: bytes) -> list[bytes]:
        """The messages that these octets complete."""
        ...

    def flush(self) -> list[bytes]:
        """What the stream's end completes."""
        ...


class Dialect(msgspec.Struct, kw_only=True):
    """What a listener speaks."""

    name: str
    record: Callable[[bytes, str], LogRecord]
    """The line of a message from an address; raises nothing but `Refusal`-free records are made of all."""
    datagram: Callable[[bytes, str], bytes | None]
    """The message that a datagram completes, if it does; raises `ValueError` for one that is none."""
    frames: Callable[[], Framer]
    allow: list[str]
    max_connections: int
    tls: Callable[[], ssl.SSLContext] | None = None


class Counts(Collector):
    """What came by the listeners; `mamimon_log_messages_*`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.received: dict[tuple[str, str], int] = {}
        self.dropped: dict[tuple[str, str, str], int] = {}
        self.connections: dict[tuple[str, str], int] = {}
        self.sockets: dict[tuple[str, str], int] = {}
        """Inodes of datagram sockets, by which the kernel tells what it dropped."""
        registry.register(self)

    def took(self, door: str, transport: str, count: int = 1) -> None:
        """Count messages that were stored."""
        key = (door, transport)
        self.received[key] = self.received.get(key, 0) + count

    def lost(self, door: str, transport: str, reason: str, count: int = 1) -> None:
        """Count messages (or connections) that were not."""
        key = (door, transport, reason)
        self.dropped[key] = self.dropped.get(key, 0) + count

    def collect(self) -> Iterator[Metric]:
        """See `Collector.collect`."""
        received = CounterMetricFamily(
            "mamimon_log_messages_received", "Messages stored.", labels=["door", "transport"]
        )
        for key, count in self.received.items():
            received.add_metric(key, count)
        yield received
        dropped = CounterMetricFamily(
            "mamimon_log_messages_dropped",
            "Messages and connections not taken.",
            labels=["door", "transport", "reason"],
        )
        for lost, count in self.dropped.items():
            dropped.add_metric(lost, count)
        for key, count in kernel_drops(self.sockets).items():
            dropped.add_metric((*key, "kernel"), count)
        yield dropped
        connections = GaugeMetricFamily(
            "mamimon_log_connections", "Open connections.", labels=["door", "transport"]
        )
        for key, count in self.connections.items():
            connections.add_metric(key, count)
        yield connections


def kernel_drops(sockets: dict[tuple[str, str], int]) -> dict[tuple[str, str], int]:
    """Datagrams that the kernel dropped because nobody read them in time (Linux)."""
    wanted = {str(inode): key for key, inode in sockets.items()}
    found: dict[tuple[str, str], int] = {}
    for name in ("udp", "udp6") if wanted else ():
        with contextlib.suppress(OSError):
            for line in Path("/proc/net", name).read_text(encoding="ascii").splitlines()[1:]:
                columns = line.split()
                if len(columns) > 12 and columns[9] in wanted:
                    found[wanted[columns[9]]] = int(columns[12])
    return found


class Listeners:
    """The sockets' life: `open`, then tasks that store what comes, then `close`."""

    def __init__(self, ingest: LogIngest, clock: Clock, registry: CollectorRegistry) -> None:
        self._ingest = ingest
        self._clock = clock
        self.counts = Counts(registry)
        self.ports: dict[str, int] = {}
        """Ports by door and transport, such as `syslog.udp`."""
        self._datagrams: list[Datagrams] = []
        self._servers: list[asyncio.Server] = []
        self._handlers: set[asyncio.Task[None]] = set()
        self._closing = False

    async def open(self, dialect: Dialect, transport: str, text: str) -> None:
        """Listen where a setting says; an empty one is none. Raises `ConfigError`."""
        if not text:
            return
        setting = f"{dialect.name}.{transport}"
        host, port = address_of(setting, text)
        networks = _networks(f"{dialect.name}.allow", dialect.allow)
        kind = socket.SOCK_DGRAM if transport == "udp" else socket.SOCK_STREAM
        sock = bound(setting, host, port, kind)
        try:
            if transport == "udp":
                await self._open_datagrams(dialect, sock, networks)
            else:
                context = dialect.tls() if transport == "tls" and dialect.tls else None
                await self._open_stream(dialect, transport, sock, networks, context)
        except BaseException:
            sock.close()
            raise
        self.ports[setting] = sock.getsockname()[1]
        _log.info("%s by %s on %s:%d", dialect.name, transport.upper(), host, self.ports[setting])

    async def _open_datagrams(self, dialect: Dialect, sock: socket.socket, networks: list[Any]) -> None:
        # Root may have more than net.core.rmem_max, others get what they can.
        for option in (socket.SO_RCVBUF, _SO_RCVBUFFORCE):
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, option, _SOCKET_BYTES)
        self.counts.sockets[dialect.name, "udp"] = os.fstat(sock.fileno()).st_ino
        door = Datagrams(dialect, self.counts, networks)
        await asyncio.get_running_loop().create_datagram_endpoint(lambda: door, sock=sock)
        self._datagrams.append(door)

    async def _open_stream(
        self,
        dialect: Dialect,
        transport: str,
        sock: socket.socket,
        networks: list[Any],
        context: ssl.SSLContext | None,
    ) -> None:
        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            self._handlers.add(task)
            try:
                await self._converse(dialect, transport, networks, reader, writer)
            finally:
                self._handlers.discard(task)
                writer.close()

        more: dict[str, Any] = {"ssl_handshake_timeout": _HANDSHAKE_S} if context else {}
        self._servers.append(
            await asyncio.start_server(connected, sock=sock, ssl=context, limit=_READ_BYTES, **more)
        )

    async def _converse(
        self,
        dialect: Dialect,
        transport: str,
        networks: list[Any],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        peer = str((writer.get_extra_info("peername") or ("",))[0])
        key = (dialect.name, transport)
        if not _allowed(peer, networks):
            self.counts.lost(*key, "not allowed")
            return
        if self.counts.connections.get(key, 0) >= dialect.max_connections:
            self.counts.lost(*key, "connections")
            return
        self.counts.connections[key] = self.counts.connections.get(key, 0) + 1
        frames = dialect.frames()
        try:
            while data := await reader.read(_READ_BYTES):
                await self._store(dialect, transport, frames.feed(data), peer)
            await self._store(dialect, transport, frames.flush(), peer)
        except (OSError, asyncio.IncompleteReadError):  # the sender broke off
            await self._store(dialect, transport, frames.flush(), peer)
        finally:
            self.counts.connections[key] -= 1
            if frames.cut:
                self.counts.lost(*key, "cut", frames.cut)

    def tasks(self) -> list[Task]:
        """One task a datagram socket."""
        return [Task(f"logs.{door.dialect.name}.udp", self._drain(door)) for door in self._datagrams]

    def _drain(self, door: Datagrams) -> Callable[[], Any]:
        async def run() -> None:
            while True:
                await self._store(door.dialect, "udp", *(await door.take()))

        return run

    async def _store(
        self, dialect: Dialect, transport: str, messages: list[bytes], peers: str | list[str]
    ) -> None:
        for start in range(0, len(messages), _BATCH):
            part = messages[start : start + _BATCH]
            whose = [peers] * len(part) if isinstance(peers, str) else peers[start : start + _BATCH]
            records = []
            for message, peer in zip(part, whose, strict=True):
                try:
                    records.append(dialect.record(message, peer))
                except ValueError:
                    self.counts.lost(dialect.name, transport, "not read")
            await self._append(records)
            self.counts.took(dialect.name, transport, len(records))
            await asyncio.sleep(0)

    async def _append(self, records: list[LogRecord]) -> None:
        """Store, and try again for as long as the store is full: the sender cannot be told."""
        while True:
            try:
                await self._ingest.append(records)
            except Problem:
                if self._closing:
                    raise
                await self._clock.sleep(_RETRY_S)
            else:
                return

    async def close(self) -> None:
        """Take no more, and store what has arrived."""
        self._closing = True
        for server in self._servers:
            server.close()
        for task in list(self._handlers):
            task.cancel()
        await asyncio.gather(*self._handlers, return_exceptions=True)
        for door in self._datagrams:
            door.stop()
            with contextlib.suppress(Problem):
                while door.waiting:
                    await self._store(door.dialect, "udp", *(await door.take()))
        self._datagrams.clear()
        self._servers.clear()


class Datagrams(asyncio.DatagramProtocol):
    """What came by one datagram socket and waits to be stored."""

    def __init__(self, dialect: Dialect, counts: Counts, networks: list[Any]) -> None:
        self.dialect = dialect
        self.waiting: deque[tuple[bytes, str]] = deque()
        self._counts = counts
        self._networks = networks
        self._bytes = 0
        self._awake = asyncio.Event()
        self._transport: asyncio.BaseTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.DatagramProtocol`."""
        self._transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        """Queue one message, or drop and count it."""
        name, peer = self.dialect.name, str(addr[0])
        if not _allowed(peer, self._networks):
            self._counts.lost(name, "udp", "not allowed")
            return
        try:
            message = self.dialect.datagram(data, peer)
        except ValueError:
            self._counts.lost(name, "udp", "not read")
            return
        if message is None:
            return
        if len(self.waiting) >= _QUEUE_MESSAGES or self._bytes + len(message) > _QUEUE_BYTES:
            self._counts.lost(name, "udp", "queue")
            return
        self.waiting.append((message, peer))
        self._bytes += len(message)
        self._awake.set()

    def error_received(self, exc: Exception) -> None:
        """Count what the kernel reports; the socket lives on."""
        self._counts.lost(self.dialect.name, "udp", "error")

    async def take(self) -> tuple[list[bytes], list[str]]:
        """The next messages with their senders; waits for one."""
        while not self.waiting:
            self._awake.clear()
            await self._awake.wait()
        taken = [self.waiting.popleft() for _ in range(min(_BATCH, len(self.waiting)))]
        self._bytes -= sum(len(message) for message, _ in taken)
        return [message for message, _ in taken], [peer for _, peer in taken]

    def stop(self) -> None:
        """Close the socket."""
        if self._transport is not None:
            self._transport.close()


def _networks(setting: str, texts: list[str]) -> list[Any]:
    try:
        return [ipaddress.ip_network(text, strict=False) for text in texts]
    except ValueError as error:
        raise ConfigError(f"{setting}: {error}") from None


def _allowed(peer: str, networks: list[Any]) -> bool:
    if not networks:
        return True
    try:
        address = ipaddress.ip_address(peer.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return any((mapped or address) in network for network in networks)
