"""State changes: each is a log line and a row, whatever kind of watch it comes from."""

from __future__ import annotations

import logging

from mamimon.clock import Clock
from mamimon.health.model import Change, CheckStatus, State
from mamimon.health.store import HealthStore
from mamimon.problems import Problem

_log = logging.getLogger("mamimon.health")
_LEVEL = {"up": logging.INFO, "degraded": logging.WARNING, "down": logging.ERROR, "unknown": logging.WARNING}


class Ledger:
    """Moves a status from one state to the next and writes that down."""

    def __init__(self, clock: Clock, store: HealthStore) -> None:
        self._clock = clock
        self._store = store
        self._recorded: set[str] = set()

    def take_up(self, status: CheckStatus, before: Change | None) -> None:
        """Continue where a check stood when mamimon stopped."""
        if before is not None:
            status.state, status.message, status.since = before.state, before.message, before.at
            self._recorded.add(status.name)

    async def enter(
        self, status: CheckStatus, state: State, message: str, *, at: float | None = None
    ) -> None:
        """`status` is in `state`, since `at` (epoch seconds, default now) where that is a change."""
        status.message = message
        if status.state == state and status.name in self._recorded:
            return
        was, status.state = status.state, state
        status.since = at = self._clock.now() if at is None else at
        name, kind = status.name, status.kind
        _log.log(_LEVEL[state], "check %s (%s) is %s, was %s: %s", name, kind, state, was, message)
        try:
            await self._store.add(name, [Change(at, state, message)])
        except Problem as problem:
            _log.warning("the change of check %s is kept in memory only: %s", name, problem)
        self._recorded.add(name)

    async def forget(self, name: str) -> None:
        """Remove a check's history with the check."""
        self._recorded.discard(name)
        await self._store.forget(name)
