"""Clauses about one field: words, whole values, patterns, being there, ids, near spellings."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from mamimon.logs.clauses.base import ALL_LEVELS, Plain, Row
from mamimon.logs.clauses.needles import Needle, glob_needle, needle_of
from mamimon.logs.clauses.patterns import edits, glob, plain_number, word_index
from mamimon.logs.clauses.sure import Sure, SureLevel, sure_field, sure_words
from mamimon.logs.model import level_number, pattern_number
from mamimon.logs.text import fold, leaves, shown, tokens

# What a fraction or a large number is shown as (1e+22) may be spelled otherwise in a line (1e22).
_FRACTION = re.compile(r"[+-]?\d+[.e][0-9.e+-]*")
_BEGINS = re.compile(r"[A-Za-z_]\w*\*", re.ASCII)
_OWN = ("@timestamp", "_index", "_id", "dataset")
# A pattern's id is in the index of its block, but not in the line.
_BESIDE = ("pattern", *_OWN)


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
        return any(self.fits(value) for value in row.matching(self.field))

    def fits(self, value: Any) -> bool:
        """Whether one value of the field is what is asked for."""
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
        if self.prefix:
            places[-1] = [i for i, token in enumerate(have) if token.startswith(wanted[-1])]
        if not all(places):
            return False
        # Lucene's slop counts how far words must move to stand as the phrase does.
        again = self.prefix and any(word.startswith(wanted[-1]) for word in wanted[:-1])
        if again or len(set(wanted)) < len(wanted):
            return _within_repeated(places, self.slop)
        return _within(places, self.slop)

    def index(self) -> str | None:
        """See `Clause.index`."""
        if not self.words or self.field in _OWN:
            return None
        if self.number is not None and 0 < abs(self.number) < 1e-4:
            return None
        words = self.words[:1] if self.number is not None else self.words
        found = word_index(words, prefix=self.prefix, phrase=not self.slop)
        # A level is also found by its stored number, whatever the line calls it.
        return None if self.level or (self.prefix and self.field == "level") else found

    def needles(self) -> tuple[Needle, ...] | None:
        """See `Clause.needles`."""
        if self.level or self.field in _BESIDE or (self.prefix and self.field == "level"):
            return None
        if self.number is not None:
            return None if 0 < abs(self.number) < 1e-4 else ((self.words[0].encode(),),)
        if self.slop:
            # The words may stand in any order with others between them.
            found = needle_of(sorted((w for w in self.words if w.isascii()), key=len)[-1:])
        else:
            found = needle_of(self.words)
        return None if found is None else (found,)

    def sure(self) -> Sure | None:
        """See `Clause.sure`."""
        if self.level:
            return SureLevel(self.level)
        if self.field in {"", "*"}:
            return None if self.slop or self.prefix else sure_words(self.words, self.number is not None)
        return None if self.field in _BESIDE or not self.words else sure_field(self.field, self.fits)

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
        self.spelled = Words(self.field, self.text)
        self.one_word = len(self.spelled.words) == 1 and (fold_case or self.text == fold(self.text))

    def match(self, row: Row) -> bool:
        """See `Clause.match`."""
        return any(self.fits(value) for value in row.matching(self.field))

    def fits(self, value: Any) -> bool:
        """Whether one value of the field is what is asked for."""
        if isinstance(value, str):
            if value == self.text or (self.fold_case and fold(value) == fold(self.text)):
                return True
            return self.one_word and not self.only_whole and self.spelled.fits(value)
        if isinstance(value, bool):
            return shown(value) == self.text
        return self.number is not None and self.number == value

    def index(self) -> str | None:
        """See `Clause.index`."""
        return None if self.field in {"level", *_OWN} else self.spelled.index()

    def needles(self) -> tuple[Needle, ...] | None:
        """See `Clause.needles`."""
        return None if self.field in {"level", *_OWN} else self.spelled.needles()

    def sure(self) -> Sure | None:
        """See `Clause.sure`."""
        if self.field in {"", "*"}:
            return self.spelled.sure() if self.one_word and not self.only_whole else None
        return None if self.field in _BESIDE else sure_field(self.field, self.fits)

    def levels(self) -> int:
        """See `Clause.levels`."""
        number = level_number(self.value) if self.field == "level" else 0
        return (1 << number) | 1 if number else ALL_LEVELS


class Together(Plain):
    """All of some words in one field of those that a name or a pattern means.

    Says nothing of blocks and bytes: it stands beside the words themselves.
    """

    def __init__(self, field: str, words: Sequence[Words | Exact]) -> None:
        self.words = words
        self._named = glob(field or "*", fold_case=False)

    def match(self, row: Row) -> bool:
        """See `Clause.match`."""
        fields: dict[str, list[Any]] = {}
        for path, value in leaves(row.document):
            if self._named.fullmatch(path):
                fields.setdefault(path, []).append(value)
        return any(
            all(any(word.fits(value) for value in values) for word in self.words)
            for values in fields.values()
        )


class Pattern(Plain):
    """A wildcard or regular expression over a field's tokens or its whole value."""

    def __init__(
        self, field: str, pattern: Any, *, starts: str = "", fold_case: bool = True, wildcard: str = ""
    ) -> None:
        self.only_whole = field.endswith(".keyword")
        self.field = field.removesuffix(".keyword")
        self.pattern = pattern
        self.starts = starts
        self.fold_case = fold_case
        plain = fold_case and _BEGINS.fullmatch(wildcard) and pattern.pattern == glob(wildcard).pattern
        self.begins = fold(wildcard)[:-1] if plain else ""
        """The word's beginning, where nothing else is asked of one of the text's words."""
        self._needles = glob_needle(wildcard)
        self._piece = self._needles[0][0].decode() if self._needles and fold_case else ""

    def match(self, row: Row) -> bool:
        """See `Clause.match`."""
        return any(self.fits(value) for value in row.matching(self.field))

    def fits(self, value: Any) -> bool:
        """Whether one value of the field is what is asked for."""
        text = fold(shown(value)) if self.fold_case else shown(value)
        if self._piece not in text:
            return False
        if self.pattern.fullmatch(text):
            return True
        if self.only_whole or not isinstance(value, str):
            return False
        return any(self.pattern.fullmatch(word) for word in tokens(text))

    def sure(self) -> Sure | None:
        """See `Clause.sure`."""
        return None if self.field in _BESIDE else sure_field(self.field, self.fits)

    def index(self) -> str | None:
        """See `Clause.index`."""
        words = tokens(self.starts)
        if not words or self.field in {"level", *_OWN} or _FRACTION.fullmatch(self.starts):
            return None
        prefix = self.starts[-1:].isalnum() or self.starts.endswith("_")
        return word_index(words, prefix=prefix, phrase=True)

    def needles(self) -> tuple[Needle, ...] | None:
        """See `Clause.needles`."""
        return None if self.field in {"level", *_BESIDE} else self._needles


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
        if "*" in self.field or self.field in {"level", *_BESIDE}:
            return None
        return word_index(tokens(self.field))


