"""How much a DSN's key may send: the key is public, so each has its own windows by category."""

from __future__ import annotations

import math

from mamimon.clock import Clock

WINDOW_S = 60.0
# The category of an item that Sentry's clients know, for X-Sentry-Rate-Limits.
CATEGORIES = {
    "event": "error",
    "transaction": "transaction",
    "span": "span",
    "session": "session",
    "sessions": "session",
    "attachment": "attachment",
    "profile": "profile",
    "profile_chunk": "profile",
    "check_in": "monitor",
    "replay_event": "replay",
    "replay_recording": "replay",
    "replay_video": "replay",
    "feedback": "feedback",
    "user_report": "feedback",
    "log": "log_item",
    "trace_metric": "trace_metric",
    "statsd": "metric_bucket",
    "metric_buckets": "metric_bucket",
}


class Limiter:
    """Fixed windows of a minute by key and category, on the monotonic clock."""

    def __init__(self, clock: Clock, per_minute: int) -> None:
        self._clock = clock
        self._limit = per_minute
        self._began = -math.inf
        self._used: dict[tuple[str, str], int] = {}

    def take(self, key: str, category: str, many: int = 1) -> bool:
        """Whether `many` more fit into the window; they count only if so."""
        now = self._clock.monotonic()
        if now - self._began >= WINDOW_S:
            self._began = now
            self._used.clear()
        used = self._used.get((key, category), 0)
        if used + many > self._limit:
            return False
        self._used[key, category] = used + many
        return True

    def full(self, key: str, category: str) -> bool:
        """Whether nothing more fits into the window."""
        fresh = self._clock.monotonic() - self._began >= WINDOW_S
        return not fresh and self._used.get((key, category), 0) >= self._limit

    @property
    def retry_after_s(self) -> int:
        """Whole seconds until the window ends."""
        return max(1, math.ceil(self._began + WINDOW_S - self._clock.monotonic()))
