"""Makes segments (`segments`) of the lines of blocks that will not change any more."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec
import numpy as np

from mamimon.logs.store import segments
from mamimon.logs.store.blocks import Columns, compress
from mamimon.logs.store.segments import (
    BESIDE,
    BETWEEN,
    COMMON,
    DATASETS,
    DIGITS,
    LEVELS,
    MINUTES,
    ODD,
    OPEN,
    PATTERNS,
    SHAPES,
    VALUES,
    WORDS,
    About,
    Packed,
)
from mamimon.logs.text import fold, leaves, shown

_LEVEL = 6
PATHS = 100
# A word is common that is in one of so many lines.
_OFTEN = 512
_WORDS_BYTES = 48 << 10
# Between the values of lines, and between those of one line.
_LINE, _NEXT = "\x00", "\x01"
_TOKEN = re.compile(r"\w+|[\x00\x01]")
_AT_ONCE = 4_096
_NUMBERS = frozenset((int, float))
_decode = msgspec.json.Decoder().decode


class _Path:
    """The values of a path so far: numbered, until there are too many of them."""

    __slots__ = ("at", "codes", "known", "numbers", "texts", "values")

    def __init__(self) -> None:
        self.numbers = True
        """Whether all values are numbers, of which there may be many."""
        self.at: list[int] = []
        self.codes: list[int] = []
        self.known: dict[Any, int] | None = {}
        self.values: list[Any] = []
        self.texts: list[Any] = []

    def add(self, line: int, value: Any) -> None:
        """A line's value, or list of values."""
        self.at.append(line)
        if self.known is None:
            self.texts.append(value)
            return
        # 1, 1.0 and True are one key of a dict, and three values.
        key = value if type(value) is str else _key(value)
        code = self.known.get(key)
        if code is None:
            self.values.append(value)
            self.numbers = self.numbers and type(value) in _NUMBERS
            code = self.known[key] = len(self.values)
        self.codes.append(code)
        if code > segments.MOST_VALUES and not self.numbers:
            self.spell_out()

    def settle(self, rows: int) -> None:
        """Whether values are numbered, now that all are there."""
        if self.known is not None:
            try:
                msgspec.json.encode(self.values)
            except (OverflowError, ValueError):
                # A number that is too long for JSON.
                self.spell_out()
            else:
                if len(self.values) > max(64, rows // (2 if self.numbers else 16)):
                    self.spell_out()

    def spell_out(self) -> None:
        """Keep the texts instead of the numbers of values."""
        self.known = None
        self.texts = [self.values[code - 1] for code in self.codes]
        self.codes, self.values = [], []


class Builder:
    """Takes the rows of neighbouring blocks and writes them as one segment."""

    def __init__(self) -> None:
        self.rows = 0
        self._times: list[int] = []
        self._levels: list[bytes] = []
        self._datasets: list[int] = []
        self._patterns = _Path()
        self._paths: dict[str, _Path] = {}
        self._odd: list[int] = []
        self._beside: list[int] = []

    def add(self, rows: Columns) -> None:
        """The rows of a block."""
        self._times += rows.times
        self._levels.append(rows.levels)
        self._datasets += rows.datasets
        for line, (raw, pattern) in enumerate(
            zip(rows.body.split(b"\n"), rows.patterns, strict=True), self.rows
        ):
            if pattern:
                self._patterns.add(line, pattern)
            if not self._line(line, raw):
                self._odd.append(line)
        self.rows += len(rows.times)

    def _line(self, line: int, raw: bytes) -> bool:
        """Note what a line says; False where it is to be read by who wants to know."""
        try:
            document = _decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return False
        if type(document) is not dict or b'"":' in raw:
            return False
        nested = False
        paths = self._paths
        for key, value in document.items():
            if type(value) is dict or type(value) is list:
                nested = True
            elif value is not None:
                path = paths.get(key)
                if path is None and (path := self._new(key)) is None:
                    self._beside.append(line)
                else:
                    path.add(line, value)
        return not nested or self._nested(line, document)

    def _new(self, key: str) -> _Path | None:
        if len(self._paths) >= PATHS:
            return None
        path = self._paths[key] = _Path()
        return path

    def _nested(self, line: int, document: dict[str, Any]) -> bool:
        found: dict[str, list[Any]] = {}
        for key, value in document.items():
            if type(value) is dict or type(value) is list:
                for name, leaf in leaves(value, key):
                    found.setdefault(name, []).append(leaf)
        whole = True
        for name, values in found.items():
            path = self._paths.get(name) or self._new(name)
            if path is None:
                self._beside.append(line)
            elif path.at and path.at[-1] == line:
                # `{"a.b": 1, "a": {"b": 2}}`: the order of values is the line's own business.
                whole = False
            else:
                path.add(line, values[0] if len(values) == 1 else values)
        return whole

    def pack(self) -> Packed | None:
        """The segment as it is stored; None where the lines' times lie too far from one another."""
        rows = self.rows
        minutes = np.array(self._times, np.int64) // 60_000_000
        base = int(minutes.min())
        if int(minutes.max()) - base > 0xFFFF:
            return None
        columns: list[tuple[int, bytes | None, bytes]] = [
            (MINUTES, None, segments.packed_codes((minutes - base).astype(np.uint16))),
            (LEVELS, None, segments.packed_codes(np.frombuffer(b"".join(self._levels), np.uint8))),
            (DATASETS, None, segments.packed_codes(np.array(self._datasets, np.uint16))),
            (ODD, None, segments.packed_bits(_marked(self._odd, rows))),
            (BESIDE, None, segments.packed_bits(_marked(self._beside, rows))),
        ]
        patterned = not self._patterns.at or self._patterns.known is not None
        if patterned:
            columns.append((PATTERNS, *_numbered(self._patterns, rows)))
        paths = list(self._paths.values())
        for path in paths:
            path.settle(rows)
        common, rare = _common(paths, rows)
        kinds: list[int] = []
        words: dict[str, list[tuple[int, list[int]]]] = {word: [] for word in sorted(common)}
        for number, path in enumerate(paths):
            kind, dictionary, data = _column(path, common, rows)
            kinds.append(kind)
            columns.append((number, dictionary, data))
            if kind == WORDS:
                for word, lines in _words(path, common).items():
                    words[word].append((number, lines))
        listed = [compress(msgspec.json.encode(sorted(one))) for one in (common, rare)]
        columns.append((COMMON, listed[0], listed[1]))
        about = About(list(self._paths), kinds, base, bool(self._beside), bool(self._odd), patterned)
        return Packed(rows, compress(msgspec.json.encode(about)), columns, list(_chunks(words, rows)))


def _key(value: Any) -> tuple[Any, ...]:
    return ("[", *map(_spelled, value)) if type(value) is list else (shown(value),)


def _spelled(value: Any) -> Any:
    return value if type(value) is str else (shown(value),)


def _marked(at: Sequence[int], rows: int) -> Any:
    found = np.zeros(rows, np.bool_)
    found[at] = True
    return found


def _common(paths: Sequence[_Path], rows: int) -> tuple[set[str], set[str]]:
    """The words that are common, wherever they stand, and the beginnings of others; none that are digits."""
    counts: Counter[str] = Counter()
    for path in paths:
        if path.numbers:
            continue
        if path.known is None:
            for tokens in _tokens(path.texts):
                counts.update(tokens)
        else:
            for code, n in Counter(path.codes).items():
                for word in _TOKEN.findall(fold(_text(path.values[code - 1]))):
                    counts[word] += n
    least = max(2, rows // _OFTEN)
    words = {word for word in counts if not word[0].isdecimal()} - {_LINE, _NEXT}
    common = {word for word in words if counts[word] >= least}
    return common, {word[: segments.BEGINNING] for word in words - common}


def _tokens(values: Sequence[Any]) -> Iterator[list[str]]:
    """The tokens of many values with a mark before and behind each, some hundred values at a time."""
    for start in range(0, len(values), _AT_ONCE):
        texts = list(map(_text, values[start : start + _AT_ONCE]))
        whole = fold(_LINE.join(("", *texts, "")))
        if whole.count(_LINE) > len(texts) + 1:
            whole = fold(_LINE.join(("", *(text.replace(_LINE, " ") for text in texts), "")))
        yield _TOKEN.findall(whole)


def _text(value: Any) -> str:
    """What words there are in a value or a list of values."""
    if type(value) is str:
        return value.replace(_NEXT, " ") if _NEXT in value else value
    return _NEXT.join(_text(one) for one in value if type(one) is str) if type(value) is list else ""


def _column(path: _Path, common: set[str], rows: int) -> tuple[int, bytes | None, bytes]:
    """What there shall be of a path, and as it is stored."""
    if path.known is not None:
        return VALUES, *_numbered(path, rows)
    shapes = _shapes(path, common, rows)
    if shapes is not None:
        return SHAPES, *_numbered(shapes, rows)
    return WORDS, None, segments.packed_bits(_marked(path.at, rows))


def _numbered(path: _Path, rows: int) -> tuple[bytes, bytes]:
    codes = np.zeros(rows, np.uint16)
    codes[path.at] = path.codes
    return compress(msgspec.json.encode(path.values), _LEVEL), segments.packed_codes(codes)


class _Spelled(dict[str, str]):
    """How a token stands in a shape: common words as they are."""

    def __missing__(self, word: str) -> str:
        found = self[word] = DIGITS if word[0].isdecimal() else OPEN
        return found


def _shapes(path: _Path, common: set[str], rows: int) -> _Path | None:
    """The shapes of a path's texts; None where there are too many."""
    spelled = _Spelled(zip(common, common, strict=True))
    spelled |= {_LINE: _LINE, _NEXT: BETWEEN}
    spell = spelled.__getitem__
    known: dict[Any, int] = {}
    found = _Path()
    for tokens in _tokens(path.texts):
        shapes = " ".join(map(spell, tokens)).split(_LINE)[1:-1]
        found.codes += [known.setdefault(shape, len(known) + 1) for shape in shapes]
        if len(known) > max(64, rows // 16):
            return None
    found.at, found.values = path.at, list(known)
    return found


def _words(path: _Path, common: set[str]) -> dict[str, list[int]]:
    """Which lines hold a common word, by line in order."""
    found: dict[str, list[int]] = {}
    for line, value in zip(path.at, path.texts, strict=True):
        for word in common.intersection(_TOKEN.findall(fold(_text(value)))):
            found.setdefault(word, []).append(line)
    return found


def _chunks(words: dict[str, list[tuple[int, list[int]]]], rows: int) -> Iterable[tuple[str, bytes]]:
    """The common words in order, some together, each after the first of them."""
    places: dict[str, list[tuple[int, int, int]]] = {}
    pieces: list[bytes] = []
    size = 0
    first = ""
    for word, found in words.items():
        if not found:
            continue
        if not places:
            first = word
        places[word] = []
        for path, lines in found:
            piece = segments.packed_bits(_marked(lines, rows))
            places[word].append((path, size, len(piece)))
            pieces.append(piece)
            size += len(piece)
        if size > _WORDS_BYTES:
            yield first, _chunk(places, pieces)
            places, pieces, size = {}, [], 0
    if places:
        yield first, _chunk(places, pieces)


def _chunk(places: dict[str, list[tuple[int, int, int]]], pieces: list[bytes]) -> bytes:
    head = compress(msgspec.json.encode(places))
    return b"".join((len(head).to_bytes(4, "little"), head, *pieces))
