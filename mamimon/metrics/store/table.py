"""Matrices of samples that are put together only where they are looked at.

A question over a day reads a dozen chunks a target. Copying them into one matrix [series, scrapes] first
would cost more than the arithmetic that follows, so a block hands out the rows that fit the processor's
cache, or the columns of its steps, from the decoded groups where they lie.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from mamimon.metrics.model import ABSENT_NAN
from mamimon.metrics.spacing import even_step
from mamimon.metrics.store.dayfile import DayFile

if TYPE_CHECKING:
    from mamimon.metrics.store.cache import Slab

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Samples = npt.NDArray[np.float64 | np.int32]
"""Numbers; whole ones of up to 30 bits where all of them are."""


_MOST_CELLS = 4 << 20
"""Decoded samples that are held at once for columns of them, whatever the cache's budget."""


class Group:
    """A decoded column group of a chunk, or samples that are treated as one."""

    def __init__(self, values: Samples) -> None:
        self.values = values
        self.whole = values.dtype == np.int32
        self.plain = self.whole or not np.isnan(values).any()
        """No NaN of any kind: every cell is a sample."""
        self.nbytes = values.nbytes
        self.slab: Slab | None = None
        """Where its memory lies, if not by itself."""

    def floats(self, row: int) -> Floats:
        """One row."""
        return np.asarray(self.values[row], dtype=np.float64)


class Groups(Protocol):
    """Where decoded groups come from."""

    def group(self, file: DayFile, chunk: int, number: int) -> Group:
        """One group of a chunk, decoded."""
        ...

    def peek(self, file: DayFile, chunk: int, part: int) -> Group | None:
        """As `group`, if it is in memory."""
        ...

    def ahead(self, file: DayFile, chunk: int, first: int, last: int) -> None:
        """Be told which groups will be asked for."""
        ...


Rows = slice | Ints
"""Rows of a piece: a run of them, or any."""
Parts = list[tuple[Group, Rows]]
"""Groups and which of their rows."""
Part = tuple[int, list[int], int, int]
"""A chunk and which of its scrapes: its number and cuts, the first scrape, the one behind the last."""


class Piece(Protocol):
    """Some scrapes of some series, from one or several chunks, one behind the other in time."""

    shape: tuple[int, int]
    widths: list[int]
    """How many columns are from each chunk."""
    lows: list[int]
    """Where these begin in the chunk's groups."""

    def parts(self, number: int, rows: Rows) -> Parts:
        """What of a chunk has the rows, in their order."""
        ...


class Places:
    """Where some series are in the chunks that list the same series."""

    def __init__(self, places: Ints, rows: Ints) -> None:
        self.places = places
        self.rows = rows
        """Which of the wanted series each place is of."""
        self.run = int(places[-1]) - int(places[0]) + 1 == len(places)
        """They follow one another; places of chunks ascend."""
        self._split: dict[int, tuple[list[int], list[int], list[Rows]]] = {}
        self._ordered: dict[int, tuple[Places, Places]] = {}

    def like(self, other: Places) -> Places:
        """The same series in the order of another list, whose `rows` they then share; self if they differ."""
        known = self._ordered.get(id(other))
        if known is None:
            found = self
            if len(self.rows) == len(other.rows):
                order = np.argsort(self.rows)
                at = np.searchsorted(self.rows, other.rows, sorter=order)
                at = order[np.minimum(at, len(order) - 1)]
                if (self.rows[at] == other.rows).all():
                    found = Places(self.places[at], other.rows)
            known = self._ordered[id(other)] = other, found
        return known[1]

    def split(self, cuts: list[int]) -> tuple[list[int], list[Rows]]:
        """The groups that have any, and in each its rows; `cuts` are a chunk's, which never change."""
        known = self._split.get(id(cuts))
        if known is None:
            numbers: list[int] = []
            inside: list[Rows] = []
            for number, own in _by_group(self.places, cuts):
                run = int(own[-1]) - int(own[0]) + 1 == len(own)
                numbers.append(number)
                inside.append(slice(int(own[0]), int(own[-1]) + 1) if run else own)
            known = self._split[id(cuts)] = cuts, numbers, inside
        return known[1:]


