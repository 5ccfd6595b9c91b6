"""`index/volume` and `index/volume_range`: bytes of lines by label, as Grafana's Logs Drilldown asks first.

By dataset, level and service lines come from the store's roll-ups, and a line has the mean size of
some of its day's; by other labels, or behind a pipeline, each line is read.
"""

from __future__ import annotations

from collections import Counter
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

import msgspec

from mamimon.logs.clauses import All, Row
from mamimon.logs.store.scan import Plan, View
from mamimon.logs.store.summary import tallies
from mamimon.logs.store.tally import Grain
from mamimon.logs.wire.loki.metric import MOST_SERIES, MOST_STEPS, TOO_MANY_SERIES, Key
from mamimon.logs.wire.loki.rows import Selected, stream_of, value
from mamimon.logs.wire.loki.syntax import Log, LogQLError
from mamimon.problems import Kind, Problem

if TYPE_CHECKING:
    from mamimon.logs.room import LogRoom

_ROLLED_UP = frozenset({"dataset", "level", "detected_level", "service_name"})
_SAMPLE_BLOCKS = 4
_MOST_LINES = 10_000_000


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A question: lines of `[start_us, end_us)`, added up by steps (0: one for all) and by labels."""

    log: Log
    start_us: int
    end_us: int
    step_us: int = 0
    labels: tuple[str, ...] = ()
    """The labels to tell apart; none are those that the query names."""
    by_name: bool = False
    """Whether it is told which labels there are, not which values."""
    limit: int = 100


class _Sum(msgspec.Struct):
    counts: Counter[tuple[Key, int]]
    lines: int = 0


async def volume(room: LogRoom, asked: Asked) -> dict[str, Any]:
    """The answer of either path."""
    if asked.step_us and (asked.end_us - asked.start_us) // asked.step_us > MOST_STEPS:
        raise LogQLError(
            "exceeded maximum resolution of 11,000 points per time series."
            " Try increasing the value of the step parameter"
        )
    selected = Selected(asked.log)
    plan = Plan(
        clause=selected, datasets=selected.datasets(), low_us=asked.start_us, high_us=asked.end_us,
        deadline=room.local.deadline(),
    )  # fmt: skip
    total = _Sum(Counter())
    for day in room.local.days_within(plan):
        _, whole = await room.store.read(day, plan, partial(_add, asked, selected, total))
        if not whole and day not in room.store.damaged:
            raise Problem(Kind.TIMEOUT, "context deadline exceeded")
    return _written(asked, total.counts)


def _names(asked: Asked) -> tuple[str, ...]:
    return asked.labels or tuple(dict.fromkeys(one.name for one in asked.log.matchers))


def _add(asked: Asked, selected: Selected, total: _Sum, view: View) -> None:
    names = _names(asked)
    used = {*names, *(one.name for one in asked.log.matchers)}
    if used <= _ROLLED_UP and not asked.log.stages:
        plain = msgspec.structs.replace(view.plan, clause=All())
        everything = View(view.raw, view.file, plain, view)
        fields = frozenset({"service"} if "service_name" in used else ())
        rows = tallies(everything, Grain(asked.step_us, fields, levels=True))
        if rows is not None:
            mean = _mean_bytes(everything)
            for row in rows:
                if selected.match(row):
                    _count(asked, names, total, row, round(row.weight * mean))
            return
    for row in view.any_order():
        total.lines += 1
        if total.lines > _MOST_LINES:
            raise LogQLError(f"the query would read more than {_MOST_LINES} lines; ask for less time")
        _count(asked, names, total, row, len(row.raw))


def _mean_bytes(view: View) -> float:
    """The mean size of a line, of some blocks of the day."""
    size = lines = 0
    for block, positions in islice(view.heads(), _SAMPLE_BLOCKS):
        size += sum(block.lengths[i] for i in positions)
        lines += len(positions)
    return size / lines if lines else 0.0


def _count(asked: Asked, names: tuple[str, ...], total: _Sum, row: Row, size: int) -> None:
    step = (row.time_us - asked.start_us) // asked.step_us if asked.step_us else 0
    found = [(name, text) for name in names if (text := value(row, name))]
    if asked.by_name:
        for name in sorted(stream_of(row)) if not names else [name for name, _ in found]:
            total.counts[((name, ""),), step] += size
        return
    total.counts[tuple(sorted(found)), step] += size
    if len(total.counts) > MOST_SERIES * MOST_STEPS:
        raise LogQLError(TOO_MANY_SERIES)


def _written(asked: Asked, counts: Counter[tuple[Key, int]]) -> dict[str, Any]:
    series: dict[Key, dict[int, int]] = {}
    for (key, step), size in counts.items():
        series.setdefault(key, {})[step] = size
    biggest = sorted(series.items(), key=lambda one: (-sum(one[1].values()), one[0]))[: asked.limit]
    result: list[dict[str, Any]] = []
    for key, sizes in biggest:
        if asked.step_us:
            points = [
                [(asked.start_us + step * asked.step_us) / 1e6, str(sizes[step])] for step in sorted(sizes)
            ]
            result.append({"metric": dict(key), "values": points})
        else:
            result.append({"metric": dict(key), "value": [asked.end_us / 1e6, str(sizes[0])]})
    kind = "matrix" if asked.step_us else "vector"
    return {"status": "success", "data": {"resultType": kind, "result": result}}
