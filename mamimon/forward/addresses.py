"""Whose an address is: nothing is forwarded to ourselves."""

from __future__ import annotations

import ipaddress
import socket
from urllib.parse import urlsplit

import psutil


def points_here(url: str, ports: frozenset[int]) -> bool:
    """Whether `url` leads to one of our own listeners (blocking: it resolves the host name)."""
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    if port not in ports:
        return False
    try:
        found = {row[4][0] for row in socket.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)}
    except OSError:
        return False
    own = {address.address.split("%")[0] for rows in psutil.net_if_addrs().values() for address in rows}
    return any(str(one) in own or ipaddress.ip_address(str(one)).is_loopback for one in found)
