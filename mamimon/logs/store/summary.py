"""Counts from the roll-ups, as rows that stand for many lines, where a query asks no more than they know.

The ragged ends of a time range,
smaller than a roll-up's slot, are read line by line.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import msgspec

from mamimon.logs.clauses import All, And, Clause, Exact, Not, Nothing, Or, Pattern, Range, Row, Words
from mamimon.logs.store import grouped, labels
from mamimon.logs.store.scan import View
from mamimon.logs.store.tally import EVER_US, Grain, Tally

_MINUTE_US = 60_000_000
_LABELLED = frozenset(labels.FIELDS)


def label_field(field: str) -> frozenset[str] | None:
    """The field of a label that a query's field names; None for another."""
    name = field.removesuffix(".keyword")
    return frozenset((name,)) if name in labels.FIELDS else None


def grouping(field: str) -> frozenset[str] | None:
    """The field by which lines may stand together if a query names this; None if each must be seen."""
    name = field.removesuffix(".keyword")
    apart = not name or name in {"@timestamp", "_id"} or "*" in name or name.endswith(".keyword")
    return None if apart else frozenset((name,))


def asked_fields(clause: Clause, *, top: bool = True) -> frozenset[str] | None:
    """The fields that decide a clause (beside the plan's time); None where it is not some fields alone."""
    if isinstance(clause, (All, Nothing)):
        return frozenset()
    if isinstance(clause, Range) and clause.only_bounds:
        return frozenset() if top else None
    if isinstance(clause, (Words, Exact, Pattern, Range)):
        return grouping(clause.field)
    if isinstance(clause, Not):
        return asked_fields(clause.clause, top=False)
    if not isinstance(clause, (And, Or)):
        return None
    found: frozenset[str] = frozenset()
    for part in clause.clauses:
        asked = asked_fields(part, top=top and isinstance(clause, And))
        if asked is None:
            return None
        found |= asked
    return found


def fields_of(clause: Clause, *, top: bool = True) -> frozenset[str] | None:
    """The label fields that decide a clause (beside the plan's time); None where those do not."""
    found = asked_fields(clause, top=top)
    return found if found is not None and found <= _LABELLED else None


def tallies(view: View, grain: Grain) -> Iterator[Row] | None:
    """Matching lines as rows with weights, in no order; None where lines must be read."""
    asked = fields_of(view.plan.clause)
    if asked is None or not grain.fields <= _LABELLED:
        return None
    return _tallies(view, grain, asked | grain.fields, hours=labels.has_hours(view.raw))


def counted(view: View, grain: Grain) -> Iterator[Row]:
    """`tallies`, or where those do not know enough, lines counted by columns and read one by one."""
    rows = tallies(view, grain)
    return grouped.counted(view, grain) if rows is None else rows


def _tallies(view: View, grain: Grain, fields: frozenset[str], *, hours: bool) -> Iterator[Row] | None:
    known: tuple[int, list[Row]] | None = None
    if hours and grain.step_us % labels.HOUR_US == 0:
        known = _labelled(view, grain, fields, labels.HOUR_US)
    if known is None and fields <= {"level"} and grain.step_us % _MINUTE_US == 0:
        known = _minutes(view, grain.step_us, bool(fields), grain.levels or bool(fields))
    if known is None and grain.step_us % labels.SLOT_US == 0:
        known = _labelled(view, grain, fields, labels.SLOT_US)
    return None if known is None else _rows(view, grain, fields, *known)


def _rows(view: View, grain: Grain, fields: frozenset[str], slot_us: int, whole: list[Row]) -> Iterator[Row]:
    match = view.plan.clause.match
    yield from whole if _only_bounds(view.plan.clause) else (row for row in whole if match(row))
    low, high = view.plan.window()
    first, last = _slots(view, slot_us)
    ends = [(low, high)] if first >= last else [(low, first * slot_us - 1), (last * slot_us, high)]
    for from_us, to_us in ends:
        if from_us <= to_us:
            plan = msgspec.structs.replace(view.plan, low_us=from_us, high_us=to_us + 1)
            part = View(view.raw, view.file, plan, view)
            # What is shorter than an hour is added up by the next smaller slots.
            finer = _tallies(part, grain, fields, hours=False) if slot_us == labels.HOUR_US else None
            if finer is not None:
                yield from finer
            else:
                yield from part.any_order() if fields else _heads(part)


