"""Exceptions and messages that somebody should look at, reported to the Sentry-compatible door."""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Optional

from mamimon.client import agent, frames
from mamimon.client.context import current
from mamimon.client.logs import get_logger, ship_uncaught
from mamimon.client.plain import plain
from mamimon.client.reports import Report

# An error storm must not become a storm of work: reports beyond this are counted, not made.
BURST = 100.0
PER_SECOND = 10.0

_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40, "fatal": 50}
_RANKS = {"debug": 0, "info": 1, "warning": 2, "error": 3, "fatal": 3}


class _Bucket:
    """A token bucket; losing a race costs a token at most."""

    def __init__(self) -> None:
        self._tokens = BURST
        self._at = time.monotonic()

    def take(self) -> bool:
        now = time.monotonic()
        self._tokens = min(BURST, self._tokens + (now - self._at) * PER_SECOND)
        self._at = now
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True


_bucket = _Bucket()


def capture_exception(error: Optional[BaseException] = None, **extra: Any) -> Optional[str]:
    """Report an exception, by default the one being handled; returns the event's id.

    The same exception object is reported once. Without `init` it is logged instead. None means that
    there was no exception, or that it was reported before.
    """
    error = error or frames.current_error()
    if error is None:
        return None
    if not agent.ships("error"):
        get_logger("mamimon.errors").error(
            "%s: %s",
            type(error).__name__,
            error,
            exc_info=error,
            extra={"error_extra": extra} if extra else None,
        )
        return None
    return report(error, level="error", logger="", message="", extra=extra)


def capture_message(message: str, level: str = "info", **extra: Any) -> Optional[str]:
    """Report a message at a level (debug, info, warning, error, fatal); returns the event's id."""
    if level not in _LEVELS:
        level = "info"
    if not agent.ships("error"):
        get_logger("mamimon.errors").log(
            _LEVELS[level], message, extra={"error_extra": extra} if extra else None
        )
        return None
    return _put(Report(_new_id(), time.time(), level, "", message, [], True, current(), plain(extra)))


def report(
    error: BaseException,
    *,
    level: str,
    logger: str,
    message: str,
    extra: Mapping[str, Any],
    handled: bool = True,
) -> Optional[str]:
    """Report an exception object unless it was reported already; None where it was."""
    if not frames.mark_captured(error):
        return None
    links = frames.walk(error, agent.settings().send_locals)
    return _put(
        Report(_new_id(), time.time(), level, logger, message, links, handled, current(), plain(extra))
    )


def _put(made: Report) -> Optional[str]:
    shipper = agent.shipper()
    if shipper is None:
        return None
    if not _bucket.take():
        shipper.losses.add("error", _RANKS[made.level], 1, f"more than {PER_SECOND:g} errors a second")
        return None
    shipper.put("error", made, _RANKS[made.level])
    return made.event_id


def _new_id() -> str:
    return os.urandom(16).hex()


class Hooks:
    """Uncaught exceptions of the main thread and of others; the previous hooks still run."""

    def __init__(self) -> None:
        self._main = sys.excepthook
        self._thread = threading.excepthook
        sys.excepthook = self._on_main
        threading.excepthook = self._on_thread

    def remove(self) -> None:
        """Put the previous hooks back, unless somebody has put theirs over ours."""
        if sys.excepthook == self._on_main:
            sys.excepthook = self._main
        if threading.excepthook == self._on_thread:
            threading.excepthook = self._thread

    def _on_main(
        self, kind: type[BaseException], error: BaseException, trace: Optional[TracebackType]
    ) -> None:
        if issubclass(kind, Exception):
            uncaught(error, {})
        self._main(kind, error, trace)

    def _on_thread(self, arguments: Any) -> None:
        error = arguments.exc_value
        if isinstance(error, Exception):
            name = arguments.thread.name if arguments.thread is not None else ""
            uncaught(error, {"in_thread": name})
        self._thread(arguments)


def uncaught(error: BaseException, extra: dict[str, Any]) -> None:
    """Ship and report an exception that nobody caught; never raises."""
    try:
        message = f"uncaught {type(error).__name__}: {error}"
        ship_uncaught("mamimon.uncaught", message, error, extra)
        if agent.ships("error"):
            report(error, level="fatal", logger="mamimon.uncaught", message="", extra=extra, handled=False)
    except Exception as problem:
        logging.getLogger("mamimon.errors").debug("an uncaught exception could not be reported: %r", problem)
