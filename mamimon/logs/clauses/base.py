"""What a query asks of a line: a tree of clauses, whatever language it was written in.

A clause answers three questions. `index()` gives an FTS5 expression that every block with a match
fulfils (None: any block may). `needles()` gives needles of which a matching line holds at
least one (None: not known). `match(row)` is the exact answer for one line.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from mamimon.logs.clauses.needles import Needle, weight
from mamimon.logs.clauses.patterns import glob, join
from mamimon.logs.clauses.sure import Sure, SureAll, SureNot
from mamimon.logs.model import LEVELS, pattern_id, read_document
from mamimon.logs.text import leaves, lookup, shown

ANY_TIME = (-(1 << 62), 1 << 62)
ALL_LEVELS = (1 << len(LEVELS)) - 1
_NEEDLES = 32


class Source(Protocol):
    """The day that a line was read from: what its numbers stand for."""

    def id_of(self, seq: int) -> str:
        """The document id of a row."""
        ...

    def dataset_of(self, number: int) -> str:
        """The dataset's name."""
        ...

    def index_of(self, number: int) -> str:
        """The index that shows rows of the dataset."""
        ...


class Row:
    """One stored line while it is being looked at; the document is decoded when first asked for."""

    __slots__ = ("_document", "_id", "dataset", "level", "pattern", "raw", "seq", "source", "time_us")
    weight = 1
    """How many lines the row stands for; more than one only in a `Tally`."""

    def __init__(
        self, seq: int, time_us: int, level: int, dataset: int, raw: bytes, source: Source, pattern: int = 0
    ) -> None:
        self.seq = seq
        self.time_us = time_us
        self.level = level
        self.dataset = dataset
        self.raw = raw
        self.source = source
        self.pattern = pattern
        self._document: dict[str, Any] | None = None
        self._id: str | None = None

    @property
    def document(self) -> dict[str, Any]:
        """The decoded document."""
        if self._document is None:
            self._document = read_document(self.raw)
        return self._document

    @property
    def id(self) -> str:
        """The document id."""
        if self._id is None:
            self._id = self.source.id_of(self.seq)
        return self._id

    @property
    def index(self) -> str:
        """The index that shows the line."""
        return self.source.index_of(self.dataset)

    def keep(self) -> None:
        """Look up now what needs the day's file, which is closed when the row is written out."""
        self._id = self.id

    def values(self, field: str) -> list[Any]:
        """The scalars of a field, those that mamimon itself adds included."""
        if field == "@timestamp":
            return [self.time_us // 1000]
        found = lookup(self.document, field)
        if field == "level":
            name = LEVELS[self.level]
            if name and not any(shown(value).upper() == name for value in found):
                return [*found, name]
        elif not found:
            if field == "_index":
                return [self.source.index_of(self.dataset)]
            if field == "_id":
                return [self.id]
            if field == "dataset":
                return [self.source.dataset_of(self.dataset)]
            if field == "pattern" and self.pattern:
                return [pattern_id(self.pattern)]
            if field.endswith(".keyword"):
                return self.values(field.removesuffix(".keyword"))
        return found

    def matching(self, field: str) -> Iterator[Any]:
        """The scalars that a clause on `field` looks at; empty or `*` is every field."""
        if not field or field == "*":
            for _, value in leaves(self.document):
                yield value
        elif "*" in field:
            pattern = glob(field, fold_case=False)
            for path, value in leaves(self.document):
                if pattern.fullmatch(path):
                    yield value
        else:
            yield from self.values(field)


class Clause(Protocol):
    """See the module."""

    def match(self, row: Row) -> bool:
        """Whether the line is what is asked for."""
        ...

    def index(self) -> str | None:
        """An FTS5 expression true of every block that has a match, or None."""
        ...

    def needles(self) -> tuple[Needle, ...] | None:
        """Needles of which each matching line holds at least one, or None."""
        ...

    def sure(self) -> Sure | None:
        """What tells by a line's bytes, within `bounds`, whether it matches; or None."""
        ...

    def bounds(self) -> tuple[int, int]:
        """Microseconds between which every match is, both included."""
        ...

    def levels(self) -> int:
        """Bits of the levels that a match may have."""
        ...


class Plain:
    """What a clause says when it knows nothing: any block, any line, any time, any level."""

    def index(self) -> str | None:
        """See `Clause.index`."""
        return None

    def needles(self) -> tuple[Needle, ...] | None:
        """See `Clause.needles`."""
        return None

    def sure(self) -> Sure | None:
        """See `Clause.sure`."""
        return None

    def bounds(self) -> tuple[int, int]:
        """See `Clause.bounds`."""
        return ANY_TIME

    def levels(self) -> int:
        """See `Clause.levels`."""
        return ALL_LEVELS


class All(Plain):
    """Every line."""

    def match(self, row: Row) -> bool:
        """See `Clause.match`."""
        return True


class Nothing(Plain):
    """No line."""

    def match(self, row: Row) -> bool:
        """See `Clause.match`."""
        return False

    def bounds(self) -> tuple[int, int]:
        """See `Clause.bounds`."""
        return 1, 0


class And:
    """All of the clauses."""

    def __init__(self, clauses: Sequence[Clause]) -> None:
        self.clauses = clauses

    def match(self, row: Row) -> bool:
        """See `Clause.match`."""
        return all(clause.match(row) for clause in self.clauses)

    def index(self) -> str | None:
        """See `Clause.index`."""
        return join(" AND ", [part for part in (c.index() for c in self.clauses) if part])

    def needles(self) -> tuple[Needle, ...] | None:
        """See `Clause.needles`."""
        known = [found for found in (c.needles() for c in self.clauses) if found is not None]
        return min(known, key=lambda one: (len(one), -min(map(weight, one), default=0))) if known else None

    def sure(self) -> Sure | None:
        """See `Clause.sure`."""
        asked = [clause for clause in self.clauses if not getattr(clause, "only_bounds", False)]
        known = [part for part in (clause.sure() for clause in asked) if part is not None]
        if len(known) == len(asked) == 1:
            return known[0]
        return SureAll(known, len(known) == len(asked)) if known else None

    def bounds(self) -> tuple[int, int]:
        """See `Clause.bounds`."""
        pairs = [c.bounds() for c in self.clauses]
        return max((low for low, _ in pairs), default=ANY_TIME[0]), min(
            (high for _, high in pairs), default=ANY_TIME[1]
        )

    def levels(self) -> int:
        """See `Clause.levels`."""
        mask = ALL_LEVELS
        for clause in self.clauses:
            mask &= clause.levels()
        return mask


class Or:
    """At least `minimum` of the clauses."""

    def __init__(self, clauses: Sequence[Clause], minimum: int = 1) -> None:
        self.clauses = clauses
        self.minimum = minimum

    def match(self, row: Row) -> bool:
        """See `Clause.match`."""
        if self.minimum == 1:
            return any(clause.match(row) for clause in self.clauses)
        return sum(clause.match(row) for clause in self.clauses) >= self.minimum

    def index(self) -> str | None:
        """See `Clause.index`."""
        if self.minimum < 1:
            return None
        parts = [clause.index() for clause in self.clauses]
        return None if None in parts else join(" OR ", [part for part in parts if part])

    def needles(self) -> tuple[Needle, ...] | None:
        """See `Clause.needles`."""
        if self.minimum < 1:
            return None
        known: list[Needle] = []
        for clause in self.clauses:
            part = clause.needles()
            if part is None or len(known) + len(part) > _NEEDLES:
                return None
            known += part
        return tuple(dict.fromkeys(known))

    def sure(self) -> Sure | None:
        """See `Clause.sure`."""
        if self.minimum != 1 or bounded(self):
            return None
        parts = [clause.sure() for clause in self.clauses]
        known = [SureNot(part) for part in parts if part is not None]
        # One of them is what not all are not.
        return SureNot(SureAll(known, len(known) == len(parts))) if known else None

    def bounds(self) -> tuple[int, int]:
        """See `Clause.bounds`."""
        if self.minimum < 1 or not self.clauses:
            return ANY_TIME
        pairs = [clause.bounds() for clause in self.clauses]
        return min(low for low, _ in pairs), max(high for _, high in pairs)

    def levels(self) -> int:
        """See `Clause.levels`."""
        if self.minimum < 1:
            return ALL_LEVELS
        mask = 0
        for clause in self.clauses:
            mask |= clause.levels()
        return mask


class Not(Plain):
    """Not the clause."""

    def __init__(self, clause: Clause) -> None:
        self.clause = clause

    def match(self, row: Row) -> bool:
        """See `Clause.match`."""
        return not self.clause.match(row)

    def sure(self) -> Sure | None:
        """See `Clause.sure`."""
        part = None if bounded(self) else self.clause.sure()
        return None if part is None else SureNot(part)


def bounded(clause: Clause) -> bool:
    """Whether a clause has bounds of time in it, which `Clause.sure` leaves to who reads the line."""
    inner = [clause.clause] if isinstance(clause, Not) else getattr(clause, "clauses", ())
    return bool(getattr(clause, "only_bounds", False)) or any(map(bounded, inner))
