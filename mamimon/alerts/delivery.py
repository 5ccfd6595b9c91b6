"""Works off notification intents: sends, records every attempt, retries with back-off.

An intent is a row before anything is sent, and its success is a row as soon as the receiver has
said yes. A kill in between sends it again (at least once); after a recorded success never.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from mamimon.alerts import links, notification_store, store, storm
from mamimon.alerts.channels.send import send
from mamimon.alerts.model import Message, Notification, Outcome
from mamimon.alerts.routing import Routing, Target
from mamimon.alerts.wording import Context
from mamimon.i18n import LOCALES, current_locale
from mamimon.tally import Tally

if TYPE_CHECKING:
    import sqlite3

    import httpx

    from mamimon.storage import Core

_log = logging.getLogger("mamimon.alerts")
AT_ONCE = 8
TIMEOUT_S = 15.0
FIRST_RETRY_S = 5.0
LONGEST_RETRY_S = 600.0
GIVE_UP_S = 86_400.0


class Delivery:
    """The worker; `work` sends what is due and returns when it is under way."""

    def __init__(
        self,
        core: Core,
        routing: Callable[[], Routing],
        woken: Callable[[], None],
        quiet_until: Callable[[str, str], float | None],
    ) -> None:
        self._core = core
        self._clock = core.clock
        self._routing = routing
        self._woken = woken
        self._quiet_until = quiet_until
        self._flying: dict[int, asyncio.Task[None]] = {}
        self._client: httpx.AsyncClient | None = None
        self.key = b""
        self._count = Tally(
            "mamimon_notifications",
            "Attempts to tell somebody; refused is what trying again cannot help.",
            ["channel", "kind", "result"],
            registry=core.registry,
            clock=core.clock,
            scrape_interval_s=core.settings.metrics.scrape_interval_s,
        )

    async def open(self) -> None:
        """Read or make the key that signs links."""
        self.key = await self._core.state.write(store.link_key)

    async def work(self) -> None:
        """Start sending every notification that is due and not already under way."""
        # One that lands while the rows are read is still pending in them: it is not sent twice.
        before = set(self._flying)
        for one in await self._due(before):
            if one.id in before or one.id in self._flying or len(self._flying) >= AT_ONCE:
                continue
            until = None if one.message.kind == "test" else self._quiet_until(one.to, one.message.severity)
            if until is not None:
                hold = partial(notification_store.postpone, one=one, until=until, at=self._clock.now())
                await self._core.state.write(hold)
                continue
            task = asyncio.create_task(self._deliver(one), name=f"notification-{one.id}")
            self._flying[one.id] = task
            task.add_done_callback(lambda done, key=one.id: self._landed(key, done))  # type: ignore[misc]

    async def _due(self, flying: set[int]) -> list[Notification]:
        """What may be sent now; of a storm, after gathering, so that none slips by between the two."""
        now, limit = self._clock.now(), AT_ONCE + len(flying)
        find = self._routing().target

        def look(raw: sqlite3.Connection) -> list[Notification] | None:
            if storm.crowded(raw, find, now):
                return None
            return notification_store.pending(raw, now, limit)

        def gather(raw: sqlite3.Connection) -> list[Notification]:
            storm.gather(raw, find, flying, now)
            return notification_store.pending(raw, now, limit)

        calm = await self._core.state.read(look)
        return await self._core.state.write(gather) if calm is None else calm

    def _landed(self, key: int, done: asyncio.Task[None]) -> None:
        self._flying.pop(key, None)
        if not done.cancelled() and done.exception() is not None:
            _log.error("notification %s could not be recorded", key, exc_info=done.exception())
        self._woken()

    async def _deliver(self, one: Notification) -> None:
        target = self._routing().target(one.target)
        began = self._clock.monotonic()
        if target is None:
            outcome = Outcome(False, f"{one.target} is no longer configured", retry=False)
        else:
            outcome = await self.send(target, one.message)
        now = self._clock.now()
        next_at = self._retry_at(one, outcome, now)
        await self._core.state.write(
            lambda raw: self._record(raw, one, outcome, now, self._clock.monotonic() - began, next_at)
        )
        if not outcome.ok:
            _log.warning(
                "%s was not told of %s: %s; %s",
                one.to,
                one.message.title,
                outcome.answer,
                "giving up" if next_at is None else f"next try in {next_at - now:.0f} s",
            )

    def _retry_at(self, one: Notification, outcome: Outcome, now: float) -> float | None:
        if outcome.ok or not outcome.retry or now - one.created_at > GIVE_UP_S:
            return None
        wait_s = min(LONGEST_RETRY_S, FIRST_RETRY_S * 3.0 ** min(one.attempts, 10))
        return now + max(wait_s, outcome.retry_after_s or 0.0)

    def _record(
        self,
        raw: sqlite3.Connection,
        one: Notification,
        outcome: Outcome,
        now: float,
        took_s: float,
        next_at: float | None,
    ) -> None:
        notification_store.record_attempt(raw, one, now, took_s, outcome.ok, outcome.answer, next_at)
        if one.incident is None:
            return
        word = {"firing": "told", "escalation": "told", "resolved": "told it is over", "test": "tested"}
        if outcome.ok:
            facts = {"to": one.to, "what": word[one.message.kind]}
            store.add_event(raw, one.incident, now, "sent", f"{one.to} {facts['what']}", facts=facts)
        elif one.attempts == 0 or next_at is None:
            facts = {"to": one.to, "why": outcome.answer[:300]}
            text = f"{one.to} was not told: {facts['why']}"
            store.add_event(raw, one.incident, now, "failed", text, facts=facts)
        if not outcome.ok and next_at is None and one.message.kind != "resolved":
            # Whoever was to be told cannot be: the next step of the policy need not wait.
            incident = store.incident(raw, one.incident)
            others = [n for n in notification_store.of_incident(raw, one.incident) if n.id != one.id]
            reached = any(n.status != "failed" and n.message.kind != "resolved" for n in others)
            if incident is not None and incident.state == "open" and incident.due_at and not reached:
                incident.due_at = min(incident.due_at, now)
                store.save_incident(raw, incident)

    async def send(self, target: Target, message: Message) -> Outcome:
        """Send one message now and count the attempt; nothing is written."""
        import httpx

        if self._client is None:
            self._client = httpx.AsyncClient(
                timeout=httpx.Timeout(TIMEOUT_S), follow_redirects=False, trust_env=False
            )
        current_locale.set(
            self._core.settings.server.locale if self._core.settings.server.locale in LOCALES else "en"
        )
        outcome = await send(target, message, await self._context(target, message), self._client)
        result = "ok" if outcome.ok else "error" if outcome.retry else "refused"
        self._count.add(target.kind, message.kind, result)
        return outcome

    async def _context(self, target: Target, message: Message) -> Context:
        base = self._core.base_url
        ack_url, severity = "", "warning"
        if message.incident is not None:
            number = message.incident
            incident = await self._core.state.read(lambda raw: store.incident(raw, number))
            if incident is not None:
                severity = incident.severity
                if message.kind != "resolved" and incident.state == "open":
                    link = links.Link(number, target.to, self._clock.now() + links.LIFE_S)
                    ack_url = f"{base}/ack/{links.sign(self.key, link)}"
        return Context(base, ack_url, severity, TIMEOUT_S, self._routing().templates)

    async def close(self) -> None:
        """Let what is under way finish for a moment, then leave it to the next start."""
        if self._flying:
            await asyncio.wait(list(self._flying.values()), timeout=3.0)
        for task in list(self._flying.values()):
            task.cancel()
        await asyncio.gather(*self._flying.values(), return_exceptions=True)
        if self._client is not None:
            await self._client.aclose()
            self._client = None
