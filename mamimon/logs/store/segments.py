"""Columns over many blocks at once, by which lines are told apart and counted without opening a block.

A segment covers some tens of thousands of neighbouring lines. Of each path of their documents it has
the distinct values, and which of them each line has. Where there are too many values it has their
shapes instead: their words in order, the rare ones left open. Where there are too many of those it has,
for each common word, which lines hold it. What a line says that this cannot hold (`odd`, `beside`) is
marked, and such lines are read. Numbers of what was tried: docs/decisions.md.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import msgspec
import numpy as np

from mamimon.logs.store.blocks import Block, compress, decompress

ROWS = 65_536
"""Lines of a segment, at most: positions in it are 16 bits wide."""
MOST_VALUES = 1_000
"""Distinct values of a path, but where all are numbers, of which there may be more."""
SCHEMA = """
CREATE TABLE segment (id INTEGER PRIMARY KEY, first_seq INTEGER NOT NULL, rows INTEGER NOT NULL,
  about BLOB NOT NULL);
CREATE INDEX segment_seq ON segment (first_seq);
CREATE TABLE segment_column (segment INTEGER, number INTEGER, dictionary BLOB, data BLOB NOT NULL);
CREATE INDEX segment_column_number ON segment_column (segment, number);
CREATE TABLE segment_words (segment INTEGER, first TEXT, data BLOB NOT NULL);
CREATE INDEX segment_words_first ON segment_words (segment, first);
"""
COMMON, MINUTES, LEVELS, DATASETS, PATTERNS, ODD, BESIDE = range(-7, 0)
"""Columns that are no path: what the block's head says, lines not to be trusted, lines with other paths;
`COMMON` are the words of which the segment knows all lines, with the beginnings of all others."""
VALUES, SHAPES, WORDS = range(3)
"""What a segment has of a path: numbers of its values, numbers of their shapes, lines of common words."""
BEGINNING = 3
"""So many letters of each rare word are kept, to tell of a beginning that no rare word has it."""
OPEN, DIGITS, BETWEEN = "?", "#", "|"
"""In a shape: a rare word, one that begins with a digit, what keeps two texts apart."""


class About(msgspec.Struct, array_like=True, gc=False):
    """What a segment has: its paths by number and what it has of each, its first minute."""

    paths: list[str]
    kinds: list[int]
    minute: int
    beside: bool
    odd: bool
    patterns: bool
    """Whether the patterns are numbered."""


_read_about = msgspec.json.Decoder(About).decode


class Segment:
    """A segment that is being read; columns are fetched when first asked for."""

    def __init__(self, raw: sqlite3.Connection, number: int, first_seq: int, rows: int) -> None:
        self._raw = raw
        self._number = number
        self.first_seq = first_seq
        self.rows = rows
        self._fetched: dict[int, Any] = {}
        self._values: dict[int, list[Any]] = {}
        self._words: dict[str, dict[int, Any]] = {}
        self._rare: frozenset[str] | None = None

    def forget(self) -> None:
        """Let go of what was fetched."""
        self._fetched.clear()
        self._values.clear()
        self._words.clear()

    @cached_property
    def about(self) -> About:
        """What there is."""
        found = self._raw.execute("SELECT about FROM segment WHERE id=?", (self._number,)).fetchone()
        return _read_about(decompress(found[0]))

    @cached_property
    def numbers(self) -> dict[str, int]:
        """The numbers of the paths."""
        return {path: number for number, path in enumerate(self.about.paths)}

    def values(self, number: int) -> list[Any]:
        """The distinct values or shapes of a column."""
        known = self._values.get(number)
        if known is None:
            known = self._values[number] = msgspec.json.decode(self.dictionary(number))
        return known

    def codes(self, number: int) -> Any:
        """Of each line the number of its value in a column; 0 is none."""
        known = self._fetched.get(number)
        if known is None:
            known = self._fetched[number] = _codes(decompress(self._read(number)[1]))
        return known

    def dictionary(self, number: int) -> bytes:
        """`values` as JSON."""
        return decompress(self._read(number)[0])

    def bits(self, number: int) -> Any:
        """A column of truths: which lines have a path, or are `ODD` or `BESIDE`."""
        known = self._fetched.get(number)
        if known is None:
            known = self._fetched[number] = _bits(self._read(number)[1], self.rows)
        return known

    def present(self, number: int) -> Any:
        """Which lines have a path."""
        return self.bits(number) if self.about.kinds[number] == WORDS else self.codes(number) != 0

    @property
    def minutes(self) -> Any:
        """The minute of each line since the epoch."""
        return self.codes(MINUTES).astype(np.int64) + self.about.minute

    @property
    def times(self) -> Any:
        """The time of each line in microseconds, from the heads of its blocks."""
        heads = self._raw.execute(
            "SELECT first_seq, head FROM block JOIN body USING (id) WHERE first_seq >= ? AND first_seq < ?"
            " ORDER BY first_seq",
            (self.first_seq, self.first_seq + self.rows),
        )
        return np.concatenate([Block(first, head, None).times_array() for first, head in heads])

    @cached_property
    def common(self) -> frozenset[str]:
        """The words that are spelled out wherever they stand."""
        return frozenset(msgspec.json.decode(self.dictionary(COMMON)))

    def rare(self, beginning: str) -> bool:
        """Whether a word that is not common may begin so."""
        if self._rare is None:
            self._rare = frozenset(msgspec.json.decode(decompress(self._read(COMMON)[1])))
        if len(beginning) >= BEGINNING:
            return beginning[:BEGINNING] in self._rare
        return any(one.startswith(beginning) for one in self._rare)

    def word(self, word: str) -> dict[int, Any]:
        """By path of `WORDS` which lines hold a common word there."""
        if word not in self._words:
            self._words[word] = self._word(word)
        return self._words[word]

    def _word(self, word: str) -> dict[int, Any]:
        found = self._raw.execute(
            "SELECT data FROM segment_words WHERE segment=? AND first<=? ORDER BY first DESC LIMIT 1",
            (self._number, word),
        ).fetchone()
        if found is None:
            return {}
        data: bytes = found[0]
        start = 4 + int.from_bytes(data[:4], "little")
        places = msgspec.json.decode(decompress(data[4:start]), type=dict[str, list[tuple[int, int, int]]])
        return {
            path: _bits(data[start + at : start + at + size], self.rows)
            for path, at, size in places.get(word, ())
        }

    def _read(self, number: int) -> tuple[bytes, bytes]:
        found: tuple[bytes, bytes] = self._raw.execute(
            "SELECT dictionary, data FROM segment_column WHERE segment=? AND number=?", (self._number, number)
        ).fetchone()
        return found


def known(raw: sqlite3.Connection) -> bool:
    """Whether a day can have columns: one that an earlier version began is read line by line."""
    return raw.execute("SELECT 1 FROM sqlite_master WHERE name='segment'").fetchone() is not None


class Segments:
    """The segments of a day."""

    def __init__(self, raw: sqlite3.Connection) -> None:
        found = (
            raw.execute("SELECT id, first_seq, rows FROM segment ORDER BY first_seq") if known(raw) else ()
        )
        self.all = [Segment(raw, *one) for one in found]

    def places(self, firsts: Sequence[int]) -> Any:
        """Which of the segments covers each block, given by its first line; -1 for none."""
        starts = np.array([one.first_seq for one in self.all], np.int64)
        ends = np.array([one.first_seq + one.rows for one in self.all], np.int64)
        found = np.searchsorted(starts, firsts, "right") - 1
        return np.where((found >= 0) & (np.asarray(firsts, np.int64) < ends[found]), found, -1)


class Packed(msgspec.Struct):
    """A segment that is ready to be written."""

    rows: int
    about: bytes
    columns: list[tuple[int, bytes | None, bytes]]
    words: list[tuple[str, bytes]]

    def write(self, raw: sqlite3.Connection, first_seq: int) -> None:
        """Write it; its first line has this number."""
        number = raw.execute(
            "INSERT INTO segment (first_seq, rows, about) VALUES (?, ?, ?)",
            (first_seq, self.rows, self.about),
        ).lastrowid
        raw.executemany(
            "INSERT INTO segment_column VALUES (?, ?, ?, ?)", [(number, *one) for one in self.columns]
        )
        raw.executemany("INSERT INTO segment_words VALUES (?, ?, ?)", [(number, *one) for one in self.words])


def packed_bits(bits: Any) -> bytes:
    """Truths of lines, compressed."""
    return compress(np.packbits(bits).tobytes())


def packed_codes(codes: Any) -> bytes:
    """Numbers of lines, compressed, in one byte each where that is enough."""
    small = codes.astype(np.uint8 if int(codes.max(initial=0)) < 256 else np.uint16)
    # The head is as long as a number, so that the numbers lie where they can be read in place.
    return compress(bytes((small.itemsize,)) * small.itemsize + small.tobytes())


def _codes(data: bytes) -> Any:
    return np.frombuffer(data, np.uint8 if data[0] == 1 else np.uint16)[1:]


def _bits(data: bytes, rows: int) -> Any:
    return np.unpackbits(np.frombuffer(decompress(data), np.uint8), count=rows).view(np.bool_)
