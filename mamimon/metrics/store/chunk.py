"""What is known of a sealed chunk without reading its samples."""

from __future__ import annotations

from bisect import bisect_right

import msgspec
import numpy as np
import numpy.typing as npt


class Chunk(msgspec.Struct, eq=False):
    """A sealed chunk's description; its parts stay on disk until asked for."""

    id: int
    source: int
    start: int
    end: int
    times: npt.NDArray[np.int64]
    ids: npt.NDArray[np.int32]
    """Series ids in the order of the parts."""
    cuts: list[int]
    """Where in `ids` each part begins, and the end of the last."""
    native: npt.NDArray[np.int64]
    """Places in `ids` that have native histograms."""
    started: bool = False
    """Whether it says when counters began."""
    span: tuple[int, int] = (0, 0)
    """The lowest and the highest of `ids`."""

    def part_of(self, place: int) -> tuple[int, int]:
        """Which part has a place of `ids`, and at which row."""
        part = bisect_right(self.cuts, place) - 1
        return part, place - self.cuts[part]


class Sealed(msgspec.Struct, eq=False):
    """A chunk ready to be written."""

    head: int
    source: int
    times: npt.NDArray[np.int64]
    ids: npt.NDArray[np.int32]
    cuts: list[int]
    """See `Chunk`."""
    parts: list[bytes]
    histograms: dict[int, bytes]
    """Place in `ids` → compressed native histograms."""
    starts: bytes
    """When counters began, compressed; empty if nobody said."""
