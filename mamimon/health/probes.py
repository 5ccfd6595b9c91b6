"""One function a kind of check: look at the target once and say what was seen.

A probe returns a `Finding` or raises; `probe` turns every failure into a "down" whose message
holds no secret of the target. Latency is the machine's own time, not the injected clock's.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import sqlite3
import ssl
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import psutil

from mamimon.config_checks import CheckSettings
from mamimon.health.model import Finding, State, shown_target

_BODY_LIMIT = 1 << 20
_USERINFO = re.compile(r"//[^/@\s]+@")


class Failed(Exception):  # noqa: N818 - a finding, not a mistake of ours
    """The target is not well; the message is for people."""


class Unchecked(Exception):  # noqa: N818 - a finding, not a mistake of ours
    """The check could not be made at all, which says nothing about the target."""


async def probe(check: CheckSettings, timeout_s: float) -> Finding:
    """Run the check once, within `timeout_s`."""
    began = time.perf_counter()
    try:
        async with asyncio.timeout(timeout_s):
            finding = await _PROBES[check.kind](check)
    except TimeoutError:
        return Finding("down", f"no answer within {timeout_s:g} s", time.perf_counter() - began)
    except Unchecked as error:
        return Finding("unknown", str(error))
    except Exception as error:
        return Finding("down", _readable(error, check), time.perf_counter() - began)
    latency = time.perf_counter() - began
    if finding.state == "up" and check.degraded_s and latency > check.degraded_s:
        return Finding("degraded", f"{finding.message}, slower than {check.degraded_s:g} s", latency)
    return Finding(finding.state, finding.message, latency)


def _readable(error: Exception, check: CheckSettings) -> str:
    text = str(error)
    if isinstance(error, ConnectionRefusedError):
        text = f"connection refused by {_address(check)}"
    elif isinstance(error, OSError) and error.strerror and not isinstance(error, ssl.SSLError):
        text = error.strerror
    text = text.replace(check.target, shown_target(check.target)) or type(error).__name__
    password = urlsplit(check.target).password if "://" in check.target else None
    if password:
        text = text.replace(password, "•••").replace(unquote(password), "•••")
    return _USERINFO.sub("//", text)[:300]


def _address(check: CheckSettings) -> str:
    return (urlsplit(check.target).netloc if "://" in check.target else check.target).rpartition("@")[2]


async def _http(check: CheckSettings) -> Finding:
    import httpx

    async with (
        httpx.AsyncClient(
            follow_redirects=check.max_redirects > 0,
            max_redirects=max(1, check.max_redirects),
            timeout=None,  # noqa: S113 - `probe` holds the one deadline
            trust_env=False,
            verify=ssl.create_default_context(cafile=check.ca_file) if check.ca_file else True,
        ) as client,
        client.stream(check.method, check.target, headers=check.headers) as answer,
    ):
        body = b""
        async for part in answer.aiter_bytes(65536):
            body += part
            if len(body) >= _BODY_LIMIT:
                break
        accepted = answer.status_code in check.status if check.status else 200 <= answer.status_code < 400
        if not accepted:
            raise Failed(f"HTTP {answer.status_code} {answer.reason_phrase}".strip())
        if check.body and check.body.encode() not in body:
            raise Failed(f"HTTP {answer.status_code}, but the body lacks {check.body[:80]!r}")
        days = _certificate_days(answer.extensions.get("network_stream"))
        if days is None:
            return Finding("up", f"HTTP {answer.status_code}")
        text = f"HTTP {answer.status_code}, certificate valid for {days:.0f} days"
        return Finding("degraded" if days < check.certificate_days else "up", text)


def _certificate_days(stream: Any) -> float | None:
    """Days until the certificate of a TLS connection expires; None without TLS."""
    secured = stream.get_extra_info("ssl_object") if stream is not None else None
    certificate = secured.getpeercert() if secured is not None else None
    if not certificate:
        return None
    return float((ssl.cert_time_to_seconds(certificate["notAfter"]) - time.time()) / 86_400)


async def _tcp(check: CheckSettings) -> Finding:
    host, _, port = check.target.rpartition(":")
    _, writer = await asyncio.open_connection(host.strip("[]"), int(port))
    await _hang_up(writer)
    return Finding("up", "connected")


async def _dns(check: CheckSettings) -> Finding:
    found = await asyncio.get_running_loop().getaddrinfo(check.target, None)
    addresses = sorted({str(row[4][0]) for row in found})
    return Finding("up", ", ".join(addresses[:4]))


async def _redis(check: CheckSettings) -> Finding:
    url = urlsplit(check.target)
    context = ssl.create_default_context() if url.scheme == "rediss" else None
    reader, writer = await asyncio.open_connection(url.hostname or "localhost", url.port or 6379, ssl=context)
    try:
        if url.password:
            user = [unquote(url.username)] if url.username else []
            await _redis_ask(reader, writer, "AUTH", *user, unquote(url.password))
        if (database := url.path.strip("/")) and database != "0":
            await _redis_ask(reader, writer, "SELECT", database)
        answer = await _redis_ask(reader, writer, "PING")
    finally:
        await _hang_up(writer)
    if answer != "PONG":
        raise Failed(f"PING was answered {answer[:80]!r}")
    return Finding("up", "PONG")


async def _redis_ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *words: str) -> str:
    parts = [f"*{len(words)}\r\n".encode()]
    for word in words:
        raw = word.encode()
        parts.append(b"$%d\r\n%s\r\n" % (len(raw), raw))
    writer.write(b"".join(parts))
    await writer.drain()
    line = (await reader.readline()).decode("utf-8", "replace").strip()
    if not line:
        raise Failed(f"the connection was closed after {words[0]}")
    if line.startswith("-"):
        raise Failed(line[1:])
    return line[1:]


async def _postgres(check: CheckSettings) -> Finding:
    try:
        import asyncpg
    except ImportError:
        raise Unchecked("needs asyncpg: pip install 'mamimon[postgres]'") from None
    connection = await asyncpg.connect(check.target, timeout=None)
    try:
        version = await connection.fetchval("SHOW server_version")
        read_only = await connection.fetchval("SELECT pg_is_in_recovery()")
    finally:
        connection.terminate()
    return Finding("up", f"PostgreSQL {version}{', in recovery' if read_only else ''}")


async def _sqlite(check: CheckSettings) -> Finding:
    tables = await asyncio.to_thread(_sqlite_tables, Path(check.target.removeprefix("sqlite:///")))
    return Finding("up", f"{tables} tables")


def _sqlite_tables(path: Path) -> int:
    if not path.is_file():
        raise Failed("there is no such file")
    with contextlib.closing(
        sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=2)
    ) as raw:
        return int(raw.execute("SELECT count(*) FROM sqlite_master WHERE type = 'table'").fetchone()[0])


async def _disk(check: CheckSettings) -> Finding:
    usage = await asyncio.to_thread(psutil.disk_usage, check.target)
    return _usage(check, usage.percent, f"{usage.percent:.0f} % used, {_gib(usage.free)} free", 80.0, 95.0)


async def _memory(check: CheckSettings) -> Finding:
    memory = await asyncio.to_thread(psutil.virtual_memory)
    text = f"{memory.percent:.0f} % used, {_gib(memory.available)} available"
    return _usage(check, memory.percent, text, 90.0, 98.0)


def _usage(check: CheckSettings, percent: float, text: str, degraded: float, down: float) -> Finding:
    state: State = "up"
    if percent >= (check.down_percent or down):
        state = "down"
    elif percent >= (check.degraded_percent or degraded):
        state = "degraded"
    return Finding(state, text)


def _gib(value: float) -> str:
    return f"{value / 2**30:.1f} GiB"


async def _hang_up(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


_PROBES: dict[str, Callable[[CheckSettings], Awaitable[Finding]]] = {
    "http": _http,
    "tcp": _tcp,
    "dns": _dns,
    "redis": _redis,
    "postgres": _postgres,
    "sqlite": _sqlite,
    "disk": _disk,
    "memory": _memory,
}
