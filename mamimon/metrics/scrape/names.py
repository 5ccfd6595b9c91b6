"""`dns_sd_configs`: targets from DNS records.

A and AAAA go through the system's resolver, so that a hosts file counts; SRV, MX and NS are asked of the
system's DNS servers, or of `metrics.dns_servers`.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mamimon.metrics.scrape.job import DnsDiscovery, Group

if TYPE_CHECKING:
    import dns.asyncresolver

_TIMEOUT_S = 5.0


async def resolve(config: DnsDiscovery, servers: Sequence[str]) -> tuple[list[Group], list[str]]:
    """The groups of every name that answers, and why the others did not; `servers` are `host[:port]`."""
    found = await asyncio.gather(*(_one(name, config, servers) for name in config.names))
    return [one for one in found if isinstance(one, Group)], [one for one in found if isinstance(one, str)]


async def _one(name: str, config: DnsDiscovery, servers: Sequence[str]) -> Group | str:
    try:
        if config.type in ("A", "AAAA"):
            targets = await _addresses(name, config)
            return Group(targets, {"__meta_dns_name": name}, f"dns/{name}")
        return await _records(name, config, servers)
    except OSError as error:
        return f"{name}: {error}"


async def _addresses(name: str, config: DnsDiscovery) -> list[str]:
    family = socket.AF_INET6 if config.type == "AAAA" else socket.AF_INET
    found: list[Any] = await asyncio.get_running_loop().getaddrinfo(
        name, config.port, family=family, type=socket.SOCK_STREAM
    )
    return [_address(host, config.port) for host in sorted({str(one[4][0]) for one in found})]


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


async def _records(name: str, config: DnsDiscovery, servers: Sequence[str]) -> Group | str:
    import dns.exception

    try:
        answer = await _resolver(servers).resolve(name, config.type, lifetime=_TIMEOUT_S, search=True)
    except dns.exception.DNSException as error:
        return f"{name}: {error}"
    kind = config.type.lower()
    targets: list[str] = []
    labels: dict[str, dict[str, str]] = {}
    for record in answer:
        if kind == "srv":
            host, port = str(record.target), int(record.port)
        else:
            host, port = str(record.exchange if kind == "mx" else record.target), config.port
        address = _address(host.rstrip("."), port)
        targets.append(address)
        labels[address] = {f"__meta_dns_{kind}_record_target": host}
        if kind == "srv":
            labels[address]["__meta_dns_srv_record_port"] = str(port)
    return Group(sorted(set(targets)), {"__meta_dns_name": name}, f"dns/{name}", labels)


def _resolver(servers: Sequence[str]) -> dns.asyncresolver.Resolver:
    import dns.asyncresolver
    import dns.nameserver

    if not servers:
        return dns.asyncresolver.Resolver()
    resolver = dns.asyncresolver.Resolver(configure=False)
    own: list[str | dns.nameserver.Nameserver] = []
    for server in servers:
        host, _, port = server.rpartition(":") if server.count(":") == 1 else (server, "", "")
        own.append(dns.nameserver.Do53Nameserver(host or server, int(port or 53)))
    resolver.nameservers = own
    return resolver
