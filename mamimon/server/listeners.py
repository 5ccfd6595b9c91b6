"""Sockets: the main port, and with --drop-in the ports of the programs mamimon stands in for."""

from __future__ import annotations

import socket

import msgspec

from mamimon.config import ConfigError, ServerSettings
from mamimon.http import AsgiApp, Receive, Scope, Send, prefixed

DROP_IN = {
    "es": (9200, "/es"),
    "prometheus": (9090, ""),
    "alertmanager": (9093, "/alertmanager"),
    "ui": (3000, ""),
    "loki": (3100, ""),
    "otlp": (4318, ""),
}


class Listener(msgspec.Struct):
    """A bound socket and the folder of the app that it shows as its root."""

    name: str
    sock: socket.socket
    prefix: str

    @property
    def port(self) -> int:
        """The port it is bound to."""
        return int(self.sock.getsockname()[1])


def bind(settings: ServerSettings) -> tuple[list[Listener], list[str]]:
    """Bind every listener; returns them, the main one first, and a warning a drop-in port not had.

    A taken main port raises `ConfigError`; a taken drop-in port is only a warning.
    """
    try:
        listeners = [Listener("main", _listen(settings.host, settings.port), "")]
    except OSError as error:
        raise ConfigError(
            f"cannot listen on {settings.host}:{settings.port}: {error.strerror}; "
            "is mamimon already running? --port 0 picks a free port"
        ) from None
    warnings: list[str] = []
    if settings.drop_in:
        for name, (port, prefix) in drop_in_ports(settings.drop_in_ports).items():
            try:
                listeners.append(Listener(name, _listen(settings.host, port), prefix))
            except OSError as error:
                warnings.append(f"port {port} ({name}) is not available: {error.strerror}")
    return listeners, warnings


def drop_in_ports(text: str) -> dict[str, tuple[int, str]]:
    """Read `es=19200,ui=13000` over the defaults; raises `ConfigError` for what is not understood."""
    ports = dict(DROP_IN)
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        name, _, number = part.partition("=")
        if name not in DROP_IN or not number.isdigit() or int(number) > 65535:
            raise ConfigError(f"--drop-in-ports: {part!r} is not one of {', '.join(DROP_IN)} = a port")
        ports[name] = (int(number), DROP_IN[name][1])
    return ports


def by_port(app: AsgiApp, listeners: list[Listener]) -> AsgiApp:
    """One app for all listeners: the port that a request came by picks the prefix."""
    apps = {listener.port: prefixed(app, listener.prefix) for listener in listeners}

    async def run(scope: Scope, receive: Receive, send: Send) -> None:
        server = scope.get("server")
        await apps.get(server[1] if server else 0, app)(scope, receive, send)

    return run


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio turns Nagle's delay (40 ms an answer) off only where the protocol is named.
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
        sock.listen(2048)
    except OSError:
        sock.close()
        raise
    sock.set_inheritable(False)
    return sock
