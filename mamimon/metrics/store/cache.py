"""What was decoded of sealed chunks, kept in memory within a budget.

Decoded groups lie one behind the other in slabs of 4 MiB. On an ordinary heap a cold question over a day
would spend more time on page faults than on decoding: a slab is made of the system's huge pages.
"""

from __future__ import annotations

import mmap
import threading
from collections.abc import Callable
from typing import Any, Protocol, TypeVar, cast

import numpy as np
import numpy.typing as npt

from mamimon.metrics.store.dayfile import DayFile
from mamimon.metrics.store.histograms import Column
from mamimon.metrics.store.table import Group

Part = TypeVar("Part", Group, Column)
SLAB_BYTES = 4 << 20
_HUGE_PAGE = 2 << 20


class Versioned(Protocol):
    """A file whose content has a number that grows with each change."""

    generation: int


Key = tuple[Versioned, int, int, int]


class Slab:
    """Some memory and the parts in it, which are thrown out together."""

    def __init__(self, nbytes: int) -> None:
        self.nbytes = nbytes
        self.keys: list[Key] = []
        self.memory: npt.NDArray[np.uint8] | None = None
        self.used = 0

    def take(self, nbytes: int) -> npt.NDArray[np.uint8] | None:
        """Some bytes of it; None if there are too few left."""
        if self.memory is None:
            self.memory = _huge(self.nbytes)
        end = self.used + nbytes
        if end > self.nbytes:
            return None
        found = self.memory[self.used : end]
        self.used = end + -end % 64
        return found


def _huge(nbytes: int) -> npt.NDArray[np.uint8]:
    """Memory that begins at a huge page; what is never touched costs nothing."""
    pages = mmap.mmap(-1, nbytes + _HUGE_PAGE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        pages.madvise(mmap.MADV_HUGEPAGE)
    whole = np.frombuffer(pages, np.uint8)
    start = -whole.ctypes.data % _HUGE_PAGE
    return whole[start : start + nbytes]


class PartCache:
    """Decoded column groups and histogram columns, the least recently used thrown out first; thread-safe."""

    reads_files = True

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._held = 0
        self._parts: dict[Key, tuple[Any, Slab]] = {}
        self._open: Slab | None = None
        self._lock = threading.Lock()

    def group(self, file: DayFile, chunk: int, number: int) -> Group:
        """A column group."""
        return self.get(file, chunk, number, lambda *_: self._read(file, chunk, number, number)[number])

    def ahead(self, file: DayFile, chunk: int, first: int, last: int) -> None:
        """Read the groups from `first` to `last`, which will be asked for, at once, if all are to be read."""
        if self.reads_files and all(
            (file, file.generation, chunk, number) not in self._parts for number in range(first, last + 1)
        ):
            for number, group in self._read(file, chunk, first, last).items():
                self.get(file, chunk, number, lambda *_, group=group: group)

    def _read(self, file: DayFile, chunk: int, first: int, last: int) -> dict[int, Group]:
        slabs: list[Slab] = []

        def room(shape: tuple[int, int], kind: npt.DTypeLike) -> npt.NDArray[Any]:
            kind = np.dtype(kind)
            memory, slab = self._room(shape[0] * shape[1] * kind.itemsize)
            slabs.append(slab)
            return memory.view(kind).reshape(shape)

        out = {}
        for number, samples in file.several(chunk, first, last, room):
            out[number] = Group(samples)
            out[number].slab = slabs[-1]
        return out

    def _room(self, nbytes: int) -> tuple[npt.NDArray[np.uint8], Slab]:
        with self._lock:
            found = None if self._open is None else self._open.take(nbytes)
            if found is None or self._open is None:
                self._open = Slab(max(nbytes, min(SLAB_BYTES, self._limit // 8)))
                found = self._open.take(nbytes)
                assert found is not None
            return found, self._open

    def get(self, file: Versioned, chunk: int, part: int, load: Callable[[int, int], Part]) -> Part:
        """A group, or by a negative number a histogram column: from memory, or by `load` from the file."""
        found = self.peek(file, chunk, part)
        if found is not None:
            return cast("Part", found)
        key = (file, file.generation, chunk, part)
        loaded = load(chunk, part)
        with self._lock:
            if key not in self._parts:
                slab = (loaded.slab if isinstance(loaded, Group) else None) or Slab(loaded.nbytes)
                if not slab.keys:
                    self._held += slab.nbytes
                slab.keys.append(key)
                self._parts[key] = loaded, slab
            while self._held > self._limit:
                oldest = next(iter(self._parts.values()))[1]
                if oldest is self._parts[key][1]:
                    break
                self._drop(list(oldest.keys))
        return loaded

    def peek(self, file: Versioned, chunk: int, part: int) -> Any:
        """What `get` would have from memory; None without."""
        key = (file, file.generation, chunk, part)
        with self._lock:
            found = self._parts.pop(key, None)
            if found is None:
                return None
            self._parts[key] = found
        return found[0]

    def forget(self, file: Versioned) -> None:
        """Drop a deleted day's groups."""
        with self._lock:
            self._drop([key for key in self._parts if key[0] is file])

    def _drop(self, keys: list[Key]) -> None:
        for key in keys:
            _, slab = self._parts.pop(key)
            slab.keys.remove(key)
            if not slab.keys:
                self._held -= slab.nbytes
                if slab is self._open:
                    self._open = None

    @property
    def held_bytes(self) -> int:
        """Memory in use."""
        return self._held
