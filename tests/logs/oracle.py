"""What queries mean, said as plainly as possible: every document is looked at, nothing is indexed.

A field is text and keyword at once, as Elasticsearch's dynamic mapping makes it: full-text queries
look at the tokens of a value, `term` at a token or at the whole value, `.keyword` at the whole value
alone. A token is a run of letters, digits and underscores, lower-cased. Numbers are equal whatever
way they are written; numbers and dates in strings are ordered as such.
"""

from __future__ import annotations

import datetime as dt
import unicodedata
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

LEVELS = {
    "error": "ERROR", "err": "ERROR", "warn": "WARNING", "warning": "WARNING", "info": "INFO",
    "debug": "DEBUG", "critical": "CRITICAL", "fatal": "CRITICAL", "crit": "CRITICAL", "inf": "INFO",
    "e": "ERROR", "w": "WARNING", "i": "INFO", "d": "DEBUG", "f": "CRITICAL",
}  # fmt: skip


class Doc:
    """A document with what the store knows beside it."""

    def __init__(self, id: str, index: str, dataset: str, body: dict[str, Any], millis: int) -> None:
        self.id = id
        self.index = index
        self.dataset = dataset
        self.body = body
        self.millis = millis
        self.leaves = list(walk(body, ""))
        self.fields: dict[str, list[Any]] = {}
        for path, value in self.leaves:
            self.fields.setdefault(path, []).append(value)
        word = body["level"] if "level" in body else body.get("severity")
        self.level = LEVELS.get(str(word).strip().lower(), "")


Test = Callable[[Doc], bool]


