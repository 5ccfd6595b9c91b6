"""The query string's operators, as Lucene's classic parser reads them in Elasticsearch."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from typing import Any

import pytest

from mamimon.logs.clauses import Row, Words
from mamimon.logs.lucene import Style, parse
from mamimon.problems import Problem

LINES = [set(chosen) for n in range(5) for chosen in itertools.combinations("abcd", n)]


class _Day:
    """A day that is asked nothing here."""

    def id_of(self, seq: int) -> str:
        return str(seq)

    def dataset_of(self, number: int) -> str:
        return ""

    def index_of(self, number: int) -> str:
        return ""


def _row(line: dict[str, Any]) -> Row:
    return Row(0, 0, 0, 0, json.dumps(line).encode(), _Day())


def found(text: str, *, every: bool = False) -> list[set[str]]:
    """Which of all lines over the words a, b, c and d the query matches."""
    clause = parse(text, Style(every=every))
    rows = [_row({"message": " ".join(sorted(line))}) for line in LINES]
    return [line for line, row in zip(LINES, rows, strict=True) if clause.match(row)]


Test = Callable[[set[str]], Any]
SIGNED: list[tuple[str, Test]] = [
    # text, what Lucene's clauses mean: + is required, - forbidden, the rest wanted where nothing is required
    ("a b", lambda w: w & {"a", "b"}),
    ("a OR b", lambda w: w & {"a", "b"}),
    ("a AND b", lambda w: {"a", "b"} <= w),
    ("a && b", lambda w: {"a", "b"} <= w),
    ("a AND b OR c", lambda w: {"a", "b"} <= w),  # +a +b c
    ("a OR b AND c", lambda w: {"b", "c"} <= w),  # a +b +c
    ("a b AND c", lambda w: {"b", "c"} <= w),  # a +b +c
    ("a OR b AND c OR d", lambda w: {"b", "c"} <= w),  # a +b +c d
    ("a AND b || c AND d", lambda w: {"a", "b", "c", "d"} <= w),  # +a +b +c +d
    ("(a AND b) OR (c AND d)", lambda w: {"a", "b"} <= w or {"c", "d"} <= w),
    ("a OR NOT b", lambda w: "a" in w and "b" not in w),  # a -b
    ("NOT a OR b", lambda w: "b" in w and "a" not in w),  # -a b
    ("NOT a AND b", lambda w: "b" in w and "a" not in w),  # -a +b
    ("a AND NOT b", lambda w: "a" in w and "b" not in w),  # +a -b
    ("a !b", lambda w: "a" in w and "b" not in w),
    ("a - b", lambda w: "a" in w and "b" not in w),
    ("+a b", lambda w: "a" in w),
    ("+a b -c", lambda w: "a" in w and "c" not in w),
    ("a OR +b", lambda w: "b" in w),
    ("NOT a", lambda w: "a" not in w),
    ("-a -b", lambda w: not w & {"a", "b"}),
    ("a AND (NOT b)", lambda w: "a" in w and "b" not in w),
    ("a OR (NOT b)", lambda w: "a" in w or "b" not in w),
    ("message:(a AND b)", lambda w: {"a", "b"} <= w),
]
BY_AND: list[tuple[str, Test]] = [
    ("a b", lambda w: {"a", "b"} <= w),
    ("a OR b", lambda w: w & {"a", "b"}),
    ("a b OR c", lambda w: "a" in w),  # +a b c
    ("a OR b c", lambda w: "c" in w),  # a b +c
    ("a OR b AND c", lambda w: {"b", "c"} <= w),  # a +b +c
    ("a OR +b", lambda w: w & {"a", "b"}),  # OR takes the sign, as in Lucene
    ("a -b", lambda w: "a" in w and "b" not in w),
]


@pytest.mark.feature("L4")
@pytest.mark.parametrize(("text", "meant"), SIGNED)
def test_operators_give_signs_to_clauses(text: str, meant: Test) -> None:
    """AND and OR have no precedence: each makes the clauses beside it required or wanted."""
    assert found(text) == [line for line in LINES if meant(line)]


@pytest.mark.feature("L4")
@pytest.mark.parametrize(("text", "meant"), BY_AND)
def test_operators_where_neighbours_mean_and(text: str, meant: Test) -> None:
    """With AND as the default operator neighbours are required, and OR makes both its sides wanted."""
    assert found(text, every=True) == [line for line in LINES if meant(line)]


@pytest.mark.feature("L4")
@pytest.mark.parametrize(
    "text", ["AND a", "a AND", "a AND OR b", "a OR", "NOT", "a AND NOT", "()", "(a", "a)", "a -"]
)
def test_an_operator_without_a_side_is_an_error(text: str) -> None:
    """What Lucene cannot parse is refused with the place of the mistake."""
    with pytest.raises(Problem, match="column"):
        parse(text, Style())


def test_each_word_of_a_loose_phrase_has_a_place_of_its_own() -> None:
    """A beginning does not stand where a word stands that begins so, as in Lucene."""
    loose = Words("message", "cache connection connecti", slop=3, prefix=True)
    assert loose.fits("Cache connection, connections") and loose.fits("connection cache connection")
    assert not loose.fits("cache in connection in 35 ms")


BESIDE = {
    "a": {"one": "big red", "two": "blue sky"},
    "b": {"one": "red big", "two": "sky"},
    "c": {"one": "big", "two": "red"},
    "d": {"one": ["big", "redder"], "two": "x"},
}


@pytest.mark.parametrize(
    ("kind", "every", "found"),
    [
        ("best_fields", True, "ab"),
        ("most_fields", True, "ab"),
        ("cross_fields", True, "abc"),
        ("phrase", True, "a"),
        ("phrase", False, "a"),
        ("phrase_prefix", False, "a"),
        ("bool_prefix", True, "abd"),
        ("best_fields", False, "abcd"),
        ("bool_prefix", False, "abcd"),
    ],
)
@pytest.mark.parametrize("fields", [("one", "two"), ("",), ("*o*",)])
def test_words_beside_each_other_are_one_text(
    kind: str, every: bool, found: str, fields: tuple[str, ...]
) -> None:
    """`type` says what they make of several fields: all in one of them, in any, or a phrase."""
    clause = parse("big red", Style(kind=kind, every=every, fields=fields))
    assert "".join(name for name, line in BESIDE.items() if clause.match(_row(line))) == found


def test_a_sign_or_an_operator_ends_a_text() -> None:
    """As Lucene's `MultiTerm`: a word before AND or OR, with a field, `*`, `^` or `~` stands by itself."""
    for text, found in (
        ("big red", "a"), ("big AND red", "abc"), ("+big +red", "abc"), ("big red sky", ""),
        ("big red AND sky", "ab"), ("one:big red", "abcd"), ("big red~1", "abcd"), ("two:(blue sky)", "a"),
        ("(big red) NOT sky", ""), ("(big red) NOT pie", "a"), ("big red*", "abcd"), ('"red big"', "b"),
    ):  # fmt: skip
        clause = parse(text, Style(kind="phrase", fields=("one", "two")))
        assert "".join(n for n, line in BESIDE.items() if clause.match(_row(line))) == found, text