def _by_group(places: Ints, cuts: list[int]) -> Iterator[tuple[int, Ints]]:
    groups = np.searchsorted(cuts, places, side="right") - 1
    edges = [0, *(np.flatnonzero(groups[1:] - groups[:-1]) + 1).tolist(), len(places)]
    for (begin, end), number in zip(pairwise(edges), groups[edges[:-1]].tolist(), strict=True):
        yield number, places[begin:end] - cuts[number]


class ChunkPiece:
    """The series at some places of sealed chunks that list the same series."""

    def __init__(self, groups: Groups, file: DayFile, chunks: list[Part], places: Places) -> None:
        self._groups = groups
        self._file = file
        self._chunks = chunks
        self._places = places
        self.widths = [high - low for _, _, low, high in chunks]
        self.lows = [low for _, _, low, _ in chunks]
        self.shape = (len(places.places), sum(self.widths))

    def parts(self, number: int, rows: Rows) -> Parts:
        """See `Piece.parts`."""
        chunk, cuts, _, _ = self._chunks[number]
        places = self._places
        numbers: Sequence[int]
        inside: Sequence[Rows]
        if isinstance(rows, slice) and rows.stop - rows.start == self.shape[0]:
            numbers, inside = places.split(cuts)
        elif isinstance(rows, slice) and places.run:
            first = int(places.places[0]) + rows.start
            last = first + rows.stop - rows.start
            numbers = range(bisect_right(cuts, first) - 1, bisect_left(cuts, last))
            inside = [slice(max(first - cuts[n], 0), min(last, cuts[n + 1]) - cuts[n]) for n in numbers]
        else:
            split = list(_by_group(places.places[rows], cuts))
            numbers, inside = [n for n, _ in split], [own for _, own in split]
        if len(numbers) == 1:
            number = numbers[0]
            group = self._groups.peek(self._file, chunk, number)
            return [(group or self._groups.group(self._file, chunk, number), inside[0])]
        return list(zip(self._found(chunk, numbers), inside, strict=True))

    def _found(self, chunk: int, numbers: Sequence[int]) -> list[Group]:
        groups, file = self._groups, self._file
        found = [groups.peek(file, chunk, number) for number in numbers]
        new = [number for number, group in zip(numbers, found, strict=True) if group is None]
        if len(new) > 1:
            groups.ahead(file, chunk, new[0], new[-1])
        return [
            groups.group(file, chunk, number) if group is None else group
            for number, group in zip(numbers, found, strict=True)
        ]


class Held:
    """Samples that are in memory: of an open window."""

    def __init__(self, values: Floats) -> None:
        self.values = values
        self.shape = (values.shape[0], values.shape[1])
        self.widths, self.lows = [values.shape[1]], [0]

    def parts(self, number: int, rows: Rows) -> Parts:
        """See `Piece.parts`."""
        return [(Group(self.values[rows]), slice(None))]


