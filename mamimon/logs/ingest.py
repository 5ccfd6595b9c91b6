"""From a JSON document to an acknowledged line: read, check, mask, queue, commit.

`record_of` turns one document into a `LogRecord` or says why not. `LogIngest` holds the one queue:
whoever appends waits until the writer has committed the group that the lines fell into.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
import time
from collections import Counter as Counts
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import msgspec
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from mamimon.clock import Clock
from mamimon.config import LogSettings
from mamimon.logs.dates import iso, parse_time
from mamimon.logs.mask import mask
from mamimon.logs.model import LEVEL_NUMBERS, LEVELS, LogRecord, level_number, normal_level
from mamimon.logs.screen import HARMLESS, SPELLED
from mamimon.logs.store.day import Stored
from mamimon.logs.store.days import LogDays
from mamimon.logs.store.labels import label_of
from mamimon.problems import Problem, too_many, unavailable
from mamimon.storage.days import day_of

_log = logging.getLogger("mamimon.logs")
_GROUP_ROWS = 4096


class _Head(msgspec.Struct, gc=False):
    """The few keys that decide where a line belongs; the rest is only checked to be JSON."""

    at: Any = msgspec.field(name="@timestamp", default=None)
    timestamp: Any = None
    time: Any = None
    ts: Any = None
    level: Any = None
    levelname: Any = None
    severity: Any = None
    loglevel: Any = None
    lvl: Any = None
    log_level: Any = msgspec.field(name="log.level", default=None)
    severity_text: Any = msgspec.field(name="severityText", default=None)
    log: Any = None
    message: Any = None
    logger: Any = None
    service: Any = None


_read_head = msgspec.json.Decoder(_Head).decode


class Refusal(Exception):  # noqa: N818 - not an error of ours: the reason why one record is not taken
    """One record is refused, with Elasticsearch's type and a reason for people."""

    def __init__(self, reason: str, type: str = "document_parsing_exception") -> None:
        super().__init__(reason)
        self.reason = reason
        self.type = type


