"""Blocks: some hundred lines compressed together, with what is asked most (time, level, dataset) apart.

A block is two blobs. The head holds, a row each, time as a difference, level, dataset, length and pattern;
counting and filtering by those never opens the body. The body is the JSON lines, joined by
newlines. Measured on 335-byte lines: a head costs 20 µs to read, a body 120 µs.
"""

from __future__ import annotations

import threading
from array import array
from collections.abc import Callable, Collection, Iterable, Sequence, Set
from itertools import pairwise
from operator import itemgetter
from typing import Any

import msgspec
import numpy as np

from mamimon.logs.clauses.needles import is_odd

_LEVEL = 3
_LARGEST_BODY = 1 << 30
_local = threading.local()


class Line(msgspec.Struct, frozen=True, gc=False):
    """A row on its way into a block."""

    time_us: int
    level: int
    dataset: int
    raw: bytes
    pattern: int = 0


class Block:
    """A block read back; `body` is decompressed when first asked for, unless it is handed in."""

    __slots__ = (
        "_body", "_deltas", "_folded", "_odd", "_packed", "_starts", "_times", "datasets", "first_seq",
        "known", "lengths", "levels", "patterns", "place",
    )  # fmt: skip

    def __init__(
        self, first_seq: int, head: bytes, packed: bytes | None, body: bytes | None = None, *,
        odd: bool | None = None,
    ) -> None:  # fmt: skip
        self.first_seq = first_seq
        self._deltas, self.levels, self.datasets, self.lengths, self.patterns = _read_head(head)
        self.place = 0
        """Where in the body the first needle of a search was found; 0 is not known."""
        self.known: tuple[Sequence[int], Set[int]] | None = None
        """Positions that may match and those that surely do, where a segment says so."""
        self._times: list[int] | None = None
        self._starts: list[int] | None = None
        self._packed = packed
        self._body = body
        self._folded: bytes | None = None
        self._odd = odd

    def __len__(self) -> int:
        return len(self.levels)

    @property
    def times(self) -> list[int]:
        """Each row's time in microseconds."""
        if self._times is None:
            self._times = self.times_array().tolist()
        return self._times

    def times_array(self) -> Any:
        """`times` as an array of numpy, and not remembered."""
        return np.cumsum(np.frombuffer(self._deltas, np.int64))

    @property
    def body(self) -> bytes:
        """The JSON lines, joined by newlines."""
        if self._body is None:
            assert self._packed is not None
            self._body = decompress(self._packed)
            self._packed = None
        return self._body

    @property
    def starts(self) -> list[int]:
        """Where each line begins in the body."""
        if self._starts is None:
            # Each line is followed by one newline, so a line starts one after the sum of those before.
            behind = np.cumsum(np.frombuffer(self.lengths, np.uint32).astype(np.int64) + 1)
            self._starts = [0, *behind[:-1].tolist()]
        return self._starts

    @property
    def folded(self) -> bytes:
        """The body as `fold_bytes` makes it, by numpy, which is seven times as fast and lets others run."""
        if self._folded is None:
            self._folded = np.bitwise_or(np.frombuffer(self.body, np.uint8), np.uint8(0x20)).tobytes()
        return self._folded

    @property
    def odd(self) -> bool:
        """See `is_odd`."""
        if self._odd is None:
            self._odd = is_odd(self.body)
        return self._odd

    def raw(self, position: int) -> bytes:
        """One JSON line."""
        start = self.starts[position]
        return self.body[start : start + self.lengths[position]]


class Columns(msgspec.Struct):
    """Rows by column, as a block keeps them."""

    times: list[int]
    levels: bytes
    datasets: array[int]
    lengths: array[int]
    patterns: array[int]
    body: bytes

    def pack(self, level: int = _LEVEL) -> tuple[bytes, bytes]:
        """The head and the body of a block, compressed by zstd at a level."""
        head = b"".join(
            (
                len(self.times).to_bytes(4, "little"),
                array("q", [self.times[0], *(b - a for a, b in pairwise(self.times))]).tobytes(),
                self.levels,
                self.datasets.tobytes(),
                self.lengths.tobytes(),
                self.patterns.tobytes(),
            )
        )
        compressor = _compressor(level)
        return compressor.compress(head), compressor.compress(self.body)


