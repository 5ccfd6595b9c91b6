"""Alerts of our rules sent on to other Alertmanagers, as Prometheus sends them, relabelled.

Each goes out when it changes and again every minute with an end a few minutes ahead, so that an
Alertmanager forgets what nobody repeats; one that is over is told for a quarter of an hour.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec
from prometheus_client import Counter

from mamimon.alerts.model import Alert, Outcome
from mamimon.alerts.wording import rfc3339
from mamimon.clock import rest

if TYPE_CHECKING:
    import httpx

    from mamimon.metrics.model import Labels
    from mamimon.storage import Core

_log = logging.getLogger("mamimon.alerts")
RESEND_S = 60.0
RETRY_S = 15.0
LIVES_S = 4 * RESEND_S
TELL_OVER_S = 900.0
BATCH = 256
TIMEOUT_S = 10.0
HEADER = "x-mamimon-relay"
"""Names the sender, so that a configuration which points at ourselves goes round once only."""


class Sent(msgspec.Struct):
    """How the last sending to one Alertmanager went; `url` holds no password."""

    url: str
    outcome: Outcome
    at: float


class Relay:
    """Sends to every address of `targets`; `mine` gives the alerts that fire at the start.

    `relabelled` gives the labels under which an alert goes out, None for one that stays here.
    """

    def __init__(
        self,
        core: Core,
        targets: Callable[[], Sequence[str]],
        mine: Callable[[], Sequence[Alert]],
        relabelled: Callable[[Labels], Labels | None],
    ) -> None:
        self._core = core
        self._targets = targets
        self._mine = mine
        self._relabelled = relabelled
        self._alerts: dict[str, Alert] = {}
        self._wake = asyncio.Event()
        self.id = uuid.uuid4().hex
        self.sent: dict[str, Sent] = {}
        self._count = Counter(
            "mamimon_alerts_relayed",
            "Alerts sent on to other Alertmanagers.",
            ["result"],
            registry=core.registry,
        )

    def hosts(self) -> list[str]:
        """The addresses, without passwords."""
        return [_plain(url) for url in dict.fromkeys(self._targets())]

    def put(self, alerts: Sequence[Alert]) -> None:
        """Take new states of alerts; they go out at once."""
        if self._targets():
            self._alerts.update({one.fingerprint: one for one in alerts})
            self._wake.set()

    async def run(self) -> None:
        """Send what changed when it changed, and all of it every minute, for ever."""
        for one in self._mine():
            self._alerts.setdefault(one.fingerprint, one)
        while not self._alerts:  # most servers have nobody to tell, and need no client for it
            self._wake.clear()
            await rest(self._core.clock, RESEND_S, self._wake)
        import httpx

        async with httpx.AsyncClient(
            timeout=TIMEOUT_S, follow_redirects=False, trust_env=False, headers={HEADER: self.id}
        ) as client:
            while True:
                self._wake.clear()
                pause_s = RESEND_S if await self.once(client) else RETRY_S
                await rest(self._core.clock, pause_s, self._wake)

    async def once(self, client: httpx.AsyncClient) -> bool:
        """Send everything to everybody once; whether all of it was taken."""
        now = self._core.clock.now()
        over = [k for k, one in self._alerts.items() if one.resolved(now - TELL_OVER_S)]
        for key in over:
            del self._alerts[key]
        urls = list(dict.fromkeys(self._targets()))
        self.sent = {url: one for url, one in self.sent.items() if url in urls}
        if not self._alerts:
            return True
        shown = ((self._relabelled(one.labels), one) for one in self._alerts.values())
        bodies = [_body(labels, one, now) for labels, one in shown if labels is not None]
        found = await asyncio.gather(*(self._send(client, url, bodies) for url in urls))
        return all(found)

    async def _send(self, client: httpx.AsyncClient, url: str, bodies: list[dict[str, Any]]) -> bool:
        import httpx

        outcome = Outcome(True, "")
        for first in range(0, len(bodies), BATCH):
            part = bodies[first : first + BATCH]
            try:
                answer = await client.post(f"{url.rstrip('/')}/api/v2/alerts", json=part)
                outcome = Outcome(answer.is_success, f"HTTP {answer.status_code} {answer.text[:200]}".strip())
            except httpx.InvalidURL as error:
                outcome = Outcome(False, f"the URL cannot be used: {error}")
            except httpx.HTTPError as error:
                outcome = Outcome(False, str(error) or type(error).__name__)
            self._count.labels("ok" if outcome.ok else "error").inc(len(part))
            if not outcome.ok:
                break
        before = self.sent.get(url)
        host = _plain(url)
        if not outcome.ok and (before is None or before.outcome.ok):
            _log.warning("alerts do not reach the Alertmanager at %s: %s", host, outcome.answer)
        self.sent[url] = Sent(host, outcome, self._core.clock.now())
        return outcome.ok


def _plain(url: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl().rstrip("/")


def _body(labels: Labels, one: Alert, now: float) -> dict[str, Any]:
    over = one.resolved(now)
    return {
        "labels": labels,
        "annotations": one.annotations,
        "startsAt": rfc3339(one.starts_at),
        "endsAt": rfc3339(one.ends_at if over else now + LIVES_S),
        "generatorURL": one.generator_url,
    }
