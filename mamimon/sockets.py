"""Sockets of doors that are not HTTP: where a setting says to listen, and the socket there."""

from __future__ import annotations

import socket

from mamimon.config import ConfigError


def address_of(setting: str, text: str) -> tuple[str, int]:
    """Read `1514`, `0.0.0.0:1514` or `[::1]:1514`; raises `ConfigError`."""
    host, _, port = text.rpartition(":")
    if not port.isdigit() or int(port) > 65_535:
        raise ConfigError(f"{setting}: {text!r} is no port, and no address:port")
    return host.strip("[]") or "127.0.0.1", int(port)


def bound(setting: str, host: str, port: int, kind: socket.SocketKind) -> socket.socket:
    """A socket that listens there, not blocking; an address that is taken raises `ConfigError`."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, kind)
    try:
        if kind == socket.SOCK_STREAM:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
        if kind == socket.SOCK_STREAM:
            sock.listen(256)
    except OSError as error:
        sock.close()
        hint = "; ports below 1024 need root, 1514 does not" if isinstance(error, PermissionError) else ""
        raise ConfigError(f"{setting}: cannot listen on {host}:{port}: {error.strerror}{hint}") from None
    sock.setblocking(False)
    return sock