def columns_of(lines: Sequence[Line]) -> Columns:
    """Rows by column."""
    return Columns(
        [line.time_us for line in lines],
        bytes([line.level for line in lines]),
        array("H", [line.dataset for line in lines]),
        array("I", [len(line.raw) for line in lines]),
        array("I", [line.pattern for line in lines]),
        join(lines),
    )


def merged(blocks: Sequence[Block], erased: Callable[[int, int], bool]) -> Columns:
    """Several blocks as one; rows that are `erased` (by row number and dataset) keep nothing but `{}`."""
    times: list[int] = []
    datasets, lengths, patterns = array("H"), array("I"), array("I")
    bodies: list[bytes] = []
    for block in blocks:
        gone = [i for i in range(len(block)) if erased(block.first_seq + i, block.datasets[i])]
        if gone:
            raws = [block.raw(i) for i in range(len(block))]
            for i in gone:
                raws[i] = b"{}"
            bodies.append(b"\n".join(raws))
            lengths.extend(len(raw) for raw in raws)
        else:
            bodies.append(block.body)
            lengths.extend(block.lengths)
        times += block.times
        datasets.extend(block.datasets)
        patterns.extend(block.patterns)
    levels = b"".join(block.levels for block in blocks)
    return Columns(times, levels, datasets, lengths, patterns, b"\n".join(bodies))


def pack(lines: Sequence[Line]) -> tuple[bytes, bytes]:
    """The head and the body of a block."""
    return columns_of(lines).pack()


def join(lines: Iterable[Line]) -> bytes:
    """The JSON lines as a block's body holds them."""
    return b"\n".join(line.raw for line in lines)


def unpack(head: bytes, body: bytes) -> list[Line]:
    """The rows of a block, as they were packed."""
    block = Block(0, head, body)
    return [
        Line(block.times[i], block.levels[i], block.datasets[i], block.raw(i), block.patterns[i])
        for i in range(len(block))
    ]


def newest_first(block: Block, positions: Collection[int]) -> list[int]:
    """Positions ordered by time, and by arrival where times are equal, the newest first."""
    if len(positions) < 2:
        return list(positions)
    keyed = [(block.times[i], i) for i in positions]
    keyed.sort(reverse=True)
    return list(map(itemgetter(1), keyed))


def compress(data: bytes, level: int = _LEVEL) -> bytes:
    """Bytes packed by zstd at a level."""
    packed: bytes = _compressor(level).compress(data)
    return packed


def decompress(packed: bytes) -> bytes:
    """A head's or a body's bytes; lets other threads run meanwhile."""
    found: bytes = _decompressor().decompress(packed, max_output_size=_LARGEST_BODY)
    return found


def _read_head(packed: bytes) -> tuple[array[int], bytes, array[int], array[int], array[int]]:
    head = decompress(packed)
    rows = int.from_bytes(head[:4], "little")
    at = 4
    deltas = array("q")
    deltas.frombytes(head[at : at + 8 * rows])
    at += 8 * rows
    levels = head[at : at + rows]
    at += rows
    datasets = array("H")
    datasets.frombytes(head[at : at + 2 * rows])
    at += 2 * rows
    lengths = array("I")
    lengths.frombytes(head[at : at + 4 * rows])
    at += 4 * rows
    patterns = array("I")
    patterns.frombytes(head[at : at + 4 * rows])
    return deltas, levels, datasets, lengths, patterns


def _compressor(level: int) -> Any:
    known: dict[int, Any] = _local.__dict__.setdefault("compressors", {})
    if level not in known:
        import zstandard

        known[level] = zstandard.ZstdCompressor(level=level)
    return known[level]


def _decompressor() -> Any:
    if not hasattr(_local, "decompressor"):
        import zstandard

        _local.decompressor = zstandard.ZstdDecompressor()
    return _local.decompressor
