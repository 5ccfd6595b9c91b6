"""One function a kind of check: look at the target once and say what was seen.

A probe returns a `Finding` or raises; `probe` turns every failure into a "down" whose message
holds no secret of the target. Latency is the machine's own time, not the injected clock's.
"""

from __future__ import annotations

import asyncio
import re
import ssl
import time
from collections.abc import Awaitable, Callable
from urllib.parse import unquote, urlsplit

import msgspec

from mamimon.config_checks import CheckSettings
from mamimon.health.model import Finding, shown_target
from mamimon.health.probes import databases, host, network, processes, web
from mamimon.health.probes.outcome import Failed, Look, Unchecked
from mamimon.health.said import Said, quoted, said

_USERINFO = re.compile(r"//[^/@\s]+@")

_PROBES: dict[str, Callable[[CheckSettings, Look], Awaitable[Finding]]] = {
    "http": web.http,
    "tcp": network.tcp,
    "tls": network.tls,
    "dns": network.dns,
    "ping": network.ping,
    "redis": databases.redis,
    "postgres": databases.postgres,
    "mysql": databases.mysql,
    "sqlite": databases.sqlite,
    "disk": host.disk,
    "inodes": host.inodes,
    "memory": host.memory,
    "swap": host.swap,
    "load": host.load,
    "clock": host.clock,
    "process": processes.process,
    "systemd": processes.systemd,
}


async def probe(check: CheckSettings, timeout_s: float, look: Look) -> Finding:
    """Run the check once, within `timeout_s`."""
    began = time.perf_counter()
    try:
        async with asyncio.timeout(timeout_s):
            finding = await _PROBES[check.kind](check, look)
    except TimeoutError:
        waited = said("no answer within %(seconds)s s", seconds=f"{timeout_s:g}")
        return Finding("down", waited, time.perf_counter() - began)
    except Unchecked as error:
        return Finding("unknown", error.words)
    except Failed as error:
        return Finding("down", _clean(error.words, check), time.perf_counter() - began, error.facts)
    except Exception as error:
        return Finding("down", _readable(error, check), time.perf_counter() - began)
    latency = time.perf_counter() - began
    finding = msgspec.structs.replace(finding, latency_s=latency)
    if finding.state == "up" and check.degraded_s and latency > check.degraded_s:
        slow = said("slower than %(seconds)s s", seconds=f"{check.degraded_s:g}")
        return msgspec.structs.replace(finding, state="degraded", said=finding.said.also(slow))
    return finding


def _readable(error: Exception, check: CheckSettings) -> Said:
    cause = _cause(error)
    if isinstance(cause, ConnectionRefusedError):
        return said("connection refused by %(address)s", address=_address(check))
    if isinstance(cause, ssl.SSLCertVerificationError):
        return said("the certificate is not valid: %(reason)s", reason=cause.verify_message)
    if isinstance(cause, ssl.SSLError):
        return said("TLS failed: %(reason)s", reason=(cause.reason or str(cause)).lower().replace("_", " "))
    text = str(error)
    if isinstance(cause, OSError) and cause.strerror:
        text = cause.strerror
    return quoted(_without_secrets(text, check) or type(error).__name__)


def _cause(error: BaseException) -> BaseException:
    """What the network said, under what libraries made of it; the error itself where that is not there."""
    seen: BaseException | None = error
    for _ in range(10):
        if seen is None or (isinstance(seen, OSError) and seen.strerror):
            break
        if isinstance(seen, BaseExceptionGroup):
            seen = seen.exceptions[0]
        else:
            seen = seen.__cause__ or seen.__context__
    return seen if seen is not None else error


def _clean(words: Said, check: CheckSettings) -> Said:
    """The words without the target's secrets, which a server may repeat."""
    values = {name: _without_secrets(value, check) for name, value in words.values.items()}
    return Said(words.text, values, [_clean(one, check) for one in words.more])


def _without_secrets(text: str, check: CheckSettings) -> str:
    text = text.replace(check.target, shown_target(check.target)) if check.target else text
    password = urlsplit(check.target).password if "://" in check.target else None
    if password:
        text = text.replace(password, "•••").replace(unquote(password), "•••")
    return _USERINFO.sub("//", text)[:300]


def _address(check: CheckSettings) -> str:
    return (urlsplit(check.target).netloc if "://" in check.target else check.target).rpartition("@")[2]
