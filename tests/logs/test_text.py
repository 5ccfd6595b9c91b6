"""Words: what we take for one and what SQLite's tokenizer does must be the same."""

from __future__ import annotations

import json
import sqlite3
from itertools import pairwise

import pytest

from mamimon.logs.text import (
    PAIRED,
    TOKENIZER,
    indexable,
    indexed_text,
    lookup,
    pair_mark,
    pair_marks,
    tokens,
)


@pytest.mark.feature("L4")
def test_the_index_cuts_words_where_we_do() -> None:
    """Beside every character of Unicode, the block index holds exactly the tokens that queries look for."""
    raw = sqlite3.connect(":memory:")
    raw.execute(f"CREATE VIRTUAL TABLE words USING fts5(text, tokenize='{TOKENIZER}')")
    raw.execute("CREATE VIRTUAL TABLE held USING fts5vocab(words, instance)")
    # What is written as an escape in JSON never reaches the tokenizer.
    chars = [chr(n) for n in range(0x20, 0x110000) if not 0xD800 <= n <= 0xDFFF and chr(n) != "\\"]
    raw.executemany("INSERT INTO words VALUES (?)", ((indexed_text(f"ab{char}cd"),) for char in chars))
    raw.execute("CREATE TABLE count AS SELECT doc, count(*) AS n FROM held GROUP BY doc")
    found = dict(raw.execute("SELECT doc, n FROM count"))
    wrong = [
        f"U+{ord(char):04X}"
        for number, char in enumerate(chars, 1)
        if found[number] != len(words := tokens(f"ab{char}cd")) and all(map(indexable, words))
    ]
    assert wrong == []


@pytest.mark.feature("L4")
@pytest.mark.parametrize(
    ("document", "field", "values"),
    [
        ({"a": {"b": 1}, "a.b": 2}, "a.b", [1, 2]),
        ({"a": [{"b": 1}, {"b": [2, None, [3]]}, 4]}, "a.b", [1, 2, 3]),
        ({"a": [{"b": 1}, 4]}, "a", [4]),
        ({"a": {"b": {"c": "x"}}}, "a.b", []),
        ({"a.b": {"c": "x"}, "a": {"b.c": "y"}}, "a.b.c", ["x", "y"]),
        ({"a": None, "": 5}, "a", []),
    ],
)
def test_a_fields_values_however_it_is_nested(
    document: dict[str, object], field: str, values: list[object]
) -> None:
    """A dotted name finds its scalars in objects, in lists of objects and under keys with dots."""
    assert sorted(map(str, lookup(document, field))) == sorted(map(str, values))


@pytest.mark.feature("L4")
@pytest.mark.parametrize(
    ("value", "phrase"),
    [
        ("error chat", "error chat"),
        ('say "hi there" now', "say hi there now"),
        ("C:\\\\", "c"),
        ('a\\" b', "a b"),
        ("a\tb\nc", "a b c"),
        ("one — two…three", "one two three"),
        ("ONE Two", "one two"),
        ("\u212aELVIN İstanbul", "kelvin istanbul"),
    ],
)
def test_the_pairs_of_a_value_are_those_of_its_words(value: str, phrase: str) -> None:
    """Each two words of a value have their token in a block's marks, whatever stands between them in JSON."""
    line = json.dumps({"k": value, "other": "x y"}, ensure_ascii=False)
    marks = pair_marks(indexed_text(f'{line}\n{{"n":1}}')).split()

    assert tokens(value) == phrase.split()
    assert {pair_mark(*pair) for pair in pairwise(phrase.split())} <= {*marks}
    assert "__x__y" in marks and marks[0] == PAIRED
    assert pair_mark("a1", "b") is None and pair_mark("é", "b") is None
