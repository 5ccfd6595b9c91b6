"""When the counters of samples began, as far as senders and targets say it (`metrics.start_timestamps`).

A counter's beginning is the same for all its samples until it is reset, so only its changes are kept: by
column a list of instants and the beginning that holds from each on; 0 is "nobody said". A chunk's lists
lie in one blob.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping

import msgspec
import numpy as np
import numpy.typing as npt

from mamimon.metrics.store import codec

Ints = npt.NDArray[np.int64]
pack_changes = msgspec.msgpack.Encoder().encode
"""A row's changes (column → ms) for the write-ahead log."""
unpack_changes = msgspec.msgpack.Decoder(dict[int, int]).decode
"""Undo `pack_changes`."""


class _Blob(msgspec.Struct, array_like=True):
    places: bytes
    counts: bytes
    instants: bytes
    began: bytes


_decode = msgspec.msgpack.Decoder(_Blob).decode


class Starts:
    """The changes of one head or chunk by column (chunk: by place)."""

    def __init__(self) -> None:
        self._changes: dict[int, tuple[list[int], list[int]]] = {}

    def __bool__(self) -> bool:
        return bool(self._changes)

    def at(self, column: int, at: int) -> int:
        """The beginning that holds for a column's sample at an instant (ms, ms)."""
        instants, began = self._changes.get(column, ((), ()))
        number = bisect_right(instants, at)
        return began[number - 1] if number else 0

    def changes(self, at: int, columns: Ints, began: Ints | None) -> dict[int, int]:
        """What samples at an instant change; `began` None says nothing of any."""
        given = [0] * len(columns) if began is None else began.tolist()
        out: dict[int, int] = {}
        for column, start in zip(columns.tolist(), given, strict=True):
            if column not in out and self.at(column, at) != start:
                out[column] = start
        return out

    def apply(self, at: int, changes: Mapping[int, int], following: int | None) -> None:
        """Take changes in; what held before holds again for the sample at `following`, if one is there."""
        for column, start in changes.items():
            instants, began = self._changes.setdefault(column, ([], []))
            number = bisect_right(instants, at)
            before = began[number - 1] if number else 0
            instants.insert(number, at)
            began.insert(number, start)
            later = instants[number + 1] if number + 1 < len(instants) else None
            if following is not None and (later is None or later > following):
                instants.insert(number + 1, following)
                began.insert(number + 1, before)

    def rows(self, columns: Ints, times: Ints) -> Ints | None:
        """[columns, times] of beginnings; None if nothing is known of any of them."""
        out: Ints | None = None
        for row, column in enumerate(columns.tolist()):
            known = self._changes.get(column)
            if known is None:
                continue
            number = np.searchsorted(np.asarray(known[0], dtype=np.int64), times, side="right")
            if number.any():
                if out is None:
                    out = np.zeros((len(columns), len(times)), dtype=np.int64)
                out[row] = np.asarray([0, *known[1]], dtype=np.int64)[number]
        return out

    def encode(self, order: Ints) -> bytes:
        """As a chunk keeps them, its places being the columns in `order`; empty for none."""
        found = [(place, self._changes[c]) for place, c in enumerate(order.tolist()) if c in self._changes]
        if not found:
            return b""
        counts = [len(instants) for _, (instants, _) in found]
        return msgspec.msgpack.encode(
            _Blob(
                np.asarray([place for place, _ in found], dtype=np.int32).tobytes(),
                np.asarray(counts, dtype=np.int32).tobytes(),
                codec.encode_times(np.asarray([at for _, (instants, _) in found for at in instants])),
                codec.encode_times(np.asarray([one for _, (_, began) in found for one in began])),
            )
        )


def decode(blob: bytes) -> Starts:
    """Undo `Starts.encode`."""
    found = _decode(blob)
    out = Starts()
    instants, began = codec.decode_times(found.instants).tolist(), codec.decode_times(found.began).tolist()
    at = 0
    counts = np.frombuffer(found.counts, np.int32).tolist()
    for place, count in zip(np.frombuffer(found.places, np.int32).tolist(), counts, strict=True):
        out._changes[place] = instants[at : at + count], began[at : at + count]
        at += count
    return out
