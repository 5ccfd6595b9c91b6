"""What recent lines have: fields and values for completion, and counts beside a search.

Nothing here reads more than a bounded number of the newest lines, so a page costs the same over
ten lines and over ten million; whoever shows the answer says of how many lines it speaks.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

import msgspec

from mamimon.logs.lucene import Style, parse
from mamimon.logs.model import LEVELS, pattern_id
from mamimon.logs.query import LogQuery
from mamimon.logs.store.summary import fields_of, label_field
from mamimon.logs.text import fold, lookup, shown

if TYPE_CHECKING:
    from mamimon.logs.room import LogRoom

_DAYS = 2
_OFFERED = 20
_VALUE_ROWS = 500
_FACET_ROWS = 2_000
_LONGEST_VALUE = 120
_FIELD = re.compile(r"[\w.@-]{1,200}")
_BESIDES = ("_exists_", "dataset", "level", "pattern")


class Offer(msgspec.Struct, frozen=True):
    """One completion: what to put in, and what to say beside it."""

    text: str
    note: str = ""


class Counted(msgspec.Struct):
    """Values of fields with their counts in the `rows` newest lines; `whole` if that was all of them.

    Those in `exact` were counted in all lines, however many there are.
    """

    values: dict[str, list[tuple[str, int]]]
    rows: int
    whole: bool
    exact: list[str] = []
    partial: bool = False
    """Whether time ran out before all of it was read."""


async def field_names(room: LogRoom, prefix: str = "", most: int = _OFFERED) -> list[Offer]:
    """Fields of the newest days' lines that begin with `prefix`, then those that hold it."""
    kinds: dict[str, str] = dict.fromkeys(_BESIDES, "")
    for day in room.days()[-_DAYS:]:
        kinds |= await room.catalogue.day_kinds(day)
    wanted = fold(prefix)
    names = sorted(kinds, key=lambda name: (not fold(name).startswith(wanted), name))
    return [Offer(name, kinds[name]) for name in names if wanted in fold(name)][:most]


async def values(room: LogRoom, query: LogQuery, field: str, prefix: str) -> list[Offer]:
    """The commonest values of a field in the newest lines that have one beginning with `prefix`."""
    if field == "level":
        return [Offer(name) for name in LEVELS if name and name.startswith(prefix.upper())]
    if field == "_exists_":
        return await field_names(room, prefix)
    if field == "pattern":
        known = sorted(room.patterns.miner.known().values(), key=lambda one: -one.last_seen)
        wanted = fold(prefix)
        return [
            Offer(one.id, one.template[:_LONGEST_VALUE])
            for one in known
            if one.id.startswith(wanted) or wanted in fold(one.template)
        ][:_OFFERED]
    if not _FIELD.fullmatch(field):
        return []
    word = "".join(c if c.isalnum() or c in "_" else "\\" + c for c in prefix)
    text = f"{field}:{word}*" if prefix else f"_exists_:{field}"
    page = await room.backend.search(msgspec.structs.replace(query, text=text, size=_VALUE_ROWS))
    counts: Counter[str] = Counter()
    for hit in page.hits:
        found = [hit.dataset] if field == "dataset" else lookup(hit.document(), field)
        counts.update(text for value in found if fold(text := shown(value)).startswith(fold(prefix)))
    return [
        Offer(value, f"{n}×")
        for value, n in counts.most_common(_OFFERED)
        if len(value) <= _LONGEST_VALUE and "\n" not in value
    ]


async def counts(room: LogRoom, query: LogQuery, fields: list[str], size: int) -> Counted:
    """Counts by field of the newest 2,000 matching lines; of every line where the roll-ups know."""
    page = await room.backend.search(msgspec.structs.replace(query, size=_FACET_ROWS))
    counters: dict[str, Counter[str]] = {field: Counter() for field in fields}
    for hit in page.hits:
        document = hit.document()
        for field, counter in counters.items():
            if field == "level":
                found = [hit.level]
            elif field == "dataset":
                found = [hit.dataset]
            elif field == "logger":
                found = [hit.logger]
            elif field == "pattern":
                found = [pattern_id(hit.pattern)] if hit.pattern else []
            else:
                found = [shown(value) for value in lookup(document, field)]
            counter.update(value for value in found if value)
    whole = not page.more and not page.partial
    result = {field: counter.most_common(size) for field, counter in counters.items()}
    exact: list[str] = []
    late = page.partial
    if not whole and fields_of(parse(query.text, Style())) is not None:
        # The store keeps counts of these by minute, so all lines cost no more than some.
        exact = [field for field in fields if label_field(field) is not None]
        known = await room.local.facets(query, exact, size)
        result |= known.values
        late |= known.partial
    return Counted(result, len(page.hits), whole, exact, late)
