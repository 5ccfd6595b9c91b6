"""Answers the questions of Loki's API from the day files."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from mamimon.logs.clauses import All, Row
from mamimon.logs.model import LEVELS, message_of
from mamimon.logs.query import count_steps
from mamimon.logs.store.scan import Plan, View
from mamimon.logs.store.tally import EVER_US
from mamimon.logs.wire.loki import metric
from mamimon.logs.wire.loki.rows import Selected, metadata_of, stream_of, time_ns, value
from mamimon.logs.wire.loki.syntax import Aggregate, Log, LogQLError, Range
from mamimon.problems import Kind, Problem

if TYPE_CHECKING:
    from mamimon.logs.room import LogRoom

T = TypeVar("T")
_SAMPLE_ROWS = 5_000
_MOST_LINES = 10_000_000
_MOST_STREAMS = 10_000
_MOST_POINTS = 500_000
_LATE = "context deadline exceeded"


class Window(msgspec.Struct, frozen=True):
    """Time in microseconds `[start_us, end_us)`."""

    start_us: int
    end_us: int


class Entry(msgspec.Struct, frozen=True):
    """A line as an answer shows it: its stream, and time, text and perhaps labels by kind."""

    id: str
    stream: dict[str, str]
    values: list[Any]


def by_stream(entries: Sequence[Entry]) -> list[dict[str, Any]]:
    """Entries of one stream together, streams in the order in which they come up."""
    streams: dict[metric.Key, dict[str, Any]] = {}
    for one in entries:
        key = tuple(sorted(one.stream.items()))
        streams.setdefault(key, {"stream": one.stream, "values": []})["values"].append(one.values)
    return list(streams.values())


class Answers:
    """The questions, for one request."""

    def __init__(self, room: LogRoom, categorize: bool = False) -> None:
        self._room = room
        self._categorize = categorize
        self._began = time.monotonic()
        self.warnings: list[str] = []

    def plan(self, selected: Selected | None, window: Window) -> Plan:
        """What to read."""
        return Plan(
            clause=selected or All(),
            datasets=selected.datasets() if selected else None,
            low_us=window.start_us,
            high_us=window.end_us,
            deadline=self._room.local.deadline(),
        )

    async def lines(self, log: Log, window: Window, limit: int, forward: bool) -> dict[str, Any]:
        """A log query: the newest lines, or with `forward` the oldest, by stream."""
        found = await self._first(Selected(log), window, limit, forward)
        return self._data("streams", by_stream(found), len(found))

    async def newest(self, selected: Selected, window: Window, limit: int) -> list[Entry]:
        """The newest lines, newest first."""
        return await self._first(selected, window, limit, False)

    async def newest_of(
        self, selected: Selected, window: Window, limit: int, read: Callable[[int, View], list[T]]
    ) -> list[T]:
        """What `read` makes of the newest lines, of at most `limit`."""
        plan = self.plan(selected, window)
        found: list[T] = []
        for day in self._room.local.days_within(plan):
            if len(found) >= limit:
                break
            part, _ = await self._room.store.read(day, plan, partial(read, limit - len(found)))
            found += part or []
        return found

    async def _first(self, selected: Selected, window: Window, limit: int, forward: bool) -> list[Entry]:
        plan = self.plan(selected, window)
        days = self._room.local.days_within(plan)
        found: list[Entry] = []
        for day in reversed(days) if forward else days:
            need = limit - len(found)
            if need <= 0:
                break
            part, whole = await self._room.store.read(
                day, plan, partial(self._entries, selected, need, forward)
            )
            found += part or []
            if not whole:
                self.warnings.append(f"{day} could not be read to its end")
        return found

    def _entries(self, selected: Selected, limit: int, forward: bool, view: View) -> list[Entry]:
        rows = view.oldest() if forward else view.newest()
        return [self.entry(selected, row) for row in islice(rows, limit)]

    def entry(self, selected: Selected, row: Row) -> Entry:
        """A line that the query takes."""
        extracted = selected.extracted(row) or {}
        stream = dict(stream_of(row))
        metadata = metadata_of(row, stream)
        for name, text in extracted.items():
            if not text:
                stream.pop(name, None)
                metadata.pop(name, None)
        parsed = {name: text for name, text in extracted.items() if text}
        values: list[Any] = [str(time_ns(row)), message_of(row.document)]
        if self._categorize:
            parts = {"structuredMetadata": metadata, "parsed": parsed}
            values.append({name: part for name, part in parts.items() if part})
        else:
            stream = {**metadata, **stream, **parsed}
        return Entry(row.id, stream, values)

    async def samples(self, tree: Any, start_us: int, end_us: int, step_us: int) -> dict[str, Any]:
        """A metric query at each step from `start_us` to `end_us`; `step_us` 0 is an instant query."""
        steps = [start_us] if not step_us else range(start_us, end_us + 1, step_us)
        if len(steps) > metric.MOST_STEPS:
            raise LogQLError(
                "exceeded maximum resolution of 11,000 points per time series."
                " Try increasing the value of the step parameter"
            )
        collected: dict[int, metric.Found] = {}
        for node, parent in metric.ranges_of(tree):
            collected[id(node)] = await self._collect(node, parent, start_us, end_us)
        kind, result = await asyncio.to_thread(_evaluated, tree, steps, bool(step_us), collected)
        return self._data(kind, result, 0)

    async def _collect(
        self, node: Range, parent: Aggregate | None, start_us: int, end_us: int
    ) -> metric.Found:
        before, later = round(node.range_s * 1e6), round(node.offset_s * 1e6)
        selected = Selected(node.log)
        plan = self.plan(selected, Window(start_us - later - before + 1, end_us - later + 1))
        found: metric.Found = {}
        budget = [_MOST_LINES]
        work = partial(_gather, node, parent, selected, found, budget)
        levels = selected.only_levels()
        if levels is not None and parent is not None and _told_by_heads(node, parent):
            plan = msgspec.structs.replace(plan, clause=levels)
            work = partial(_count, parent, found, budget)
        for day in self._room.local.days_within(plan):
            _, whole = await self._room.store.read(day, plan, work)
            if not whole:
                raise Problem(Kind.TIMEOUT, _LATE)
        return found

    def _data(self, kind: str, result: list[Any], lines: int) -> dict[str, Any]:
        took = time.monotonic() - self._began
        summary = {
            "bytesProcessedPerSecond": 0, "linesProcessedPerSecond": 0, "totalBytesProcessed": 0,
            "totalLinesProcessed": 0, "execTime": took, "queueTime": 0, "totalEntriesReturned": lines,
        }  # fmt: skip
        data = {"resultType": kind, "result": result, "stats": {"summary": summary}}
        if self._categorize:
            data["encodingFlags"] = ["categorize-labels"]
        answer: dict[str, Any] = {"status": "success", "data": data}
        if self.warnings:
            answer["warnings"] = self.warnings
        return answer

    async def labels(self, log: Log | None, window: Window) -> list[str]:
        """The labels of the newest lines, and those that any line has."""
        return sorted({"dataset", "level"}.union(*await self.streams(log, window)))

    async def values(self, name: str, log: Log | None, window: Window) -> list[str]:
        """The values of a label: all of `dataset` and `level`, else those of the newest lines."""
        selected = Selected(log) if log else None
        plan = self.plan(selected, window)
        found: set[str] = set()
        for day in self._room.local.days_within(plan):
            if log is None and name == "dataset":
                found |= {info.dataset for info in await self._room.catalogue.day(day) if info.docs}
            elif log is None and name in {"level", "detected_level"}:
                part, _ = await self._room.store.read(day, plan, lambda view: count_steps(view, EVER_US))
                found |= {LEVELS[level].lower() for _, level in part or {}}
            else:
                texts, _ = await self._room.store.read(day, plan, partial(_newest_values, name))
                found |= texts or set()
        return sorted(found - {""})

    async def streams(self, log: Log | None, window: Window) -> list[dict[str, str]]:
        """The label sets of the newest lines."""
        plan = self.plan(Selected(log) if log else None, window)
        found: dict[metric.Key, dict[str, str]] = {}
        for day in self._room.local.days_within(plan):
            part, _ = await self._room.store.read(day, plan, _newest_streams)
            found.update(part or {})
            if len(found) >= _MOST_STREAMS:
                break
        return [found[key] for key in sorted(found)]

    async def volume(self, log: Log, window: Window) -> dict[str, int]:
        """How much there is to read: exact for whole days of a dataset, else what those days hold."""
        selected = Selected(log)
        wanted = selected.datasets()
        infos = [
            info
            for day in self._room.local.days_within(self.plan(selected, window))
            for info in await self._room.catalogue.day(day)
            if info.docs and (wanted is None or wanted(info.dataset, info.plain, info.index))
        ]
        return {
            "streams": len({info.dataset for info in infos}),
            "chunks": len(infos),
            "bytes": sum(info.size for info in infos),
            "entries": sum(info.docs for info in infos),
        }


def _evaluated(
    tree: Any, steps: Sequence[int], ranged: bool, collected: dict[int, metric.Found]
) -> tuple[str, list[Any]]:
    import numpy as np

    found = metric.evaluate(tree, np.array(steps, dtype=np.int64), collected)
    if isinstance(found, float):
        if not ranged:
            return "scalar", [steps[0] / 1e6, metric.number_text(found)]
        found = {(): np.full(len(steps), found)}
    if len(found) * len(steps) > _MOST_POINTS:
        raise LogQLError(
            f"the answer would have more than {_MOST_POINTS} points;"
            " try increasing the value of the step parameter"
        )
    series: list[dict[str, Any]] = []
    for key, values in found.items():
        points = [
            [_instant(at), metric.number_text(float(one))]
            for at, one in zip(steps, values, strict=True)
            if not math.isnan(one)
        ]
        if points and ranged:
            series.append({"metric": dict(key), "values": points})
        elif points:
            series.append({"metric": dict(key), "value": points[0]})
    if not ranged:
        series.sort(key=lambda one: float(one["value"][1]), reverse=True)
    return "matrix" if ranged else "vector", series


def _instant(at_us: int) -> int | float:
    return at_us // 1_000_000 if at_us % 1_000_000 == 0 else at_us / 1e6


def _told_by_heads(node: Range, parent: Aggregate) -> bool:
    """Whether a sum of counts by nothing but level and dataset is asked for, as Grafana's volume bars are."""
    return (
        not parent.without
        and not node.function.startswith("bytes")
        and set(parent.names) <= {"level", "detected_level", "dataset"}
    )


