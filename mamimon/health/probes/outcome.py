"""What the probes share: what they are told, how they fail, and threads that may hang."""

from __future__ import annotations

import asyncio
import ssl
import threading
import time
from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeVar

import msgspec

from mamimon.config_checks import CheckSettings
from mamimon.health.model import Finding
from mamimon.health.said import Said, said
from mamimon.health.trend import Trend

T = TypeVar("T")


class Failed(Exception):  # noqa: N818 - a finding, not a mistake of ours
    """The target is not well; the words are for people."""

    def __init__(self, words: Said, facts: dict[str, float] | None = None) -> None:
        super().__init__(str(words))
        self.words = words
        self.facts = facts or {}


class Unchecked(Exception):  # noqa: N818 - a finding, not a mistake of ours
    """The check could not be made at all, which says nothing about the target."""

    def __init__(self, words: Said) -> None:
        super().__init__(str(words))
        self.words = words


class Look(msgspec.Struct):
    """What a probe is told beside its settings: the time (epoch seconds), and what it saw before."""

    now: float
    trend: Trend
    busy: set[str]
    """Checks whose thread has not come back, as from a network disk that hangs."""


async def in_thread(check: CheckSettings, look: Look, work: Callable[..., T], *arguments: Any) -> T:
    """Run a blocking call in a thread of its own, one at a time for a check.

    A call that hangs for ever costs one thread, not one a run, and none of the shared pool.
    """
    if check.name in look.busy:
        raise Failed(said("the last attempt still hangs"))
    look.busy.add(check.name)
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(value: T | None, error: BaseException | None) -> None:
        if future.done():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(value)  # type: ignore[arg-type]

    def run() -> None:
        value: T | None = None
        failure: BaseException | None = None
        try:
            value = work(*arguments)
        except Exception as error:
            failure = error
        finally:
            look.busy.discard(check.name)
        if not loop.is_closed():
            loop.call_soon_threadsafe(settle, value, failure)

    threading.Thread(target=run, name=f"check {check.name}", daemon=True).start()
    return await future


@lru_cache(maxsize=64)
def trust(ca_file: str) -> ssl.SSLContext:
    """What certificates are checked against: well-known authorities or a file. Reading them costs 30 ms."""
    return ssl.create_default_context(cafile=ca_file or None)


def certificate(secured: Any, check: CheckSettings, words: Said, facts: dict[str, float]) -> Finding:
    """Judge a TLS connection's certificate by the days it has left; without one the words stand alone."""
    found = secured.getpeercert() if secured is not None else None
    if not found:
        return Finding("up", words, facts=facts)
    expires = float(ssl.cert_time_to_seconds(found["notAfter"]))
    days = (expires - time.time()) / 86_400
    facts["probe_ssl_earliest_cert_expiry"] = expires
    words = words.also(said("certificate valid for %(days)s days", days=f"{days:.0f}"))
    return Finding("degraded" if days < check.certificate_days else "up", words, facts=facts)
