"""What a query asks of a line: a tree of clauses, whatever language it was written in.

A clause answers three questions. `index()` gives an FTS5 expression that every block with a match
fulfils (None: any block may). `needles()` gives ASCII bytes of which a matching line holds at
least one, after lowering (None: not known). `match(row)` is the exact answer for one line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from mamimon.logs.model import LEVELS, level_number, read_document
from mamimon.logs.text import fold, leaves, lookup, number_of, shown, tokens

ANY_TIME = (-(1 << 62), 1 << 62)
ALL_LEVELS = (1 << len(LEVELS)) - 1
_NEEDLES = 32
_NUMBER = re.compile(r"-?(0|[1-9][0-9]{0,300})(\.[0-9]{1,300})?")


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

    __slots__ = ("_document", "_id", "dataset", "level", "raw", "seq", "source", "time_us")

    def __init__(self, seq: int, time_us: int, level: int, dataset: int, raw: bytes, source: Source) -> None:
        self.seq = seq
        self.time_us = time_us
        self.level = level
        self.dataset = dataset
        self.raw = raw
        self.source = source
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

    def needles(self) -> tuple[bytes, ...] | None:
        """Lowered ASCII bytes of which each matching line holds at least one, or None."""
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

    def needles(self) -> tuple[bytes, ...] | None:
        """See `Clause.needles`."""
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
        return _join(" AND ", [part for part in (c.index() for c in self.clauses) if part])

    def needles(self) -> tuple[bytes, ...] | None:
        """See `Clause.needles`."""
        known = [found for found in (c.needles() for c in self.clauses) if found is not None]
        return min(known, key=lambda one: (len(one), -min(map(len, one), default=0))) if known else None

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
        return None if None in parts else _join(" OR ", [part for part in parts if part])

    def needles(self) -> tuple[bytes, ...] | None:
        """See `Clause.needles`."""
        if self.minimum < 1:
            return None
        known: list[bytes] = []
        for clause in self.clauses:
            part = clause.needles()
            if part is None or len(known) + len(part) > _NEEDLES:
                return None
            known += part
        return tuple(dict.fromkeys(known))

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


class Words(Plain):
    """Text of a field: its tokens hold the wanted ones as a phrase (gaps up to `slop`).

    Numbers and booleans match what they are written as, and numbers of the same value. With
    `prefix` the last token may go on.
    """

    def __init__(self, field: str, text: str, *, slop: int = 0, prefix: bool = False) -> None:
        self.field = field
        self.words = tokens(text)
        self.text = fold(text).strip()
        self.slop = slop
        self.prefix = prefix
        self.number = plain_number(self.text)
        self.level = level_number(text) if field == "level" and not prefix else 0
        body = r"\W+".join(map(re.escape, self.words))
        self._pattern = re.compile(rf"(?<!\w){body}" + ("" if prefix else r"(?!\w)"))
        self._first = self.words[0] if self.words else ""

    def match(self, row: Row) -> bool:
        """See `Clause.match`."""
        if self.level and row.level == self.level:
            return True
        if not self.words:
            return False
        return any(self._value(value) for value in row.matching(self.field))

    def _value(self, value: Any) -> bool:
        if isinstance(value, str):
            text = fold(value)
            if self._first not in text:
                return False
            return self._near(text) if self.slop else self._pattern.search(text) is not None
        if isinstance(value, bool):
            return self.text == shown(value)
        return self.number is not None and self.number == value

    def _near(self, text: str) -> bool:
        wanted = self.words
        if len(wanted) == 1:
            return self._pattern.search(text) is not None
        have = tokens(text)
        places = [[i for i, token in enumerate(have) if token == word] for word in wanted]
        if not all(places):
            return False
        # Lucene's slop counts how far words must move to stand as the phrase does.
        return _within(places, self.slop)

    def index(self) -> str | None:
        """See `Clause.index`."""
        if not self.words:
            return None
        if self.number is not None and 0 < abs(self.number) < 1e-4:
            return None
        words = self.words[:1] if self.number is not None else self.words
        parts = [f'"{word}"' for word in words]
        if self.prefix:
            parts[-1] += " *"
        found = _join(" AND ", list(dict.fromkeys(parts)))
        # A level is also found by its stored number, whatever the line calls it.
        return None if self.level else found

    def needles(self) -> tuple[bytes, ...] | None:
        """See `Clause.needles`."""
        if self.level or not self.words:
            return None
        if self.number is not None:
            return None if 0 < abs(self.number) < 1e-4 else (self.words[0].encode(),)
        ascii_words = [word for word in self.words if word.isascii()]
        return (max(ascii_words, key=len).encode(),) if ascii_words else None

    def levels(self) -> int:
        """See `Clause.levels`."""
        # Bit 0: lines whose level we do not know may still call it so.
        return (1 << self.level) | 1 if self.level else ALL_LEVELS


class Exact(Plain):
    """A field's whole value, or one token of its text (Elasticsearch's `term` on keyword or text)."""

    def __init__(self, field: str, value: Any, *, fold_case: bool = False) -> None:
        self.only_whole = field.endswith(".keyword")
        self.field = field.removesuffix(".keyword")
        self.value = value
        self.text = shown(value)
        self.fold_case = fold_case
        self.number = plain_number(self.text)
        self._words = Words(self.field, self.text)
        self._one = len(self._words.words) == 1 and (fold_case or self.text == fold(self.text))

    def match(self, row: Row) -> bool:
        """See `Clause.match`."""
        for value in row.matching(self.field):
            if isinstance(value, str):
                if value == self.text or (self.fold_case and fold(value) == fold(self.text)):
                    return True
                if self._one and not self.only_whole and self._words._value(value):
                    return True
            elif isinstance(value, bool):
                if shown(value) == self.text:
                    return True
            elif self.number is not None and self.number == value:
                return True
        return False

    def index(self) -> str | None:
        """See `Clause.index`."""
        return None if self.field in {"level", *_OWN} else self._words.index()

    def needles(self) -> tuple[bytes, ...] | None:
        """See `Clause.needles`."""
        return None if self.field in {"level", *_OWN} else self._words.needles()

    def levels(self) -> int:
        """See `Clause.levels`."""
        number = level_number(self.value) if self.field == "level" else 0
        return (1 << number) | 1 if number else ALL_LEVELS


_OWN = ("@timestamp", "_index", "_id", "dataset")


class Pattern(Plain):
    """A wildcard or regular expression over a field's tokens or its whole value."""

    def __init__(self, field: str, pattern: Any, *, starts: str = "", fold_case: bool = True) -> None:
        self.field = field.removesuffix(".keyword")
        self.pattern = pattern
        self.starts = starts
        self.fold_case = fold_case

    def match(self, row: Row) -> bool:
        """See `Clause.match`."""
        for value in row.matching(self.field):
            text = shown(value)
            if self.pattern.fullmatch(fold(text) if self.fold_case else text):
                return True
            if isinstance(value, str) and any(self.pattern.fullmatch(word) for word in tokens(text)):
                return True
        return False

    def index(self) -> str | None:
        """See `Clause.index`."""
        words = tokens(self.starts)
        if not words or self.field in {"level", *_OWN}:
            return None
        parts = [f'"{word}"' for word in words]
        if self.starts[-1:].isalnum() or self.starts.endswith("_"):
            parts[-1] += " *"
        return _join(" AND ", parts)