class Ids(Plain):
    """Lines by their ids; `seqs` are row numbers of the day being read, resolved by the store."""

    def __init__(self, ids: Sequence[str]) -> None:
        self.ids = frozenset(ids)

    def match(self, row: Row) -> bool:
        """See `Clause.match`."""
        return row.id in self.ids


class Mined(Plain):
    """Lines of a pattern; or lines whose own field `pattern` says the same."""

    def __init__(self, text: str) -> None:
        self.number = pattern_number(text)
        self._own = Words("pattern", text)

    def match(self, row: Row) -> bool:
        """See `Clause.match`."""
        return row.pattern == self.number or self._own.match(row)

    def index(self) -> str | None:
        """See `Clause.index`."""
        return self._own.index()


class Fuzzy(Plain):
    """A token within an edit distance of the wanted one (insert, delete, change, swap).

    On a `.keyword` field it is the whole value that is near.
    """

    def __init__(self, field: str, text: str, distance: int | None = None) -> None:
        self.only_whole = field.endswith(".keyword")
        self.field = field.removesuffix(".keyword")
        self.word = text if self.only_whole else fold(text)
        auto = 0 if len(self.word) < 3 else 1 if len(self.word) < 6 else 2
        self.distance = auto if distance is None else min(distance, 2)

    def match(self, row: Row) -> bool:
        """See `Clause.match`."""
        return any(
            edits(word, self.word, self.distance) <= self.distance
            for value in row.matching(self.field)
            for word in ([shown(value)] if self.only_whole else tokens(shown(value)))
        )


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


def _within_repeated(places: list[list[int]], slop: int) -> bool:
    """As `_within` where two words may stand at one place: each is wanted at a place of its own."""
    for low in sorted({place - i for i, found in enumerate(places) for place in found}):
        taken: set[int] = set()
        # The windows of one word are equally long, so the first free place serves the first window best.
        for i, found in enumerate(places):
            own = next((p for p in found if low + i <= p <= low + i + slop and p not in taken), None)
            if own is None:
                break
            taken.add(own)
        else:
            return True
    return False
