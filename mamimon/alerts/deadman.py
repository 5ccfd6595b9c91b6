"""The dead man's switch: an address outside is asked each minute while all is well here.

Whoever keeps that address (healthchecks.io, another mamimon's `/ping/…`) raises the alarm when the asking
stops, whether this process, its disk, its rules or the way out has failed.
"""

from __future__ import annotations

import logging
import sqlite3
from typing import TYPE_CHECKING

from mamimon.alerts import store
from mamimon.alerts.model import Outcome
from mamimon.problems import Problem

if TYPE_CHECKING:
    from mamimon.alerts.engine import Engine
    from mamimon.storage import Core

_log = logging.getLogger("mamimon.alerts")
TIMEOUT_S = 10.0
LATE_S = 120.0
STUCK_S = 600.0


class DeadMan:
    """Asks `alerts.deadman_url`; `outcome` is of the last time, `trouble` says why it does not ask."""

    def __init__(self, core: Core, engine: Engine) -> None:
        self._core = core
        self._engine = engine
        self._url = core.settings.alerts.deadman_url
        self._since = core.clock.now()
        self.asked_at: float | None = None
        self.outcome: Outcome | None = None
        self.trouble = ""

    @property
    def configured(self) -> bool:
        """Whether there is somebody to tell."""
        return bool(self._url)

    async def run(self) -> None:
        """Ask at every interval, for ever; without an address, never."""
        while self._url:
            await self.once()
            await self._core.clock.sleep(self._core.settings.alerts.deadman_interval_s)

    async def once(self) -> None:
        """Ask if all is well; say why not in the log, once a reason."""
        trouble = await self._trouble()
        if trouble and trouble != self.trouble:
            _log.error("the dead man's switch is let go: %s", trouble)
        self.trouble = trouble
        if trouble:
            return
        before = self.outcome
        self.outcome, self.asked_at = await self._ask(), self._core.clock.now()
        if not self.outcome.ok and (before is None or before.ok):
            _log.warning("the dead man's switch could not be held: %s", self.outcome.answer)

    async def _ask(self) -> Outcome:
        import httpx

        try:
            async with (
                httpx.AsyncClient(timeout=TIMEOUT_S, follow_redirects=False, trust_env=False) as client,
                client.stream("GET", self._url) as answer,
            ):
                return Outcome(answer.is_success, f"HTTP {answer.status_code}")
        except httpx.InvalidURL as error:
            return Outcome(False, f"the URL cannot be used: {error}")
        except httpx.HTTPError as error:
            return Outcome(False, type(error).__name__)

    async def _trouble(self) -> str:
        """What is not well, or an empty string."""
        now = self._core.clock.now()
        if not self._core.writable():
            return "the disk is full"
        for group in self._engine.groups:
            silent_s = now - max(group.evaluated_at or 0.0, self._since)
            if silent_s > 3 * group.interval_s + LATE_S:
                return f"rule group {group.name} was not evaluated for {silent_s:.0f} s"
        try:
            due = await self._core.state.read(store.next_due)
        except (sqlite3.Error, Problem) as error:
            return f"the state cannot be read: {type(error).__name__}"
        if due is not None and now - due > STUCK_S:
            return f"somebody should have been told {now - due:.0f} s ago"
        return ""