class LogIngest:
    """The door behind all doors. `append` returns when the lines are on the disk's way (committed)."""

    def __init__(
        self,
        days: LogDays,
        settings: LogSettings,
        clock: Clock,
        registry: CollectorRegistry,
        writable: Callable[[], bool],
    ) -> None:
        self._days = days
        self._settings = settings
        self._clock = clock
        self._writable = writable
        self._waiting: list[tuple[Sequence[LogRecord], asyncio.Future[list[Stored]]]] = []
        self._rows = 0
        self._awake = asyncio.Event()
        self._stopping = False
        self._writer: asyncio.Task[None] | None = None
        self.listeners: list[Callable[[Sequence[LogRecord], Sequence[Stored]], None]] = []
        """Called after each commit with what was stored (tail, patterns); must be quick."""
        self._lines = Counter("mamimon_log_lines", "Log lines stored.", ["level"], registry=registry)
        self._refused = Counter(
            "mamimon_log_lines_refused", "Log lines refused one by one.", ["reason"], registry=registry
        )
        self._commit = Histogram(
            "mamimon_log_commit_seconds", "Time of a group commit.", registry=registry,
            buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5),
        )  # fmt: skip
        Gauge("mamimon_log_queue_rows", "Lines waiting for the writer.", registry=registry).set_function(
            lambda: float(self._rows)
        )

    @property
    def max_line_bytes(self) -> int:
        """The largest document that is taken."""
        return self._settings.max_line_bytes

    def record(
        self, level: str, logger: str, message: str, dataset: str = "mamimon", **fields: Any
    ) -> LogRecord:
        """A record of mamimon's own at now."""
        now = self._clock.now()
        document = {"@timestamp": iso(now), "level": level, "logger": logger, "message": message, **fields}
        raw = msgspec.json.encode(document)
        return LogRecord(
            time=now,
            level=normal_level(level),
            raw=mask(raw) if self._settings.mask else raw,
            dataset=dataset,
        )

    def record_of(
        self,
        raw: bytes,
        dataset: str,
        *,
        plain: bool = False,
        id: str = "",
        create: bool = False,
        trust: int = 0,
    ) -> LogRecord:
        """Read one JSON document; raises `Refusal` for one that is not taken.

        `trust` is what a `Screen` knows of it.
        """
        if len(raw) > self._settings.max_line_bytes:
            self.refuse(
                "too_large",
                f"the document has {len(raw)} bytes; the limit is {self._settings.max_line_bytes}",
            )
        raw, head = self._read(raw, trust)
        now = self._clock.now()
        seconds = self._time(head, now)
        message = head.message if isinstance(head.message, str) else None
        label: tuple[str | None, ...] | None = label_of(head.level, head.logger, head.service)
        if self._settings.mask and not trust & HARMLESS:
            masked = mask(raw)
            if masked is not raw:
                # What was masked may be what the line is counted by.
                raw, message, label = masked, None, None
        return LogRecord(
            time=seconds,
            level=LEVELS[_level(head)],
            raw=raw,
            message=message,
            label=label,
            dataset=dataset,
            plain=plain,
            id=id,
            create=create,
        )

    def refuse(self, reason: str, text: str, type: str = "document_parsing_exception") -> NoReturn:
        """Count and raise a refusal."""
        self._refused.labels(reason).inc()
        raise Refusal(text, type)

    def _read(self, raw: bytes, trust: int) -> tuple[bytes, _Head]:
        try:
            if trust & SPELLED:
                return raw, _read_head(raw)
            if not raw.isascii():
                raw.decode("utf-8")
            head = _read_head(raw)
            if b"\\u" in raw or b"\\/" in raw or b"\n" in raw or b"\r" in raw:
                # One spelling for every character, so that searching bytes finds them.
                raw = msgspec.json.encode(msgspec.json.decode(raw))
        except UnicodeDecodeError:
            self.refuse("not_utf8", "the document is not valid UTF-8")
        except RecursionError:
            self.refuse("too_deep", "the document is nested too deep")
        except msgspec.ValidationError:
            self.refuse("not_an_object", "the document is not a JSON object")
        except msgspec.DecodeError as error:
            rescued = _rescue(raw)
            if rescued is None:
                self.refuse("not_json", f"failed to parse: {error}")
            return rescued, _read_head(rescued)
        return raw, head

    def _time(self, head: _Head, now: float) -> float:
        if head.at is not None:
            seconds = parse_time(head.at)
            if seconds is None:
                self.refuse(
                    "bad_time",
                    f"failed to parse field [@timestamp] of type [date]: [{str(head.at)[:80]}] is not a date",
                )
        else:
            seconds = parse_time(head.timestamp) or parse_time(head.time) or parse_time(head.ts)
            if seconds is None:
                return now
        if seconds > now + self._settings.future_limit_s:
            self.refuse(
                "future",
                f"@timestamp {_shown(seconds)} is more than {self._settings.future_limit_s} s in the future",
                "illegal_argument_exception",
            )
        if seconds < (now - self._settings.retention_days * 86_400) // 86_400 * 86_400:
            self.refuse(
                "too_old",
                f"@timestamp {_shown(seconds)} is older than the {self._settings.retention_days} days"
                " that are kept",
                "illegal_argument_exception",
            )
        return seconds

    def open(self) -> None:
        """Start the writer."""
        self._writer = asyncio.create_task(self._write_forever(), name="logs-writer")

    async def close(self) -> None:
        """Write what waits, then stop; later appends are refused."""
        self._stopping = True
        self._awake.set()
        if self._writer is not None:
            await self._writer
            self._writer = None

    async def append(self, records: Sequence[LogRecord]) -> list[Stored]:
        """Store records; durable against a kill when this returns.

        A full queue raises `TOO_MANY`, a full disk or a stopping server `UNAVAILABLE`; nothing of
        the batch is stored then.
        """
        if not records:
            return []
        if self._stopping or not self._writable():
            why = "the server is stopping" if self._stopping else "the disk is full: the server is read-only"
            raise unavailable(why)
        if self._rows + len(records) > self._settings.queue_rows and self._rows:
            raise too_many(f"{self._rows} log lines are waiting to be written; try again")
        future: asyncio.Future[list[Stored]] = asyncio.get_running_loop().create_future()
        self._waiting.append((records, future))
        self._rows += len(records)
        self._awake.set()
        return await future

    async def _write_forever(self) -> None:
        while True:
            await self._awake.wait()
            if not self._waiting:
                if self._stopping:
                    return
                self._awake.clear()
                continue
            group: list[tuple[Sequence[LogRecord], asyncio.Future[list[Stored]]]] = []
            rows = 0
            while self._waiting and (not group or rows + len(self._waiting[0][0]) <= _GROUP_ROWS):
                batch = self._waiting.pop(0)
                group.append(batch)
                rows += len(batch[0])
            try:
                await self._commit_group(group)
            finally:
                self._rows -= rows

    async def _commit_group(
        self, group: list[tuple[Sequence[LogRecord], asyncio.Future[list[Stored]]]]
    ) -> None:
        began = time.perf_counter()
        answers: list[list[Stored]] = [[] for _ in group]
        failed: dict[int, Exception] = {}
        for number, parts in _by_day(group).items():
            day = day_of(number * 86_400)
            lines = [line for _, _, records in parts for line in records]
            try:
                async with self._days.using(day) as file:
                    if file is None:
                        raise unavailable(f"the log file of {day} is damaged")
                    stored = await file.append(lines)
            except Exception as error:
                if not isinstance(error, Problem):
                    _log.exception("storing %d log lines of %s failed", len(lines), day)
                for i, _, _ in parts:
                    failed[i] = (
                        error if isinstance(error, Problem) else unavailable("storing the lines failed")
                    )
                continue
            at = 0
            for i, places, records in parts:
                _place(answers[i], places, stored[at : at + len(records)])
                at += len(records)
            self._tell(lines, stored)
        self._commit.observe(time.perf_counter() - began)
        for i, (_, future) in enumerate(group):
            if future.done():
                continue
            if i in failed:
                future.set_exception(failed[i])
            else:
                future.set_result(answers[i])

    def _tell(self, lines: Sequence[LogRecord], stored: Sequence[Stored]) -> None:
        levels = Counts(
            line.level for line, outcome in zip(lines, stored, strict=True) if not outcome.conflict
        )
        for level, n in levels.items():
            self._lines.labels(level or "none").inc(n)
        for listener in self.listeners:
            listener(lines, stored)


