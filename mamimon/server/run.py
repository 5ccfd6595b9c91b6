"""The life of a server process: lock, bind, open, serve, stop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvicorn

from mamimon.accounts.credentials import is_loopback
from mamimon.clock import Clock, SystemClock
from mamimon.config import ConfigError, Settings
from mamimon.room import Task
from mamimon.server.app import front
from mamimon.server.house import House
from mamimon.server.houses import Houses, record
from mamimon.server.listeners import Listener, bind, by_port
from mamimon.server.protocol import Manners, Protocol
from mamimon.server.stopping import ended_within
from mamimon.server.supervisor import Supervisor
from mamimon.storage.data_dir import DataDirLock

if TYPE_CHECKING:
    from mamimon.http import AtOnce

_log = logging.getLogger("mamimon.server")
# Clients of our only WebSocket, a live tail, have nothing to say.
_FRAME_BYTES = 64 * 1024
# Service managers kill after 90 s, without a word about where it hung.
_HUNG_S = 45.0


class Server:
    """A mamimon server; `serve` runs it until `stop` is called or a signal arrives.

    Tests run it in a thread with their own clock and wait for `ready`; `stop` is thread-safe.
    """

    def __init__(
        self,
        settings: Settings,
        data_dir: Path,
        clock: Clock | None = None,
        *,
        on_ready: Callable[[Server], None] | None = None,
    ) -> None:
        self.settings = settings
        self.data_dir = data_dir
        self.clock = clock or SystemClock()
        self.house = House(settings, data_dir, self.clock)
        self.houses: Houses | None = None
        self.listeners: list[Listener] = []
        self.warnings: list[str] = []
        self.ready = threading.Event()
        self.failure: BaseException | None = None
        self._on_ready = on_ready
        self._uvicorn: uvicorn.Server | None = None
        self._deadline = contextlib.ExitStack()

    @property
    def url(self) -> str:
        """The main listener's address."""
        return f"http://{_shown(self.settings.server.host)}:{self.listeners[0].port}"

    def ports(self) -> dict[str, int]:
        """Every listener's port by name."""
        return {listener.name: listener.port for listener in self.listeners}

    async def serve(self) -> None:
        """Run until stopped. Raises `ConfigError` where the start is refused."""
        try:
            self.data_dir.mkdir(parents=True, exist_ok=True)
            with DataDirLock(self.data_dir):
                try:
                    self.listeners, self.warnings = bind(self.settings.server)
                    await self._run()
                finally:
                    for listener in self.listeners:
                        listener.sock.close()
                    if self.houses is not None:
                        await self.houses.close()
                    await self.house.close()
        except BaseException as error:
            self.failure = error
            raise
        finally:
            self._deadline.close()
            self.ready.set()

    async def _run(self) -> None:
        core = await self.house.open()
        self._refuse_to_be_open()
        core.base_url = self.settings.server.public_url.rstrip("/") or self.url
        core.ports = frozenset(self.ports().values())
        houses = self.houses = Houses(self.house, self.url)
        app, at_once = front(houses)
        supervisor = Supervisor(self.clock, core.registry)
        self._uvicorn = _Uvicorn(
            uvicorn.Config(
                by_port(app, self.listeners),
                http=partial(Protocol, manners=self._manners(at_once)),  # type: ignore[arg-type]
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_keep_alive=65,
                timeout_graceful_shutdown=int(self.settings.server.stop_grace_s) or 1,
                ws=_websocket,  # type: ignore[arg-type]
                ws_max_size=_FRAME_BYTES,
                ws_per_message_deflate=False,
            ),
            houses.on_stop,
        )
        for task in (*self.house.tasks(), Task("projects", houses.run)):
            supervisor.start(task)
        watcher = asyncio.create_task(self._announce())
        self._handle_signals()
        try:
            await self._uvicorn.serve([listener.sock for listener in self.listeners])
        finally:
            watcher.cancel()
            self._end_by_a_deadline()
            await supervisor.stop()

    def _manners(self, at_once: dict[str, AtOnce]) -> Manners:
        ports = frozenset(one.port for one in self.listeners if not one.prefix)
        return Manners(at_once, ports, self.settings.server.body_deadline_s)

    def _refuse_to_be_open(self) -> None:
        assert self.house.people is not None
        host = self.settings.server.host
        if not is_loopback(host) and not self.house.people.closed:
            raise ConfigError(
                f"refusing to listen on {host} without an account; first run:"
                f" mamimon users add NAME --role admin --data-dir {self.data_dir}"
            )

    async def _announce(self) -> None:
        assert self._uvicorn is not None
        while not self._uvicorn.started:  # noqa: ASYNC110 - uvicorn offers a flag, not an event
            await asyncio.sleep(0.005)
        assert self.house.people is not None
        record(self.data_dir, self.url, self.ports(), self.house.people.local_secret)
        self.ready.set()
        for warning in self.warnings:
            _log.warning(warning)
        if self._on_ready is not None:
            self._on_ready(self)

    def _end_by_a_deadline(self) -> None:
        if threading.current_thread() is threading.main_thread():
            seconds = self.settings.server.stop_grace_s + _HUNG_S
            self._deadline.enter_context(ended_within(seconds, asyncio.get_running_loop()))

    def _handle_signals(self) -> None:
        if threading.current_thread() is threading.main_thread():
            loop = asyncio.get_running_loop()
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, self._stop_or_hurry)
            if self.houses is not None:
                loop.add_signal_handler(signal.SIGHUP, self.houses.on_hangup)

    def _stop_or_hurry(self) -> None:
        assert self._uvicorn is not None
        self._uvicorn.force_exit = self._uvicorn.should_exit
        self.stop()

    def stop(self) -> None:
        """Ask the server to stop gracefully; returns at once."""
        if self._uvicorn is not None:
            self._uvicorn.should_exit = True


def _websocket(**parts: Any) -> asyncio.Protocol:
    from mamimon.server.websockets import WebSocketProtocol

    return WebSocketProtocol(**parts)


class _Uvicorn(uvicorn.Server):
    """uvicorn without its signal handling, which would end the process by the signal, not by 0."""

    def __init__(self, config: uvicorn.Config, on_stop: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_stop = on_stop

    async def on_tick(self, counter: int) -> bool:
        if counter % 10 == 0:  # each second
            now = asyncio.get_running_loop().time()
            for connection in list(self.server_state.connections):
                if isinstance(connection, Protocol):
                    connection.look(now)
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._on_stop()
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _shown(host: str) -> str:
    return f"[{host}]" if ":" in host else host