def walk(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Every scalar with its path."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from walk(inner, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        for inner in value:
            yield from walk(inner, path)
    elif value is not None:
        yield path, value


@lru_cache(100_000)
def lower(text: str) -> str:
    """Without case; İ is an i."""
    return unicodedata.normalize("NFC", "".join("i" if char == "İ" else char for char in text).lower())


@lru_cache(100_000)
def tokens(text: str) -> list[str]:
    """Runs of letters, digits and underscores."""
    spaced = "".join(char if char.isalnum() or char == "_" else " " for char in lower(text))
    return spaced.split()


def shown(value: Any) -> str:
    """A scalar as text."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def number(text: str) -> float | None:
    """The number that a text spells as JSON spells one, without an exponent."""
    digits = text.removeprefix("-")
    whole, dot, fraction = digits.partition(".")
    plain = whole.isascii() and whole.isdigit() and (whole == "0" or whole[0] != "0")
    if not plain or (dot and not (fraction.isascii() and fraction.isdigit())):
        return None
    return float(text) if dot else int(text)


def any_number(text: str) -> float | None:
    """The number that a text spells in any way."""
    try:
        value = float(text)
    except ValueError:
        return None
    if value - value != 0 or "_" in text:
        return None
    return int(text) if all(char.isdigit() or char in "+- " for char in text) else value


def values(doc: Doc, field: str) -> list[Any]:
    """A field's scalars; the empty name is every field."""
    if field in {"", "*"}:
        return [value for _, value in doc.leaves]
    if field.endswith(".*"):
        return [value for path, value in doc.leaves if path.startswith(field[:-1])]
    found = doc.fields.get(field, [])
    if field == "level" and doc.level and doc.level not in [shown(value).upper() for value in found]:
        found = [*found, doc.level]
    if field == "_index":
        found = [doc.index]
    if field == "_id":
        found = [doc.id]
    return found


# --- full text


def has_words(field: str, text: str, *, slop: int = 0, prefix: bool = False) -> Test:
    """The words of `text` follow one another in a value; or the value is the number or truth it spells."""
    wanted = tokens(text)
    trimmed = lower(text).strip()
    level = LEVELS.get(text.strip().lower(), "") if field == "level" and not prefix else ""

    def one(value: Any) -> bool:
        if isinstance(value, bool):
            return trimmed == shown(value)
        if isinstance(value, (int, float)):
            return number(trimmed) is not None and number(trimmed) == value
        return follow(tokens(value), wanted, slop, prefix)

    def test(doc: Doc) -> bool:
        if level and doc.level == level:
            return True
        return bool(wanted) and any(one(value) for value in values(doc, field))

    return test


def follow(have: list[str], wanted: list[str], slop: int, prefix: bool) -> bool:
    """Whether the wanted words are there as a phrase; `slop` is how far they may have moved in all."""
    if slop and len(wanted) > 1:
        return any(spread <= slop for spread in spreads(have, wanted, 0, []))
    for start in range(len(have) - len(wanted) + 1):
        part = have[start : start + len(wanted)]
        if part == wanted or (prefix and part[:-1] == wanted[:-1] and part[-1].startswith(wanted[-1])):
            return True
    return False


def spreads(have: list[str], wanted: list[str], at: int, moved: list[int]) -> Iterator[int]:
    """For each way to pick a place a word, no place twice: how much further apart they stand than there."""
    if at == len(wanted):
        yield max(moved) - min(moved)
        return
    for place, word in enumerate(have):
        if word == wanted[at] and place not in [shift + i for i, shift in enumerate(moved)]:
            yield from spreads(have, wanted, at + 1, [*moved, place - at])


def match(field: str, text: str, *, every: bool = False, least: int = 1) -> Test:
    """`match`: any, all or some of the words; a text without a word is the whole value."""
    words = tokens(text)
    if not words or field.endswith(".keyword"):
        return term(field, text)
    if number(text) is not None:
        return has_words(field, text)
    tests = [has_words(field, word) for word in words]
    needed = len(tests) if every else max(1, least) if len(tests) > 1 else 1
    return lambda doc: sum(test(doc) for test in tests) >= needed


def near(field: str, word: str, distance: int | None) -> Test:
    """A token, or on a keyword the value, within an edit distance; None is Elasticsearch's AUTO."""
    whole = field.endswith(".keyword")
    name = field.removesuffix(".keyword")
    wanted = word if whole else lower(word)
    auto = 0 if len(wanted) < 3 else 1 if len(wanted) < 6 else 2
    limit = auto if distance is None else min(distance, 2)
    return lambda doc: any(
        edits(have, wanted) <= limit
        for value in values(doc, name)
        for have in ([shown(value)] if whole else tokens(shown(value)))
    )


@lru_cache(100_000)
def edits(a: str, b: str) -> int:
    """Optimal string alignment: insert, delete, change, swap neighbours."""
    table = [[max(i, j) if not min(i, j) else 0 for j in range(len(b) + 1)] for i in range(len(a) + 1)]
    for i in range(1, len(a) + 1):
        for j in range(1, len(b) + 1):
            best = min(table[i - 1][j] + 1, table[i][j - 1] + 1, table[i - 1][j - 1] + (a[i - 1] != b[j - 1]))
            if i > 1 and j > 1 and a[i - 1] == b[j - 2] and a[i - 2] == b[j - 1]:
                best = min(best, table[i - 2][j - 2] + 1)
            table[i][j] = best
    return table[-1][-1]


# --- whole values


def term(field: str, value: Any, *, any_case: bool = False) -> Test:
    """`term`: the whole value, or one token of it."""
    text = shown(value)
    whole = field.endswith(".keyword")
    name = field.removesuffix(".keyword")

    def one(have: Any) -> bool:
        if isinstance(have, bool):
            return shown(have) == text
        if isinstance(have, (int, float)):
            return number(text) is not None and number(text) == have
        if have == text or (any_case and lower(have) == lower(text)):
            return True
        analysed = tokens(text)
        # A token is lower case, so a text with upper case letters is no token.
        return (
            not whole
            and len(analysed) == 1
            and (any_case or text == lower(text))
            and analysed[0] in tokens(have)
        )

    return lambda doc: any(one(have) for have in values(doc, name))


def shaped(field: str, fits: Callable[[str], bool], *, any_case: bool) -> Test:
    """Wildcards and regular expressions: the whole value or one of its tokens."""
    whole = field.endswith(".keyword")
    name = field.removesuffix(".keyword")

    def one(have: Any) -> bool:
        text = shown(have)
        if fits(lower(text) if any_case else text):
            return True
        return isinstance(have, str) and not whole and any(fits(token) for token in tokens(text))

    return lambda doc: any(one(have) for have in values(doc, name))


def like(pattern: list[str]) -> Callable[[str], bool]:
    """A wildcard pattern as a list of pieces: `*`, `?`, and texts that stand for themselves."""

    def fits(text: str, pieces: list[str] | None = None) -> bool:
        pieces = pattern if pieces is None else pieces
        if not pieces:
            return not text
        first, rest = pieces[0], pieces[1:]
        if first == "*":
            return any(fits(text[i:], rest) for i in range(len(text) + 1))
        if first == "?":
            return bool(text) and fits(text[1:], rest)
        return text.startswith(first) and fits(text[len(first) :], rest)

    return fits


def exists(field: str) -> Test:
    """The field, or something inside it, has a value."""
    name = field.removesuffix(".keyword")
    return lambda doc: (
        name == "@timestamp"
        or bool(values(doc, name))
        or any(path.startswith(name + ".") for path, _ in doc.leaves)
    )


# --- ranges


class End:
    """One end of a range: a number, a date, or text."""

    def __init__(self, text: str, included: bool, millis: int | None = None) -> None:
        self.text = text
        self.included = included
        self.number = any_number(text)
        self.millis = millis

    def side(self, value: Any) -> int | None:
        """-1 where the value is below the end, 1 above, 0 on it; None where they cannot be compared."""
        if isinstance(value, bool):
            return None
        if isinstance(value, (int, float)):
            end = self.number if self.number is not None else self.millis
            return None if end is None else (value > end) - (value < end)
        if self.number is not None and (own := any_number(value)) is not None:
            return (own > self.number) - (own < self.number)
        end = self.millis if self.millis is not None else self.number
        if end is not None and (date := date_millis(value)) is not None:
            return (date > end) - (date < end)
        return (value > self.text) - (value < self.text)


@lru_cache(100_000)
def date_millis(text: str) -> int | None:
    """A text that is a date: the forms in which the documents hold dates."""
    for form in ("%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%M:%S.%fZ", "%Y-%m-%d", "%Y/%m/%d"):
        try:
            moment = dt.datetime.strptime(text, form).replace(tzinfo=dt.UTC)
        except ValueError:
            continue
        return int((moment - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)) / dt.timedelta(milliseconds=1))
    return None


