"""Which datasets there are on which day, how many lines they hold and which fields they have."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from ipaddress import ip_address
from itertools import islice
from typing import Any

import msgspec

from mamimon.logs.clauses import All
from mamimon.logs.dates import parse_iso
from mamimon.logs.store.days import LogDays
from mamimon.logs.store.scan import Plan, View
from mamimon.logs.text import leaves
from mamimon.storage.days import day_start

_SAMPLE_ROWS = 500
_MOST_FIELDS = 2_000
_ADDRESS = re.compile(r"\d{1,3}(?:\.\d{1,3}){3}|[0-9a-fA-F:.]*:[0-9a-fA-F:.]+")


class IndexInfo(msgspec.Struct, frozen=True):
    """One dataset of one day, or with `days` > 1 a plain dataset over all its days."""

    index: str
    dataset: str
    plain: bool
    day: str
    docs: int
    size: int
    created: float
    deleted: int = 0


class Catalogue:
    """Answers from memory where a day has not changed since it was last looked at."""

    def __init__(self, days: LogDays) -> None:
        self._days = days
        self._known: dict[str, tuple[int, list[IndexInfo]]] = {}
        self._fields: dict[str, tuple[int, dict[str, dict[str, str]]]] = {}

    def forget(self, day: str) -> None:
        """What was deleted must be looked up anew."""
        self._known.pop(day, None)
        self._fields.pop(day, None)

    async def day(self, day: str) -> list[IndexInfo]:
        """The datasets of a day."""
        known = self._known.get(day)
        if known is not None and known[0] == self._days.last_seq.get(day):
            return known[1]
        path = self._days.path(day)
        infos, _ = await self._days.read(day, Plan(clause=All()), lambda view: _datasets(view, _bytes(path)))
        found = infos or []
        self._known[day] = (self._days.last_seq.get(day, -1), found)
        return found

    async def all(self) -> list[IndexInfo]:
        """Every index: daily ones by day, plain ones once with the sum of their days."""
        found: list[IndexInfo] = []
        plain: dict[str, IndexInfo] = {}
        for day in self._days.days():
            for info in await self.day(day):
                if not info.plain:
                    found.append(info)
                elif info.index in plain:
                    old = plain[info.index]
                    plain[info.index] = msgspec.structs.replace(
                        old,
                        docs=old.docs + info.docs,
                        size=old.size + info.size,
                        deleted=old.deleted + info.deleted,
                    )
                else:
                    plain[info.index] = info
        return sorted([*found, *plain.values()], key=lambda info: info.index)

    async def fields(self, wanted: Callable[[str, bool, str], bool] | None) -> dict[str, str]:
        """The fields of the wanted datasets with their types, seen in the newest lines of each day."""
        return await self.kinds(self._days.days()[::-1], wanted)

    async def kinds(self, days: list[str], wanted: Callable[[str, bool, str], bool] | None) -> dict[str, str]:
        """The types of the wanted datasets' fields in these days' newest lines, newest day first."""
        merged: dict[str, str] = {}
        for day in days:
            per_dataset = await self._day_fields(day)
            for info in await self.day(day):
                if wanted is None or wanted(info.dataset, info.plain, info.index):
                    for name, kind in per_dataset.get(info.index, {}).items():
                        if len(merged) < _MOST_FIELDS:
                            merged[name] = _wider(merged.get(name), kind)
        return merged

    async def day_kinds(self, day: str) -> dict[str, str]:
        """The fields of a day's newest lines with their types, all datasets together."""
        merged: dict[str, str] = {}
        for kinds in (await self._day_fields(day)).values():
            for name, kind in kinds.items():
                merged[name] = _wider(merged.get(name), kind)
        return merged

    async def _day_fields(self, day: str) -> dict[str, dict[str, str]]:
        known = self._fields.get(day)
        if known is not None and known[0] == self._days.last_seq.get(day):
            return known[1]
        answer, _ = await self._days.read(day, Plan(clause=All()), _sample)
        found = answer or {}
        self._fields[day] = (self._days.last_seq.get(day, -1), found)
        return found


def _bytes(path: Any) -> int:
    try:
        return int(path.stat().st_size)
    except OSError:
        return 0


def _datasets(view: View, size: int) -> list[IndexInfo]:
    totals = view.totals()
    counts = {number: n for number, (n, _) in totals.items()}
    first = {number: minute for number, (_, minute) in totals.items()}
    total = sum(counts.values()) or 1
    return [
        IndexInfo(
            index=view.file.index_name(one.id),
            dataset=one.name,
            plain=one.plain,
            day=view.day,
            docs=counts.get(one.id, 0),
            # A day's datasets share its file, so each is given its part by lines.
            size=size * counts.get(one.id, 0) // total,
            created=first.get(one.id, int(day_start(view.day)) // 60) * 60.0,
        )
        for one in view.file.datasets.values()
        if one.id in view.wanted
    ]


def _sample(view: View) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for one in view.file.datasets.values():
        if one.id not in view.wanted:
            continue
        name = view.file.index_name(one.id)
        part = View(view.raw, view.file, Plan(clause=All(), datasets=partial(_is_index, name)))
        fields = found.setdefault(name, {})
        for row in islice(part.newest(), _SAMPLE_ROWS):
            for path, value in leaves(row.document):
                if path in fields or len(fields) < _MOST_FIELDS:
                    fields[path] = _wider(fields.get(path), kind_of(value))
    return found


def _is_index(wanted: str, dataset: str, plain: bool, index: str) -> bool:
    return index == wanted


def kind_of(value: Any) -> str:
    """The type of a value: what Elasticsearch's dynamic mapping says, and addresses as such."""
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "long"
    if isinstance(value, float):
        return "float"
    if not isinstance(value, str):
        return "text"
    if len(value) >= 10 and value[4:5] in "-/" and parse_iso(value) is not None:
        return "date"
    return "ip" if _ADDRESS.fullmatch(value) and _is_address(value) else "text"


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _wider(old: str | None, new: str) -> str:
    if old is None or old == new:
        return new
    return "float" if {old, new} == {"long", "float"} else "text"
