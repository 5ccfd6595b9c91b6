"""What the words, phrases, patterns and ranges of a query string ask of a field."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable

import msgspec

from mamimon.logs.clauses import (
    And,
    Bound,
    Clause,
    Exact,
    Mined,
    Pattern,
    Range,
    Together,
    Words,
    glob,
    literal_start,
)
from mamimon.logs.dates import parse_bound
from mamimon.logs.model import pattern_number
from mamimon.logs.text import fold
from mamimon.problems import bad_input


class Style(msgspec.Struct, frozen=True, kw_only=True):
    """How a query string is read: where words without a field look, and how neighbours combine."""

    fields: tuple[str, ...] = ()
    every: bool = False
    """Neighbours combine by AND instead of OR."""
    now: float = 0.0
    tz: dt.tzinfo = dt.UTC
    """The zone of dates that name none."""
    slop: int = 0
    """How far the words of a phrase that does not say so may have moved."""
    least: Callable[[int], int] | None = None
    """How many of the alternatives at the top are needed; none: one."""
    kind: str = "cross_fields"
    """What words beside each other make of several fields: Elasticsearch's `type` of a `multi_match`."""


def plain(field: str, text: str) -> Clause:
    """A word on a field; one without letters or digits must be the whole value."""
    if field == "pattern" and pattern_number(text):
        return Mined(text)
    return phrase(field, text)


def phrase(field: str, text: str, slop: int = 0, *, prefix: bool = False) -> Words | Exact:
    """Words that follow one another; on a `.keyword` field, or without a word, the whole value."""
    words = Words(field, text, slop=slop, prefix=prefix)
    return words if words.words and not field.endswith(".keyword") else Exact(field, text)


def wildcard(field: str, raw: str) -> Clause:
    """A pattern of `*` and `?`; only on a `.keyword` field does case matter."""
    folded = not field.endswith(".keyword")
    pattern = glob(raw, fold_case=folded)
    return Pattern(field, pattern, starts=fold(literal_start(raw)), fold_case=folded, wildcard=raw)


def compare(field: str, sign: str, text: str, style: Style) -> Clause:
    """`field:>=text`."""
    included = sign.endswith("=")
    if sign[0] == ">":
        return Range(field, bound(field, text, included, style.now, up=not included, tz=style.tz), None)
    return Range(field, None, bound(field, text, included, style.now, up=included, tz=style.tz))


def between(field: str, low: str, high: str, low_in: bool, high_in: bool, style: Style) -> Clause:
    """`field:[low TO high]`; `*` leaves an end open."""
    return Range(
        field,
        None if low == "*" else bound(field, low, low_in, style.now, up=not low_in, tz=style.tz),
        None if high == "*" else bound(field, high, high_in, style.now, up=high_in, tz=style.tz),
    )


def bound(
    field: str,
    text: str,
    included: bool,
    now: float,
    *,
    up: bool,
    first_day: bool = False,
    tz: dt.tzinfo = dt.UTC,
) -> Bound:
    """One end of a range; on `@timestamp` it must be a date."""
    dated = field == "@timestamp"
    seconds = None
    if dated or re.match(r"now|\d{4}[-/.]\d\d?", text):
        seconds = parse_bound(text, now, up=up, first_day=first_day, tz=tz)
    if dated and seconds is None:
        raise bad_input(
            f"failed to parse date field [{text[:80]}] with format [strict_date_optional_time||epoch_millis]"
        )
    return Bound(text, included, seconds)


def moment(field: str, text: str, style: Style) -> Clause | None:
    """A date on `@timestamp` means the whole unit that it names; other fields are None."""
    if field != "@timestamp":
        return None
    return between(field, text, text, True, True, style)


def unescape(text: str) -> str:
    """`text` without the backslashes that took away a character's meaning."""
    return re.sub(r"\\(.)", r"\1", text, flags=re.DOTALL) if "\\" in text else text


def all_in(field: str, words: list[Clause]) -> Clause:
    """All of the words, in one field where the name may mean several."""
    texts = [word for word in words if isinstance(word, (Words, Exact))]
    return And([*words, Together(field, texts)] if not field or "*" in field else words)