def between(field: str, low: End | None, high: End | None) -> Test:
    """`range` on any field but the time stamp."""
    name = field.removesuffix(".keyword")

    def above(value: Any) -> bool:
        side = low.side(value) if low else 1
        return side is not None and (side > 0 or (side == 0 and low is not None and low.included))

    def below(value: Any) -> bool:
        side = high.side(value) if high else -1
        return side is not None and (side < 0 or (side == 0 and high is not None and high.included))

    return lambda doc: any(above(value) and below(value) for value in values(doc, name))


def at_time(low: int | None, high: int | None) -> Test:
    """`range` on the time stamp, both ends in milliseconds and included."""
    return lambda doc: (low is None or doc.millis >= low) and (high is None or doc.millis <= high)


# --- combinations


def all_of(tests: list[Test]) -> Test:
    """Each."""
    return lambda doc: all(test(doc) for test in tests)


def some_of(tests: list[Test], least: int = 1) -> Test:
    """At least so many."""
    return lambda doc: sum(test(doc) for test in tests) >= least


def none_of(test: Test) -> Test:
    """Not."""
    return lambda doc: not test(doc)


def lucene(signs: list[str], tests: list[Test]) -> Test:
    """Clauses with `+`, `-` or no sign: all of the first, none of the second, else one of the third."""
    must = [test for sign, test in zip(signs, tests, strict=True) if sign == "+"]
    never = [test for sign, test in zip(signs, tests, strict=True) if sign == "-"]
    may = [test for sign, test in zip(signs, tests, strict=True) if not sign]
    wanted = all_of(must) if must or not may else some_of(may)
    return lambda doc: wanted(doc) and not any(test(doc) for test in never)