class Joined:
    """Pieces one after another in time, [series, scrapes]."""

    def __init__(self, pieces: Sequence[Piece], rows: Sequence[Ints | None], series: int) -> None:
        """`rows`: for each piece its row of each of ours, -1 where it lacks one; None: the same rows."""
        self._strips = [
            (piece, number, own)
            for piece, own in zip(pieces, rows, strict=True)
            for number in range(len(piece.widths))
        ]
        self._starts = [0, *accumulate(width for piece in pieces for width in piece.widths)]
        self.shape = (series, self._starts[-1])

    def rows(self, first: int, last: int) -> tuple[Samples, bool]:
        """Some rows whole, and whether they are free of NaN."""
        return self._made(slice(first, last), None)

    def columns(self, columns: Ints) -> tuple[Samples, bool]:
        """Some columns (ascending) of all rows, and whether they are of groups free of NaN."""
        series, width = self.shape
        size = max(1, _MOST_CELLS // max(1, width))
        if series <= size:
            return self._made(slice(0, series), columns)
        out, plain = np.empty((series, len(columns))), True
        for first in range(0, series, size):
            part = slice(first, min(first + size, series))
            out[part], own = self._made(part, columns)
            plain = plain and own
        return out, plain

    def read(self, columns: slice | Ints | None = None) -> Found:
        """See `model.Table.read`."""
        return self._find(slice(0, self.shape[0]), columns)

    def _made(self, wanted: slice, columns: Ints | None) -> tuple[Samples, bool]:
        found = self._find(wanted, columns)
        width = self.shape[1] if columns is None else len(columns)
        out: Samples = np.empty((wanted.stop - wanted.start, width), np.int32 if found.whole else np.float64)
        found.write(out)
        return out, found.plain

    def _find(self, wanted: slice, columns: slice | Ints | None) -> Found:
        edges = self._starts
        begin = apart = 0
        if isinstance(columns, slice):
            begin, end = columns.start, columns.stop
            edges = [min(max(start, begin), end) - begin for start in edges]
        elif columns is not None:
            edges = np.searchsorted(columns, edges).tolist()
            apart = even_step(columns)  # a stride is copied in a third of the time of a list
        out = Found()
        for place, (piece, number, rows) in enumerate(self._strips):
            first, last = edges[place], edges[place + 1]
            if first == last:
                continue
            if rows is None:
                parts, there = piece.parts(number, wanted), None
            else:
                parts, there = _parts(piece, number, rows[wanted])
            low = piece.lows[number]
            if columns is None or isinstance(columns, slice):
                low += begin + first - self._starts[place]
                out.add(parts, there, first, last, slice(low, low + last - first))
                continue
            low -= self._starts[place]
            if apart:
                own = slice(int(columns[first]) + low, int(columns[last - 1]) + low + 1, apart)
                out.add(parts, there, first, last, own)
            else:
                out.add(parts, there, first, last, columns[first:last] + low)
        return out


class Found:
    """See `model.Reading`."""

    def __init__(self) -> None:
        self.whole = self.plain = True
        self._parts: list[tuple[Parts, Bools | None, int, int, slice | Ints]] = []

    def add(self, parts: Parts, there: Bools | None, first: int, last: int, columns: slice | Ints) -> None:
        """Columns [first, last) are `columns` of these groups, which lack the rows that are not `there`."""
        self._parts.append((parts, there, first, last, columns))
        if there is not None:
            self.plain = self.whole = False
        for group, _ in parts:
            if not group.whole:
                self.whole = False
                self.plain = self.plain and group.plain

    def write(self, out: Samples) -> None:
        """See `model.Reading.write`."""
        for parts, there, first, last, columns in self._parts:
            if there is None and len(parts) == 1 and isinstance(columns, slice):
                group, rows = parts[0]
                out[:, first:last] = group.values[rows, columns]
                continue
            target = out[:, first:last]
            if there is None:
                _copy(parts, target, columns)
                continue
            target[~there] = ABSENT_NAN
            own = np.empty((int(there.sum()), last - first))
            _copy(parts, own, columns)
            target[there] = own


Bools = npt.NDArray[np.bool_]


def _parts(piece: Piece, number: int, rows: Ints) -> tuple[Parts, Bools | None]:
    """The parts of some rows, -1 what it lacks, and which of the rows the piece has (None: all)."""
    there = rows >= 0
    if there.all():
        return piece.parts(number, rows), None
    return piece.parts(number, rows[there]) if there.any() else [], there


def _copy(parts: Parts, out: Samples, columns: slice | Ints) -> None:
    at = 0
    for group, rows in parts:
        if isinstance(columns, slice):
            found = group.values[rows, columns]
        else:
            found = np.take(group.values[rows], columns, axis=1, mode="clip")
        out[at : at + len(found)] = found
        at += len(found)
