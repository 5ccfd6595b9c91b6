"""Opens candidate blocks and finds the lines in them that match or may match."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from functools import cache
from itertools import islice

from mamimon.logs.clauses import ALL_LEVELS, Clause
from mamimon.logs.clauses.needles import first_place, is_odd
from mamimon.logs.store.blocks import Block, decompress
from mamimon.logs.store.hits import among, holding
from mamimon.logs.store.lanes import Found, Known, Lanes

_WINDOW = 256
_FEW = 8
"""One of so many lines is few."""


class Opener:
    """Opens blocks for one clause, in one time, of some datasets (None: all), but for lines that are dead."""

    def __init__(
        self, raw: sqlite3.Connection, clause: Clause, span: tuple[int, int], wanted: Set[int] | None,
        dead: Set[int], lanes: Lanes, late: Callable[[], bool],
    ) -> None:  # fmt: skip
        self._raw = raw
        self._low, self._high = span
        self._wanted = wanted
        self._dead = dead
        self._lanes = lanes
        self._late = late
        self._levels = clause.levels()
        self._needles = clause.needles()
        self._sure = clause.sure()

    def opened(
        self, found: Iterable[Found], patience: int | None
    ) -> Iterator[tuple[Found, Block, Sequence[int]]]:
        """Blocks in which a line may match, one after the other as they are asked for.

        So many are opened before segments are asked; None if those have been told what to expect.
        """
        queue = _Queue(iter(found), patience, self._lanes)
        while queue:
            if self._late():
                return
            one, known = queue.pop()
            if known is not None and not known.maybe:
                continue
            if known is not None and not known.sure and len(known.maybe) * _FEW > one.rows:
                # It tells too little to be of help.
                known = None
            opened = self._open(one, known)
            if opened is not None:
                yield one, *opened

    def _open(self, one: Found, known: Known | None) -> tuple[Block, Sequence[int]] | None:
        head, data = self._raw.execute("SELECT head, data FROM body WHERE id=?", (one.id,)).fetchone()
        needles = self._needles
        body: bytes | None = None
        odd: bool | None = None
        place = 0
        if needles is not None and known is None and self._levels == ALL_LEVELS:
            # Most blocks that the index lets through for a phrase do not hold it.
            body = decompress(data)
            odd = is_odd(body)
            if (place := first_place(needles, body, odd=odd)) < 0:
                return None
        block = Block(one.first, head, data, body, odd=odd)
        block.place = place
        positions = self.positions(block, one.min_us, one.max_us)
        if known is not None:
            block.known = known
            plain = len(positions) == len(block)
            allowed = frozenset() if plain else frozenset(positions)
            positions = known.maybe if plain else [i for i in known.maybe if i in allowed]
        if not positions:
            return None
        if needles is not None and known is None and body is None and not _few(positions, block):
            block.place = first_place(needles, block.body, odd=block.odd)
        return (block, positions) if block.place >= 0 else None

    def positions(self, block: Block, min_us: int, max_us: int) -> Sequence[int]:
        """Rows that are right but for what the body says."""
        low, high = self._low, self._high
        positions: Sequence[int] = range(len(block))
        if min_us < low or max_us > high:
            times = block.times
            positions = [i for i in positions if low <= times[i] <= high]
        if self._levels != ALL_LEVELS:
            right = block.levels.translate(_bits(self._levels))
            wanted = [found.start() for found in re.finditer(b"\1", right)]
            positions = wanted if len(positions) == len(block) else [i for i in positions if right[i]]
        if self._wanted is not None:
            positions = [i for i in positions if block.datasets[i] in self._wanted]
        if self._dead:
            positions = [i for i in positions if block.first_seq + i not in self._dead]
        return positions

    def held(self, block: Block, positions: Sequence[int]) -> tuple[Sequence[int], Set[int]]:
        """Rows that may match, and those among them that surely do."""
        if block.known is None:
            return self._judged(block, positions)
        certain = block.known[1]
        unsure = [i for i in positions if i not in certain]
        if not unsure:
            return positions, certain
        held, sure = self._judged(block, unsure)
        allowed = {*certain, *held}
        return [i for i in positions if i in allowed], {*certain, *sure}

    def _judged(self, block: Block, positions: Sequence[int]) -> tuple[Sequence[int], Set[int]]:
        """`held` of lines of which no segment says more."""
        if self._needles is None and self._sure is None:
            return positions, frozenset()
        if self._needles is None or _few(positions, block):
            return among(block, positions, self._needles, self._sure)
        held, sure = holding(block, self._needles, self._sure)
        if len(positions) == len(block):
            return held, sure
        allowed = {*positions}
        return [i for i in held if i in allowed], sure


class _Queue:
    """Candidate blocks, read as they are needed: some, then more and more, of which segments are asked."""

    def __init__(self, found: Iterator[Found], patience: int | None, lanes: Lanes) -> None:
        self._found = found
        self._lanes = lanes
        self._asked = patience is None
        self._here = list(found) if patience is None else list(islice(found, patience))
        self._at = 0
        self._next = _WINDOW

    def __bool__(self) -> bool:
        if self._at == len(self._here):
            # Reading which blocks there are costs as much as opening some.
            self._here, self._at = list(islice(self._found, self._next)), 0
            self._next *= 4
            if self._here:
                self._asked = True
                self._lanes.expect(self._here)
        return self._at < len(self._here)

    def pop(self) -> tuple[Found, Known | None]:
        """The next block and what is known of it."""
        one = self._here[self._at]
        self._at += 1
        return one, self._lanes.known(one) if self._asked else None


def _few(positions: Sequence[int], block: Block) -> bool:
    """Whether it is cheaper to look at the lines one by one than at the whole body."""
    return _FEW * len(positions) < len(block)


@cache
def _bits(mask: int) -> bytes:
    """A table for `bytes.translate` that makes 1 of the levels in a mask and 0 of others."""
    return bytes(number < 64 and mask >> number & 1 for number in range(256))
