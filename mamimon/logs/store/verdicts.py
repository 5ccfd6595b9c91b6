"""What the columns of a segment say of a clause: of which lines that they match, of which that they may.

A clause over one field is tried on each distinct value once. Words that are common in longer texts have
their lines noted; of others, and of whatever else the columns do not know, a line may match.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from mamimon.logs.clauses import (
    All,
    And,
    Clause,
    Exact,
    Exists,
    Fuzzy,
    Mined,
    Not,
    Nothing,
    Or,
    Pattern,
    Range,
    Row,
    Source,
    Words,
    glob,
)
from mamimon.logs.clauses.needles import first_place, is_odd
from mamimon.logs.clauses.ranges import EXACT
from mamimon.logs.store.segments import (
    BESIDE,
    DATASETS,
    DIGITS,
    LEVELS,
    MOST_VALUES,
    ODD,
    OPEN,
    PATTERNS,
    SHAPES,
    VALUES,
    Segment,
)

_ANYWHERE = ("", "*")
_COMBINED = 100_000
# What a row says beside its document, by the field that shows it.
_OWN = {"level": LEVELS, "dataset": DATASETS, "_index": DATASETS, "pattern": PATTERNS}
_READ = ("@timestamp", "_id")


class Verdict(NamedTuple):
    """Truths by line: it matches for sure, it may match."""

    sure: Any
    maybe: Any


def judge(clause: Clause, segment: Segment, source: Source) -> Verdict:
    """What is known of a clause; bounds of time that every match keeps to are not looked at."""
    sure, maybe = _Judge(segment, source).of(clause, top=True)
    if segment.about.odd:
        odd = segment.bits(ODD)
        sure, maybe = sure & ~odd, maybe | odd
    return Verdict(sure, maybe)


class _Judge:
    def __init__(self, segment: Segment, source: Source) -> None:
        self._segment = segment
        self._source = source
        self._none = np.zeros(segment.rows, np.bool_)
        self._all = np.ones(segment.rows, np.bool_)
        self._unknown = Verdict(self._none, self._all)
        self._held: dict[tuple[int, str], Any] = {}

    def of(self, clause: Clause, *, top: bool = False) -> Verdict:
        """See `judge`; `top` is a clause that each match fulfils."""
        if isinstance(clause, All):
            return Verdict(self._all, self._all)
        if isinstance(clause, Nothing):
            return Verdict(self._none, self._none)
        if isinstance(clause, Not):
            found = self.of(clause.clause)
            return Verdict(~found.maybe, ~found.sure)
        if isinstance(clause, And):
            parts = [self.of(part, top=top) for part in clause.clauses]
            return Verdict(_every(parts, 0, self._all), _every(parts, 1, self._all))
        if isinstance(clause, Or):
            return self._some([self.of(part) for part in clause.clauses], clause.minimum)
        if isinstance(clause, Range) and clause.only_bounds:
            return Verdict(self._all, self._all) if top else self._unknown
        if isinstance(clause, Mined):
            return self._named(clause, "pattern")
        if isinstance(clause, (Words, Exact, Pattern, Range, Exists, Fuzzy)):
            return self._field(clause)
        return self._unknown

    def _some(self, parts: Sequence[Verdict], least: int) -> Verdict:
        if least == 1:
            sure, maybe = self._none, self._none
            for part in parts:
                sure, maybe = sure | part.sure, maybe | part.maybe
            return Verdict(sure, maybe)
        counts = [sum(part[i].astype(np.uint16) for part in parts) for i in (0, 1)]
        zero = np.zeros(self._segment.rows, np.uint16)
        return Verdict(counts[0] + zero >= least, counts[1] + zero >= least)

    def _field(self, clause: Words | Exact | Pattern | Range | Exists | Fuzzy) -> Verdict:
        field = clause.field
        numbers = self._segment.numbers
        if isinstance(clause, Exists):
            return self._exists(clause)
        if field in _ANYWHERE:
            return self._anywhere(clause, list(numbers.values()))
        if "*" in field:
            fits = glob(field, fold_case=False)
            return self._anywhere(clause, [n for path, n in numbers.items() if fits.fullmatch(path)])
        return self._named(clause, field)

    def _exists(self, clause: Exists) -> Verdict:
        field = clause.field
        if field in {"*", "_index", "_id", "@timestamp", "dataset"}:
            return Verdict(self._all, self._all)
        if field == "" or "*" in field:
            return self._unknown
        found = self._named(clause, field)
        within = [n for path, n in self._segment.numbers.items() if path.startswith(field + ".")]
        sure, maybe = found
        for number in within:
            present = self._segment.present(number)
            sure, maybe = sure | present, maybe | present
        return Verdict(sure, maybe)

    def _named(self, clause: Clause, field: str) -> Verdict:
        """A clause about one field, as `Row.values` knows it."""
        segment = self._segment
        plain = field.removesuffix(".keyword")
        if plain in _READ or plain.endswith(".keyword"):
            return self._unknown
        at = [segment.numbers[name] for name in {field, plain} if name in segment.numbers]
        own = _OWN.get(plain)
        if len(at) > 1 or (own == PATTERNS and not segment.about.patterns):
            return self._unknown
        if at and segment.about.kinds[at[0]] != VALUES:
            if own is not None:
                return self._unknown
            found = self._spelled(clause, at[0])
        elif at and own is None and isinstance(clause, (Words, Exact, Pattern, Range)):
            found = self._fitting(clause, at[0])
        elif at and own is None and isinstance(clause, Exists):
            present = segment.present(at[0])
            found = Verdict(present, present)
        else:
            found = self._tried(clause, at[0] if at else None, own)
        if own is not None and segment.about.beside:
            # What a line says itself may stand in place of what is known beside it.
            found = Verdict(found.sure & ~segment.bits(BESIDE), found.maybe)
        return self._with_others(found)

    def _tried(self, clause: Clause, number: int | None, own: int | None) -> Verdict:
        """Each combination of a path's values and of what rows have beside them, tried once."""
        segment = self._segment
        values, codes = ([], None) if number is None else (segment.values(number), segment.codes(number))
        path = "" if number is None else segment.about.paths[number]
        size = len(values) + 1
        beside: list[Any] = [0]
        key = np.zeros(segment.rows, np.int64) if codes is None else codes
        if own is not None:
            others = segment.codes(own)
            beside = (
                [0, *segment.values(own)] if own == PATTERNS else list(range(int(others.max(initial=0)) + 1))
            )
            if len(beside) * size > _COMBINED:
                return self._unknown
            key = others.astype(np.int32) * size + key
        table = np.zeros(len(beside) * size, np.bool_)
        here = range(size) if own is None else np.flatnonzero(np.bincount(key)).tolist()
        for one in here:
            code = one % size
            row = self._row({path: values[code - 1]} if code else {}, own, beside[one // size])
            table[one] = clause.match(row)
        found = table[key]
        return Verdict(found, found)

    def _fitting(self, clause: Words | Exact | Pattern | Range | Fuzzy, number: int) -> Verdict:
        """`_tried` of one path alone, without a row where the values are plain."""
        if isinstance(clause, Fuzzy):
            return self._tried(clause, number, None)
        values = self._segment.values(number)
        fits = clause.fits
        table = np.zeros(len(values) + 1, np.bool_)
        many = None
        if isinstance(clause, Range) and len(values) > MOST_VALUES:
            numbers = np.array(values, np.float64)
            many = clause.fit_numbers(numbers) if abs(numbers).max() <= EXACT else None
        if many is not None:
            table[1:] = many
        elif not isinstance(clause, Words) or clause.words:
            table[1:] = [any(map(fits, value)) if type(value) is list else fits(value) for value in values]
        found = self._chosen(table, number)
        return Verdict(found, found)

    def _chosen(self, table: Any, number: int) -> Any:
        """Which lines have a value of those that the table says."""
        return table[self._segment.codes(number)] if table.any() else self._none

    def _row(self, document: dict[str, Any], own: int | None, value: int) -> Row:
        row = Row(
            0, 0,
            value if own == LEVELS else 0,
            value if own == DATASETS else 0,
            b"", self._source,
            value if own == PATTERNS else 0,
        )  # fmt: skip
        row._document = document
        return row

    def _anywhere(self, clause: Words | Exact | Pattern | Range | Fuzzy, numbers: Sequence[int]) -> Verdict:
        """A clause that one value of any of the paths fulfils."""
        segment = self._segment
        sure, maybe = self._none, self._none
        needles = clause.needles() if getattr(clause, "number", None) is None else None
        for number in numbers:
            if segment.about.kinds[number] != VALUES:
                found = self._spelled(clause, number)
            else:
                if needles is not None:
                    listed = segment.dictionary(number)
                    if first_place(needles, listed, odd=is_odd(listed)) < 0:
                        continue
                found = self._fitting(clause, number)
            sure, maybe = sure | found.sure, maybe | found.maybe
        return self._with_others(Verdict(sure, maybe))

    def _spelled(self, clause: Clause, number: int) -> Verdict:
        """A clause about a path that has too many values to try each."""
        if isinstance(clause, Pattern) and clause.begins and not clause.only_whole:
            return self._beginning(clause.begins, number)
        words, whole = _words(clause)
        if words and self._segment.about.kinds[number] == SHAPES:
            return self._shaped(words, whole, number)
        maybe = self._segment.present(number)
        if isinstance(clause, Exists) or not words:
            return Verdict(maybe if isinstance(clause, Exists) else self._none, maybe)
        for word in words:
            if word in self._segment.common:
                maybe = maybe & self._segment.word(word).get(number, self._none)
            else:
                whole = False
        return Verdict(maybe if whole and len(words) == 1 else self._none, maybe)

    def _beginning(self, begins: str, number: int) -> Verdict:
        """Texts of which a word begins so; a text that does itself has such a first word."""
        segment = self._segment
        rare = segment.rare(begins) or "true".startswith(begins) or "false".startswith(begins)
        if segment.about.kinds[number] != SHAPES:
            sure = self._none
            for word in segment.common:
                if word.startswith(begins):
                    sure = sure | segment.word(word).get(number, self._none)
            return Verdict(sure, segment.present(number) if rare else sure)
        held = np.array([False, *(f" {begins}" in shape for shape in segment.values(number))])
        sure = self._chosen(held, number)
        return Verdict(sure, segment.present(number) if rare else sure)

    def _shaped(self, words: Sequence[str], whole: bool, number: int) -> Verdict:
        """Words that follow one another in a text, of which its shape is known."""
        common = self._segment.common
        known = [word if word in common else _class(word) for word in words]
        text = f" {' '.join(known)} "
        maybe = self._held.get((number, text))
        if maybe is None:
            table = np.array([False, *(text in shape for shape in self._segment.values(number))])
            maybe = self._held[number, text] = self._chosen(table, number)
        return Verdict(maybe if whole and known == list(words) else self._none, maybe)

    def _with_others(self, found: Verdict) -> Verdict:
        if not self._segment.about.beside:
            return found
        others = self._segment.bits(BESIDE)
        return Verdict(found.sure, found.maybe | others)


def _class(word: str) -> str:
    return DIGITS if word[0].isdecimal() else OPEN


def _words(clause: Clause) -> tuple[Sequence[str], bool]:
    """Words that follow one another in each text that matches, and whether it matches if they do."""
    words: Words | None = None
    whole = False
    if isinstance(clause, Words):
        words, whole = clause, not clause.prefix
    elif isinstance(clause, Exact):
        words, whole = clause.spelled, clause.one_word and not clause.only_whole
    if words is None or words.number is not None or words.text in {"true", "false"}:
        return (), False
    certain = words.words[:-1] if words.prefix else words.words
    if words.slop:
        # They may stand in any order.
        return max(certain, key=len, default="").split(), False
    return certain, whole


def _every(parts: Sequence[Verdict], i: int, start: Any) -> Any:
    for part in parts:
        start = start & part[i]
    return start
