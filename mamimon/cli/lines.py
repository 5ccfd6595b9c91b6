"""What a program prints, as the client's records: JSON, logfmt, plain lines, stack traces joined."""

from __future__ import annotations

import time
from typing import Any

from mamimon.cli.recognise.formats import Reader, Record, named_level
from mamimon.cli.recognise.join import Joiner, links
from mamimon.client.frames import Link
from mamimon.client.plain import MAX_MESSAGE, plain
from mamimon.client.records import Line

LEVELS = {"DEBUG": 10, "INFO": 20, "WARNING": 30, "ERROR": 40, "CRITICAL": 50}


class Recogniser:
    """Feeds on the lines of one stream; a line is held back until the next one, or `flush`."""

    def __init__(self, logger: str) -> None:
        self._logger = logger
        self._joiner = Joiner(Reader("auto"), loose=True)
        self.last_error: Link | None = None

    def feed(self, text: str) -> list[Line]:
        """The records that this line completes."""
        return [self._line(record) for record in self._joiner.feed(text)]

    def flush(self) -> list[Line]:
        """What is held back, as a record."""
        return [self._line(record) for record in self._joiner.flush()]

    def _line(self, record: Record) -> Line:
        found = links(record) if record.trace else []
        structured = record.kind in {"json", "logfmt"}
        # A program prints its lines now, whatever they say of the time.
        created = record.time if record.time is not None and structured else time.time()
        message = record.message if structured else record.text
        level = _usual(record.level)
        if found:
            self.last_error = found[-1]
            level = level if LEVELS[level] >= LEVELS["ERROR"] else "ERROR"
        if record.kind == "trace" and found:
            message = f"{found[-1].kind}: {found[-1].message}" if found[-1].message else found[-1].kind
        elif record.more and not found:
            message = "\n".join([message, *record.more])
        return _make(
            created, level, record.logger or self._logger, message,
            record.fields if structured else None, found or None,
        )  # fmt: skip


def level_in(text: str) -> str:
    """The level that a plain line names near its start; INFO where it names none."""
    return named_level(text) or "INFO"


def _usual(level: str) -> str:
    return level if level in LEVELS else "INFO"


def _make(
    created: float,
    level: str,
    logger: str,
    message: str,
    fields: dict[str, Any] | None,
    found: list[Link] | None,
) -> Line:
    extra = plain(fields) if fields else None
    return Line(created, LEVELS[level], level, logger, message[:MAX_MESSAGE], {}, extra, found, None)
