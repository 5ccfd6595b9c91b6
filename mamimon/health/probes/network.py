"""Checks below HTTP: TCP, TLS, DNS, ICMP echo."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
import re
import shutil
import socket
import struct
import time

from mamimon.config_checks import CheckSettings
from mamimon.health.model import Finding
from mamimon.health.probes.outcome import Failed, Look, Unchecked, certificate, trust
from mamimon.health.said import quoted, said

_ECHO, _ECHO6 = (8, 0), (128, 129)
_PING_TIME = re.compile(rb"time=([0-9.]+) ms")


def address(target: str) -> tuple[str, int]:
    """`host:port`, or `[v6]:port`."""
    host, _, port = target.rpartition(":")
    return host.strip("[]"), int(port)


async def hang_up(writer: asyncio.StreamWriter) -> None:
    """Close a connection, whatever the other side thinks of it."""
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


async def tcp(check: CheckSettings, _look: Look) -> Finding:
    """A port that accepts."""
    _, writer = await asyncio.open_connection(*address(check.target))
    await hang_up(writer)
    return Finding("up", said("connected"))


async def tls(check: CheckSettings, _look: Look) -> Finding:
    """A port that speaks TLS with a certificate that is valid for its name, and for how long."""
    host, port = address(check.target)
    _, writer = await asyncio.open_connection(host, port, ssl=trust(check.ca_file), server_hostname=host)
    try:
        secured = writer.get_extra_info("ssl_object")
        return certificate(secured, check, quoted(secured.version() or "TLS"), {})
    finally:
        await hang_up(writer)


async def dns(check: CheckSettings, _: Look) -> Finding:
    """A name: its addresses by the system's resolver, or a record, if need be from one server."""
    began = time.perf_counter()
    if check.record or check.server:
        answers = await _record(check)
    else:
        found = await asyncio.get_running_loop().getaddrinfo(check.target, None)
        answers = sorted({str(row[4][0]) for row in found})
    facts = {
        "probe_dns_lookup_time_seconds": time.perf_counter() - began,
        "probe_dns_answer_rrs": float(len(answers)),
    }
    lacking = [one for one in check.expect if _plain(one) not in {_plain(answer) for answer in answers}]
    if lacking:
        raise Failed(
            said(
                "%(expected)s is not among the answers: %(answers)s",
                expected=", ".join(lacking[:4]),
                answers=", ".join(answers[:4]),
            ),
            facts,
        )
    return Finding("up", quoted(", ".join(answers[:4])), facts=facts)


def _plain(answer: str) -> str:
    return answer.strip('"').rstrip(".").lower()


async def _record(check: CheckSettings) -> list[str]:
    from dns.asyncresolver import Resolver
    from dns.exception import DNSException

    resolver = Resolver(configure=not check.server)
    if check.server:
        host, _, port = check.server.rpartition(":")
        if not port.isdigit() or (":" in host and not host.startswith("[")):
            host, port = check.server, "53"
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_DGRAM)
        resolver.nameservers, resolver.port = [str(found[0][4][0])], int(port)
    resolver.lifetime = check.timeout_s or 10.0
    try:
        answer = await resolver.resolve(check.target, check.record or "A", search=False)
    except DNSException as error:
        raise Failed(quoted(str(error)[:200] or type(error).__name__)) from None
    return sorted(row.to_text() for row in answer)


async def ping(check: CheckSettings, _: Look) -> Finding:
    """An ICMP echo: by an unprivileged datagram socket, a raw one where we may, else the `ping` program."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(check.target, None, type=socket.SOCK_DGRAM)
    family, where = found[0][0], found[0][4]
    sock = _icmp_socket(family)
    if sock is None:
        seconds = await _ping_program(str(where[0]))
    else:
        with sock:
            seconds = await _echo(sock, family, (str(where[0]), 0))
    facts = {
        "probe_ip_protocol": 6.0 if family == socket.AF_INET6 else 4.0,
        "probe_icmp_rtt_seconds": seconds,
    }
    words = said("%(address)s answered after %(ms)s ms", address=where[0], ms=f"{seconds * 1000:.1f}")
    return Finding("up", words, facts=facts)


def _icmp_socket(family: int) -> socket.socket | None:
    protocol = socket.IPPROTO_ICMPV6 if family == socket.AF_INET6 else socket.IPPROTO_ICMP
    for kind in (socket.SOCK_DGRAM, socket.SOCK_RAW):
        with contextlib.suppress(PermissionError):
            sock = socket.socket(family, kind, protocol)
            sock.setblocking(False)
            return sock
    return None


async def _echo(sock: socket.socket, family: int, where: tuple[str, int]) -> float:
    loop = asyncio.get_running_loop()
    request, reply = _ECHO6 if family == socket.AF_INET6 else _ECHO
    mark = os.urandom(24)
    packet = struct.pack("!BBHHH", request, 0, 0, os.getpid() & 0xFFFF, 1) + mark
    if family == socket.AF_INET:
        packet = packet[:2] + struct.pack("!H", _checksum(packet)) + packet[4:]
    began = time.perf_counter()
    await loop.sock_sendto(sock, packet, where)
    while True:
        data = await loop.sock_recv(sock, 2048)
        # A raw IPv4 socket hands over the IP header as well, and everybody's packets.
        if sock.type == socket.SOCK_RAW and family == socket.AF_INET:
            data = data[(data[0] & 0x0F) * 4 :]
        if data[:1] == bytes([reply]) and data[8:] == mark:
            return time.perf_counter() - began


def _checksum(packet: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    total: int = sum(struct.unpack(f"!{len(packet) // 2}H", packet))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF


async def _ping_program(host: str) -> float:
    program = shutil.which("ping")
    if program is None:
        raise Unchecked(
            said("ICMP is not allowed here: set net.ipv4.ping_group_range, or install the ping program")
        )
    flag = "-6" if ipaddress.ip_address(host.partition("%")[0]).version == 6 else "-4"
    process = await asyncio.create_subprocess_exec(
        program, "-n", flag, "-c", "1", host, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    found = _PING_TIME.search(output)
    if process.returncode != 0 or found is None:
        last = output.decode("utf-8", "replace").strip().splitlines()[-1:] or ["no answer"]
        raise Failed(quoted(last[0][:200]))
    return float(found[1]) / 1000