_Part = tuple[int, list[int] | None, Sequence[LogRecord]]
"""Records of one day: of which batch, at which of its places (None: it is the whole batch)."""


def _by_day(group: Sequence[tuple[Sequence[LogRecord], Any]]) -> dict[int, list[_Part]]:
    """The records of several batches, by the number of their day."""
    found: dict[int, list[_Part]] = {}
    for i, (records, _) in enumerate(group):
        numbers = [int(record.time // 86_400) for record in records]
        days = set(numbers)
        for day in days:
            if len(days) == 1:
                part: _Part = (i, None, records)
            else:
                places = [place for place, number in enumerate(numbers) if number == day]
                part = (i, places, [records[place] for place in places])
            found.setdefault(day, []).append(part)
    return found


def _place(answers: list[Stored], places: list[int] | None, stored: list[Stored]) -> None:
    """Put the outcomes of some records at their places in the answer of their batch."""
    if places is None:
        answers += stored
        return
    # The days of a batch come one after the other; a gap is filled by a later one.
    answers += [stored[0]] * (places[-1] + 1 - len(answers))
    for place, outcome in zip(places, stored, strict=True):
        answers[place] = outcome


def _level(head: _Head) -> int:
    if (known := LEVEL_NUMBERS.get(head.level) if type(head.level) is str else None) is not None:
        return known
    # A line's own "level" decides even where we do not know the word: queries rely on it.
    if head.level is not None and not isinstance(head.level, dict):
        return level_number(head.level)
    for value in (head.log_level, head.severity, head.levelname, head.loglevel, head.lvl, head.severity_text):
        if value is not None and (number := level_number(value)):
            return number
    return level_number(head.log.get("level")) if isinstance(head.log, dict) else 0


def _rescue(raw: bytes) -> bytes | None:
    """A document with lone surrogates, which Python's `json.dumps` writes, made valid; else None."""
    if b"\\ud" not in raw.lower():
        return None
    import json

    try:
        document = json.loads(raw, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return None
    if not isinstance(document, dict):
        return None
    text = json.dumps(document, ensure_ascii=False)
    return msgspec.json.encode(msgspec.json.decode(text.encode("utf-8", "replace")))


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _shown(seconds: float) -> str:
    try:
        return f"{dt.datetime.fromtimestamp(seconds, dt.UTC):%Y-%m-%dT%H:%M:%SZ}"
    except (ValueError, OverflowError, OSError):
        return f"{seconds:g}"