class Range(Plain):
    """A field between two ends; `low` and `high` are tests of one value."""

    def __init__(self, field: str, low: Bound | None, high: Bound | None) -> None:
        self.field = field.removesuffix(".keyword")
        self.low = low
        self.high = high

    def match(self, row: Row) -> bool:
        """See `Clause.match`."""
        if self.field == "@timestamp":
            low, high = self.bounds()
            return low <= row.time_us <= high
        return any(
            (self.low is None or self.low.above(value)) and (self.high is None or self.high.below(value))
            for value in row.matching(self.field)
        )

    def bounds(self) -> tuple[int, int]:
        """See `Clause.bounds`."""
        if self.field != "@timestamp":
            return ANY_TIME
        low, high = ANY_TIME
        if self.low is not None and self.low.seconds is not None:
            low = round(self.low.seconds * 1_000_000)
            # A date has milliseconds in Elasticsearch: "after .123" leaves .123456 out too.
            low = low if self.low.included else (low // 1000 + 1) * 1000
        if self.high is not None and self.high.seconds is not None:
            high = round(self.high.seconds * 1_000_000)
            high = high + 999 if self.high.included else high - 1
        return low, high


class Bound:
    """One end of a range: compares with numbers as a number, with dates as a date, else as text."""

    def __init__(self, text: str, included: bool, seconds: float | None) -> None:
        self.text = text
        self.included = included
        self.seconds = seconds
        self.number = number_of(text)

    def _sign(self, value: Any) -> int | None:
        """Below zero where `value` is before this end, above where after; None where not comparable."""
        if isinstance(value, bool):
            return None
        if isinstance(value, (int, float)):
            end = self.number
            if end is None:
                if self.seconds is None:
                    return None
                end = self.seconds * 1000.0
            return (value > end) - (value < end)
        return self._text_sign(str(value))

    def _text_sign(self, text: str) -> int:
        if self.number is not None:
            number = number_of(text)
            if number is not None:
                return (number > self.number) - (number < self.number)
        elif self.seconds is not None:
            from mamimon.logs.dates import parse_iso

            seconds = parse_iso(text)
            if seconds is not None:
                return (seconds > self.seconds) - (seconds < self.seconds)
        return (text > self.text) - (text < self.text)

    def above(self, value: Any) -> bool:
        """Whether `value` lies above this lower end."""
        sign = self._sign(value)
        return sign is not None and (sign > 0 or (sign == 0 and self.included))

    def below(self, value: Any) -> bool:
        """Whether `value` lies below this upper end."""
        sign = self._sign(value)
        return sign is not None and (sign < 0 or (sign == 0 and self.included))


class Exists(Plain):
    """The field has a value."""

    def __init__(self, field: str) -> None:
        self.field = field.removesuffix(".keyword")

    def match(self, row: Row) -> bool:
        """See `Clause.match`."""
        if self.field in {"*", "_index", "_id", "@timestamp"}:
            return True
        if any(True for _ in row.matching(self.field)):
            return True
        prefix = self.field + "."
        return any(path.startswith(prefix) for path, _ in leaves(row.document))

    def index(self) -> str | None:
        """See `Clause.index`."""
        if "*" in self.field or self.field in {"level", *_OWN}:
            return None
        return _join(" AND ", [f'"{word}"' for word in tokens(self.field)])


class Ids(Plain):
    """Lines by their ids; `seqs` are row numbers of the day being read, resolved by the store."""

    def __init__(self, ids: Sequence[str]) -> None:
        self.ids = frozenset(ids)

    def match(self, row: Row) -> bool:
        """See `Clause.match`."""
        return row.id in self.ids


class Fuzzy(Plain):
    """A token within an edit distance of the wanted one (insert, delete, change, swap)."""

    def __init__(self, field: str, text: str, distance: int | None = None) -> None:
        self.field = field
        self.word = fold(text)
        auto = 0 if len(self.word) < 3 else 1 if len(self.word) < 6 else 2
        self.distance = auto if distance is None else min(distance, 2)

    def match(self, row: Row) -> bool:
        """See `Clause.match`."""
        return any(
            edits(word, self.word, self.distance) <= self.distance
            for value in row.matching(self.field)
            for word in tokens(shown(value))
        )


def glob(pattern: str, *, fold_case: bool = True) -> Any:
    """A compiled `*`/`?` pattern (google-re2, so linear); a backslash takes a character as it is."""
    import re2

    text = fold(pattern) if fold_case else pattern
    parts: list[str] = []
    escaped = False
    for char in text:
        if escaped or char not in "*?\\":
            parts.append(re2.escape(char))
            escaped = False
        elif char == "\\":
            escaped = True
        else:
            parts.append("(?s:.*)" if char == "*" else "(?s:.)")
    return re2.compile("".join(parts))


def literal_start(pattern: str) -> str:
    """What a wildcard pattern begins with before its first `*` or `?`."""
    return re.split(r"[*?\\]", pattern, maxsplit=1)[0]


def edits(left: str, right: str, limit: int) -> int:
    """Optimal string alignment distance, or more than `limit` as soon as that is certain."""
    if abs(len(left) - len(right)) > limit:
        return limit + 1
    before: list[int] = []
    last = list(range(len(right) + 1))
    for i, a in enumerate(left, 1):
        row = [i]
        for j, b in enumerate(right, 1):
            cost = min(last[j] + 1, row[j - 1] + 1, last[j - 1] + (a != b))
            if i > 1 and j > 1 and a == right[j - 2] and left[i - 2] == b:
                cost = min(cost, before[j - 2] + 1)
            row.append(cost)
        if min(row) > limit:
            return limit + 1
        before, last = last, row
    return last[-1]


def _within(places: list[list[int]], slop: int) -> bool:
    shifted = [[place - i for place in found] for i, found in enumerate(places)]
    # The smallest window over one place a word, after each is moved by its own position.
    heads = [0] * len(shifted)
    while True:
        now = [found[head] for found, head in zip(shifted, heads, strict=True)]
        if max(now) - min(now) <= slop:
            return True
        lowest = now.index(min(now))
        heads[lowest] += 1
        if heads[lowest] == len(shifted[lowest]):
            return False


def plain_number(text: str) -> float | None:
    """The number that `text` spells the way JSON does, without an exponent; else None.

    `007` and `8e12` are text: as numbers they could be spelled in many ways, which an index of
    words cannot find.
    """
    return float(text) if _NUMBER.fullmatch(text) else None


def _join(word: str, parts: list[str]) -> str | None:
    if not parts:
        return None
    return parts[0] if len(parts) == 1 else f"({word.join(parts)})"