def _only_bounds(clause: Clause) -> bool:
    """Whether a line in the clause's time is always a match."""
    if isinstance(clause, And):
        return all(map(_only_bounds, clause.clauses))
    return isinstance(clause, All) or getattr(clause, "only_bounds", False)


def _heads(part: View) -> Iterator[Row]:
    for block, positions in part.heads():
        for i in positions:
            yield Tally(block.times[i], block.levels[i], block.datasets[i], b"{}", part, 1)


def _slots(view: View, slot_us: int) -> tuple[int, int]:
    """The slots that lie wholly in the asked time, as `[first, last)`."""
    low, high = view.plan.window()
    return -(-low // slot_us), (high + 1) // slot_us


def _minutes(view: View, step_us: int, spelled: bool, levels: bool) -> tuple[int, list[Row]] | None:
    spellings = _spellings(view) if spelled else {}
    if spellings is None:
        return None
    first, last = _slots(view, _MINUTE_US)
    rows: list[Row] = []
    for minute, dataset, level, n in view.raw.execute(
        "SELECT min(minute), dataset, level * ?4 AS one, sum(n) FROM rollup"
        " WHERE minute >= ?1 AND minute < ?2 GROUP BY minute * 60000000 / ?3, dataset, one",
        (first, last, step_us or EVER_US, int(levels)),
    ):
        if n and dataset in view.wanted:
            document = spellings.get((dataset, level), b"{}")
            rows.append(Tally(minute * _MINUTE_US, level, dataset, document, view, n))
    return _MINUTE_US, rows


def _spellings(view: View) -> dict[tuple[int, int], bytes] | None:
    """How the day's lines of a dataset and level write it; None where they do not agree."""
    found: dict[tuple[int, int], bytes] = {}
    documents = dict(view.raw.execute("SELECT id, document FROM label").fetchall())
    for dataset, level, number in labels.used(view.raw):
        if dataset in view.wanted:
            if number == labels.OTHER:
                return None
            name = labels.read_label(documents[number])[0]
            document = labels.document_of((name, None, None))
            if found.setdefault((dataset, level), document) != document:
                return None
    return found


def _labelled(view: View, grain: Grain, fields: frozenset[str], slot_us: int) -> tuple[int, list[Row]] | None:
    first, last = _slots(view, slot_us)
    shown = _projected(view, fields)
    step_us = grain.step_us or EVER_US
    firsts: dict[int, int] = {}
    counts: Counter[tuple[int, int, int, bytes]] = Counter()
    found = labels.sums(
        view.raw, slot_us, first, last, step_us,
        levels=grain.levels or bool(fields), labels=bool(fields),
    )  # fmt: skip
    for slot, dataset, level, number, n in found:
        if n and dataset in view.wanted:
            if number == labels.OTHER:
                return None
            step = firsts.setdefault(slot * slot_us // step_us, slot)
            counts[step, level, dataset, shown.get(number, b"{}")] += n
    rows = [Tally(key[0] * slot_us, *key[1:], view, n) for key, n in counts.items()]
    return slot_us, list[Row](rows)


def _projected(view: View, fields: frozenset[str]) -> dict[int, bytes]:
    """The day's labels by number, as documents with nothing but the fields that are asked for."""
    found: dict[int, bytes] = {}
    if fields:
        for number, document in view.raw.execute("SELECT id, document FROM label"):
            label = labels.read_label(document)
            kept = (v if name in fields else None for name, v in zip(labels.FIELDS, label, strict=True))
            found[number] = labels.document_of(tuple(kept))
    return found
