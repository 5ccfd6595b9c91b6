"""State changes: each is a log line and a row, whatever kind of watch it comes from.

Two things stand between what was found and what is shown: during maintenance a check is in
maintenance, and where the change could not be stored it is unknown, because then the fault is ours.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable

from mamimon.clock import Clock
from mamimon.health.model import Change, CheckStatus, State
from mamimon.health.said import Said, quoted, said
from mamimon.health.store import HealthStore
from mamimon.problems import Problem

_log = logging.getLogger("mamimon.health")
_LEVEL = {"down": logging.ERROR, "degraded": logging.WARNING, "unknown": logging.WARNING}


class Ledger:
    """Moves a status from one state to the next and writes that down."""

    def __init__(
        self, clock: Clock, store: HealthStore, maintenance: Callable[[CheckStatus, float], str]
    ) -> None:
        self._clock = clock
        self._store = store
        self._maintenance = maintenance
        self._recorded: set[str] = set()

    def take_up(self, status: CheckStatus, before: Change | None) -> None:
        """Continue where a check stood when mamimon stopped."""
        if before is not None:
            status.state, status.since = before.state, before.at
            status.found = "unknown" if before.state == "maintenance" else before.state
            status.tell(before.said)
            self._recorded.add(status.name)

    async def enter(self, status: CheckStatus, state: State, words: Said, *, at: float | None = None) -> None:
        """`status` was found in `state`, since `at` (epoch seconds, default now) where that is a change."""
        status.tell(words)
        status.found = state
        await self.show(status, at=at)

    async def follow(self, status: CheckStatus) -> None:
        """Show the beginning and the end of maintenance."""
        if bool(self._maintenance(status, self._clock.now())) != (status.state == "maintenance"):
            await self.show(status)

    async def show(self, status: CheckStatus, *, at: float | None = None) -> None:
        """Show what was found, or that maintenance is under way."""
        now = self._clock.now()
        window = self._maintenance(status, now)
        state: State = "maintenance" if window else status.found
        words = quoted(window) if window else status.said
        if status.state == state and status.name in self._recorded:
            return
        was, status.state = status.state, state
        status.since = at = now if at is None else at
        level = _LEVEL.get(state, logging.INFO)
        _log.log(level, "check %s (%s) is %s, was %s: %s", status.name, status.kind, state, was, words)
        try:
            await self._store.add(status.name, [Change(at, state, words)])
        except (Problem, sqlite3.Error) as problem:
            _log.warning("the change of check %s could not be stored: %s", status.name, problem)
            self._recorded.discard(status.name)
            status.state = "unknown"
            status.tell(said("mamimon could not store what it found").also(quoted(str(problem))))
            return
        self._recorded.add(status.name)

    async def forget(self, name: str) -> None:
        """Remove a check's history with the check."""
        self._recorded.discard(name)
        await self._store.forget(name)
