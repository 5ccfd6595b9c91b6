"""Clauses about what lies between two ends: numbers, dates, text."""

from __future__ import annotations

from typing import Any

import numpy as np

from mamimon.logs.clauses.base import ANY_TIME, Plain, Row
from mamimon.logs.clauses.sure import Sure, sure_field
from mamimon.logs.dates import parse_iso
from mamimon.logs.text import exact_number_of

EXACT = 1 << 53
"""The largest number up to which a float knows every whole one."""
# What a line does not say itself.
_BESIDE = ("@timestamp", "_index", "_id", "dataset", "pattern")


class Range(Plain):
    """A field between two ends; `low` and `high` are tests of one value."""

    def __init__(self, field: str, low: Bound | None, high: Bound | None) -> None:
        self.field = field.removesuffix(".keyword")
        self.low = low
        self.high = high
        self.only_bounds = self.field == "@timestamp"

    def match(self, row: Row) -> bool:
        """See `Clause.match`."""
        if self.field == "@timestamp":
            low, high = self.bounds()
            return low <= row.time_us <= high
        return any(self.fits(value) for value in row.matching(self.field))

    def fits(self, value: Any) -> bool:
        """Whether one value of the field is what is asked for."""
        above = self.low is None or self.low.above(value)
        return above and (self.high is None or self.high.below(value))

    def fit_numbers(self, numbers: Any) -> Any | None:
        """`fits` for many numbers at once, none beyond 2^53; None where an end is not as exact."""
        found = np.ones(len(numbers), np.bool_)
        for bound, sign in ((self.low, 1), (self.high, -1)):
            if bound is None:
                continue
            end = bound.end()
            if end is None:
                return np.zeros(len(numbers), np.bool_)
            if abs(end) > EXACT:
                return None
            inside = numbers * sign > end * sign
            found &= inside | (numbers == end) if bound.included else inside
        return found

    def sure(self) -> Sure | None:
        """See `Clause.sure`."""
        return None if self.field in _BESIDE else sure_field(self.field, self.fits)

    def bounds(self) -> tuple[int, int]:
        """See `Clause.bounds`."""
        if self.field != "@timestamp":
            return ANY_TIME
        low, high = ANY_TIME
        # A date has milliseconds in Elasticsearch: "after .123" leaves .123456 out too.
        if self.low is not None and self.low.seconds is not None:
            low = (millis(self.low.seconds) + (not self.low.included)) * 1000
        if self.high is not None and self.high.seconds is not None:
            high = (millis(self.high.seconds) + self.high.included) * 1000 - 1
        return low, high


class Bound:
    """One end of a range: compares with numbers as a number, with dates as a date, else as text."""

    def __init__(self, text: str, included: bool, seconds: float | None) -> None:
        self.text = text
        self.included = included
        self.seconds = seconds
        self.number = exact_number_of(text)

    def end(self) -> float | None:
        """What numbers are compared with; None where they cannot be."""
        if self.number is not None:
            return self.number
        return None if self.seconds is None else millis(self.seconds)

    def _sign(self, value: Any) -> int | None:
        """Below zero where `value` is before this end, above where after; None where not comparable."""
        if isinstance(value, bool):
            return None
        if isinstance(value, (int, float)):
            end = self.end()
            return None if end is None else (value > end) - (value < end)
        return self._text_sign(str(value))

    def _text_sign(self, text: str) -> int:
        end = self.number
        if end is not None and (number := exact_number_of(text)) is not None:
            return (number > end) - (number < end)
        if self.seconds is not None:
            end = millis(self.seconds)
        if end is not None and (at := date_millis(text)) is not None:
            # A number stands for a date's milliseconds.
            return (at > end) - (at < end)
        return (text > self.text) - (text < self.text)

    def above(self, value: Any) -> bool:
        """Whether `value` lies above this lower end."""
        sign = self._sign(value)
        return sign is not None and (sign > 0 or (sign == 0 and self.included))

    def below(self, value: Any) -> bool:
        """Whether `value` lies below this upper end."""
        sign = self._sign(value)
        return sign is not None and (sign < 0 or (sign == 0 and self.included))


def millis(seconds: float) -> int:
    """Whole milliseconds; what a date names beyond them is cut off, as Elasticsearch does."""
    return round(seconds * 1_000_000) // 1000


def date_millis(text: str) -> int | None:
    """The milliseconds of a text that dynamic mapping takes for a date; None where it is none."""
    if len(text) < 10 or text[4] not in "-/":
        return None
    seconds = parse_iso(text)
    return None if seconds is None else millis(seconds)