def _count(parent: Aggregate, found: metric.Found, budget: list[int], view: View) -> None:
    groups: dict[tuple[int, int], metric.Samples] = {}
    for block, positions in view.heads():
        times, levels, datasets = block.times, block.levels, block.datasets
        for i in positions:
            key = (levels[i], datasets[i])
            samples = groups.get(key)
            if samples is None:
                values = {"dataset": view.dataset_of(key[1]), "level": LEVELS[key[0]].lower()}
                values["detected_level"] = values["level"]
                name = metric.group_key(parent, {}, values.__getitem__)
                samples = groups[key] = found.setdefault(name, metric.Samples())
            samples.times.append(times[i])
        _spend(budget, len(positions))


def _spend(budget: list[int], lines: int) -> None:
    budget[0] -= lines
    if budget[0] < 0:
        raise LogQLError(f"the query would read more than {_MOST_LINES} lines; ask for less time")


def _gather(
    node: Range,
    parent: Aggregate | None,
    selected: Selected,
    found: metric.Found,
    budget: list[int],
    view: View,
) -> None:
    piped = bool(node.log.stages)
    for row in view.any_order():
        extracted = (selected.extracted(row) or {}) if piped else {}
        if parent is not None and not parent.without:
            key = metric.group_key(parent, {}, partial(_read, row, extracted))
        else:
            labels = {**stream_of(row), **extracted}
            labels = {name: text for name, text in labels.items() if text}
            key = (
                metric.group_key(parent, labels, labels.__getitem__)
                if parent
                else tuple(sorted(labels.items()))
            )
        samples = found.get(key)
        if samples is None:
            if len(found) > metric.MOST_SERIES:
                raise LogQLError(metric.TOO_MANY_SERIES)
            samples = found[key] = metric.Samples()
        samples.times.append(row.time_us)
        if node.function.startswith("bytes"):
            samples.sizes.append(len(message_of(row.document).encode()))
        _spend(budget, 1)


def _read(row: Row, extracted: dict[str, str], name: str) -> str:
    found = extracted.get(name)
    return value(row, name) if found is None else found


def _newest_values(name: str, view: View) -> set[str]:
    return {value(row, name) for row in islice(view.newest(), _SAMPLE_ROWS)}


def _newest_streams(view: View) -> dict[metric.Key, dict[str, str]]:
    found: dict[metric.Key, dict[str, str]] = {}
    for row in islice(view.newest(), _SAMPLE_ROWS):
        stream = stream_of(row)
        found.setdefault(tuple(sorted(stream.items())), stream)
    return found
