"""Matrices of samples that are put together only where they are looked at.

A question over a day reads a dozen chunks a target. Copying them into one matrix [series, scrapes] first
would cost more than the arithmetic that follows, so a block hands out the rows that fit the processor's
cache, or the columns of its steps, from the decoded groups where they lie.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Protocol
from weakref import WeakValueDictionary

import numpy as np
import numpy.typing as npt

from mamimon.metrics.model import ABSENT_NAN
from mamimon.metrics.store.chunk import Chunk
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

    def ahead(self, file: DayFile, chunk: int, first: int, last: int) -> None:
        """Be told which groups will be asked for."""
        ...


Rows = slice | Ints
"""Rows of a piece: a run of them, or any."""
Parts = list[tuple[Group, Rows]]
"""Groups and which of their rows."""


class Piece(Protocol):
    """Part of a table: some scrapes of some series."""

    shape: tuple[int, int]
    low: int
    """Where its columns begin in its groups."""

    def parts(self, rows: Rows) -> Parts:
        """What has the rows, in their order."""
        ...


class ChunkPiece:
    """The series at `places` of a sealed chunk, columns [low, high)."""

    def __init__(
        self, groups: Groups, file: DayFile, chunk: Chunk, places: Ints, low: int, high: int
    ) -> None:
        self._groups = groups
        self._file = file
        self._chunk = chunk.id
        self._cuts = chunk.cuts
        self._places = places
        self._known: WeakValueDictionary[int, Group] = WeakValueDictionary()
        self.low = low
        self._run = int(places[-1]) - int(places[0]) + 1 == len(places)
        self.shape = (len(places), high - low)

    def parts(self, rows: Rows) -> Parts:
        """See `Piece.parts`."""
        if isinstance(rows, slice) and self._run:
            begin, cuts = int(self._places[0]), self._cuts
            first, last = begin + rows.start, begin + rows.stop
            numbers = range(bisect_right(cuts, first) - 1, bisect_left(cuts, last))
            new = [number for number in numbers if number not in self._known]
            if len(new) > 1:
                self._groups.ahead(self._file, self._chunk, new[0], new[-1])
            return [
                (
                    self._known.get(number) or self._group(number),
                    slice(max(first - cuts[number], 0), min(last, cuts[number + 1]) - cuts[number]),
                )
                for number in numbers
            ]
        places = self._places[rows]
        groups = np.searchsorted(self._cuts, places, side="right") - 1
        edges = [0, *(np.flatnonzero(np.diff(groups)) + 1).tolist(), len(places)]
        return [
            (self._group(number), places[begin:end] - self._cuts[number])
            for (begin, end), number in zip(pairwise(edges), groups[edges[:-1]].tolist(), strict=True)
        ]

    def _group(self, number: int) -> Group:
        found = self._known[number] = self._groups.group(self._file, self._chunk, number)
        return found


class Held:
    """Samples that are in memory: of an open window."""

    low = 0

    def __init__(self, values: Floats) -> None:
        self.values = values
        self.shape = (values.shape[0], values.shape[1])

    def parts(self, rows: Rows) -> Parts:
        """See `Piece.parts`."""
        return [(Group(self.values[rows]), slice(None))]


class Joined:
    """Pieces one after another in time, [series, scrapes]."""

    def __init__(self, pieces: Sequence[Piece], rows: Sequence[Ints | None], series: int) -> None:
        self._pieces = pieces
        self._rows = rows
        """For each piece its row of each of ours, -1 where it lacks the series; None: the same rows."""
        self._starts = [0, *accumulate(piece.shape[1] for piece in pieces)]
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

    def read(self, columns: Ints | None = None) -> Found:
        """See `model.Table.read`."""
        return self._find(slice(0, self.shape[0]), columns)

    def _made(self, wanted: slice, columns: Ints | None) -> tuple[Samples, bool]:
        found = self._find(wanted, columns)
        width = self.shape[1] if columns is None else len(columns)
        out: Samples = np.empty((wanted.stop - wanted.start, width), np.int32 if found.whole else np.float64)
        found.write(out)
        return out, found.plain

    def _find(self, wanted: slice, columns: Ints | None) -> Found:
        edges = self._starts
        if columns is not None:
            edges = np.searchsorted(columns, edges).tolist()
        out = Found()
        for number, (piece, rows) in enumerate(zip(self._pieces, self._rows, strict=True)):
            first, last = edges[number], edges[number + 1]
            if first == last:
                continue
            parts, there = _parts(piece, rows, wanted)
            own = None if columns is None else columns[first:last] - (self._starts[number] - piece.low)
            out.add(piece, parts, there, first, last, own)
        return out


class Found:
    """See `model.Reading`."""

    def __init__(self) -> None:
        self.whole = self.plain = True
        self._parts: list[tuple[Piece, Parts, Bools | None, int, int, Ints | None]] = []

    def add(
        self, piece: Piece, parts: Parts, there: Bools | None, first: int, last: int, columns: Ints | None
    ) -> None:
        """Columns [first, last) are of this piece, and `columns` of it, by default all."""
        self._parts.append((piece, parts, there, first, last, columns))
        if there is not None:
            self.plain = self.whole = False
        for group, _ in parts:
            self.plain = self.plain and group.plain
            self.whole = self.whole and group.whole

    def write(self, out: Samples) -> None:
        """See `model.Reading.write`."""
        for piece, parts, there, first, last, columns in self._parts:
            _place(piece, parts, there, out[:, first:last], columns)


Bools = npt.NDArray[np.bool_]


def _parts(piece: Piece, rows: Ints | None, wanted: slice) -> tuple[Parts, Bools | None]:
    """The parts of some rows, and which of the rows the piece has (None: all)."""
    if rows is None:
        return piece.parts(wanted), None
    own = rows[wanted]
    there = own >= 0
    if there.all():
        return piece.parts(own), None
    return piece.parts(own[there]) if there.any() else [], there


def fill(piece: Piece, out: Floats, rows: slice, columns: Ints | None) -> None:
    """Write rows of a piece, and of these some columns, into `out`."""
    own = None if columns is None else columns + piece.low
    _place(piece, piece.parts(rows), None, out, own)


def _place(piece: Piece, parts: Parts, there: Bools | None, out: Samples, columns: Ints | None) -> None:
    target = out
    if there is not None:
        out[~there] = ABSENT_NAN
        target = np.empty((int(there.sum()), out.shape[1]))
    at = 0
    for group, rows in parts:
        found = group.values[rows]
        if columns is None:
            found = found[:, piece.low : piece.low + piece.shape[1]]
        else:
            found = np.take(found, columns, axis=1, mode="clip")
        target[at : at + len(found)] = found
        at += len(found)
    if there is not None:
        out[there] = target
