"""Reads a day: candidate blocks by time, level, dataset and words, then line by line.

Runs in a reader thread inside one read transaction, so a row that moves from the tail into a
block meanwhile is neither missed nor seen twice.
"""

from __future__ import annotations

import heapq
import os
import re
import sqlite3
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache

import msgspec

from mamimon.logs.clauses import ALL_LEVELS, All, Clause, Row
from mamimon.logs.clauses.needles import first_place, is_odd
from mamimon.logs.store.blocks import Block, decompress, newest_first
from mamimon.logs.store.day import DayFile, dataset_bit
from mamimon.logs.store.hits import among, holding

# Compressed bytes that are opened at once, first and at most, and how many such batches at a time.
_FIRST_BYTES, _MOST_BYTES, _BATCHES = 1 << 10, 1 << 18, 3


class Plan(msgspec.Struct, kw_only=True):
    """What to read: a clause, the datasets, and time in microseconds `[low_us, high_us)`."""

    clause: Clause
    datasets: Callable[[str, bool, str], bool] | None = None
    """Whether a dataset counts, by name, plainness and index name; None is every one."""
    days: Callable[[str], bool] | None = None
    """Whether a day's file may hold an answer, by its name; None is every one."""
    low_us: int = -(1 << 62)
    high_us: int = 1 << 62
    deadline: float = float("inf")
    """`time.monotonic()` at which reading stops with what was found."""

    def window(self) -> tuple[int, int]:
        """The time asked for, the clause's own bounds included, as `[low, high]`."""
        low, high = self.clause.bounds()
        return max(low, self.low_us), min(high, self.high_us - 1)


class View:
    """A day as one query sees it; a `Row` asks it what its numbers mean."""

    def __init__(self, raw: sqlite3.Connection, file: DayFile, plan: Plan, whole: View | None = None) -> None:
        self.raw = raw
        self.file = file
        self.day = file.day
        self.timed_out = False
        self._whole = whole
        self.plan = plan
        self.wanted = {
            one.id
            for one in file.datasets.values()
            if not one.gone
            and (plan.datasets is None or plan.datasets(one.name, one.plain, file.index_name(one.id)))
        }
        self._all_wanted = len(self.wanted) == len(file.datasets)
        self._low, self._high = plan.window()
        self._levels = plan.clause.levels()
        self._needles = plan.clause.needles()
        self._sure = plan.clause.sure()
        self._everything = isinstance(plan.clause, All)
        self._named = raw.execute("SELECT 1 FROM named LIMIT 1").fetchone() is not None

    def id_of(self, seq: int) -> str:
        """See `Source.id_of`."""
        if self._named:
            found = self.raw.execute("SELECT id FROM named WHERE seq=?", (seq,)).fetchone()
            if found:
                return str(found[0])
        return self.file.own_id(seq)

    def dataset_of(self, number: int) -> str:
        """See `Source.dataset_of`."""
        return self.file.datasets[number].name

    def index_of(self, number: int) -> str:
        """See `Source.index_of`."""
        return self.file.index_name(number)

    def newest(self) -> Iterator[Row]:
        """Matching rows, newest first (of equal times the later arrived)."""
        heap: list[tuple[int, int, Row]] = []
        for limit, block, positions in self._blocks(descending=True):
            while heap and -heap[0][0] > limit:
                yield heapq.heappop(heap)[2]
            held, sure = self._held(block, positions)
            for row in self._rows(block, newest_first(block, held), sure):
                # The block's own newest rows may go out at once where nothing waits before them.
                heapq.heappush(heap, (-row.time_us, -row.seq, row))
        while heap:
            yield heapq.heappop(heap)[2]

    def oldest(self) -> Iterator[Row]:
        """Matching rows, oldest first (of equal times the earlier arrived)."""
        heap: list[tuple[int, int, Row]] = []
        for limit, block, positions in self._blocks(descending=False, by_time=True):
            while heap and heap[0][0] < limit:
                yield heapq.heappop(heap)[2]
            for row in self._rows(block, *self._held(block, positions)):
                heapq.heappush(heap, (row.time_us, row.seq, row))
        while heap:
            yield heapq.heappop(heap)[2]

    def since(self, low_us: int) -> View:
        """The same without what is older than a time."""
        plan = msgspec.structs.replace(self.plan, low_us=max(self.plan.low_us, low_us))
        return View(self.raw, self.file, plan, self)

    def until(self, high_us: int) -> View:
        """The same without what is newer than a time."""
        plan = msgspec.structs.replace(self.plan, high_us=min(self.plan.high_us, high_us + 1))
        return View(self.raw, self.file, plan, self)

    def any_order(self) -> Iterator[Row]:
        """Matching rows in the order they are stored in."""
        for _, block, positions in self._blocks(descending=False):
            yield from self._rows(block, *self._held(block, positions))

    def count(self, most: int | None) -> int:
        """How many rows match; counting may stop above `most`."""
        found = 0
        for _, positions in self.matching():
            found += len(positions)
            if most is not None and found > most:
                break
        return found

    def matching(self) -> Iterator[tuple[Block, Sequence[int]]]:
        """Blocks and the positions of their matching rows, the newest block first."""
        for _, block, positions in self._blocks(descending=True):
            held, sure = self._held(block, positions)
            if not self._everything and len(sure) < len(held):
                # Of a row that surely matches nobody asks more, so none is made of it.
                rows = self._rows(block, [i for i in held if i not in sure], set())
                read = {row.seq - block.first_seq for row in rows}
                held = [i for i in held if i in sure or i in read]
            yield block, held

    def by_id(self, identity: str) -> Iterator[Row]:
        """The rows of a document id: one, or one a dataset where several were given the same."""
        own = self.file.own_id(0)[:-1]
        number = identity.removeprefix(own)
        seqs = [seq for (seq,) in self.raw.execute("SELECT seq FROM named WHERE id=?", (identity,))]
        if identity.startswith(own) and number.isdigit() and len(number) < 19:
            seqs.append(int(number))
        for seq in seqs:
            yield from (row for row in self.after(seq - 1, 1) if row.seq == seq and row.id == identity)

    def patterns(
        self, unit: str, before: int, first: int, last: int, width: int
    ) -> list[tuple[int, int, int]]:
        """Pattern, bin and count, by `unit` (`minute`, `hour`) from `first` on; bin -1 begins at `before`."""
        return self.raw.execute(
            f"SELECT pattern, CASE WHEN {unit} < ?2 THEN -1 ELSE ({unit} - ?2) / ?4 END AS bin, sum(n)"  # noqa: S608 - fixed texts
            f" FROM pattern_{unit} WHERE {unit} >= ?1 AND {unit} < ?3 GROUP BY 1, 2",
            (before, first, last, width),
        ).fetchall()

    def totals(self) -> dict[int, tuple[int, int]]:
        """Lines and first minute of each dataset."""
        found = self.raw.execute("SELECT dataset, sum(n), min(minute) FROM rollup GROUP BY dataset")
        return {dataset: (n, minute) for dataset, n, minute in found}

    def heads(self) -> Iterator[tuple[Block, Sequence[int]]]:
        """Blocks and the positions of rows in time, level and dataset; for clauses that ask no more."""
        for _, block, positions in self._blocks(descending=False, bodies=False):
            yield block, positions

    def after(self, seq: int, limit: int) -> Iterator[Row]:
        """Rows that were stored after `seq`, in that order."""
        sql = (
            "SELECT first_seq, head, data FROM block JOIN body USING (id) WHERE first_seq + rows > ?1 AND "
            "first_seq >= coalesce((SELECT max(first_seq) FROM block WHERE first_seq <= ?1 + 1), 0) "
            "UNION ALL SELECT first_seq, head, data FROM tail ORDER BY first_seq"
        )
        count = 0
        for first, head, data in self.raw.execute(sql, (seq,)):
            block = Block(first, head, data)
            positions = self._plain_positions(block, min(block.times), max(block.times))
            for row in self._rows(block, [i for i in positions if first + i > seq], set()):
                yield row
                count += 1
                if count >= limit:
                    return

    def _blocks(
        self, *, descending: bool, bodies: bool = True, by_time: bool = False
    ) -> Iterator[tuple[int, Block, Sequence[int]]]:
        """Candidate blocks: their newest time, and rows that are right but for what their bodies say.

        `by_time` and not `descending`, it is their oldest time. The tail comes first, as if it went before.
        """
        if self._low > self._high or not self.wanted:
            return
        for first, head, data in self.raw.execute(
            "SELECT first_seq, head, data FROM tail ORDER BY first_seq"
        ):
            block = Block(first, head, data)
            first_us = -(1 << 62) if by_time else 1 << 62
            yield first_us, block, self._plain_positions(block, min(block.times), max(block.times))
        words = self.plan.clause.index()
        where = "max_us >= ? AND min_us <= ? AND levels & ?"
        values: list[object] = [self._low, self._high, self._levels]
        if not self._all_wanted:
            bits = 0
            for number in self.wanted:
                bits |= dataset_bit(number)
            where += " AND datasets & ?"
            values.append(bits)
        if words is not None:
            where += " AND id IN (SELECT rowid FROM text WHERE text MATCH ?)"
            values.append(words)
        order = "max_us DESC, id DESC" if descending else "min_us, id" if by_time else "id"
        found = self.raw.execute(
            f"SELECT id, first_seq, min_us, max_us FROM block WHERE {where} ORDER BY {order}",  # noqa: S608 - fixed texts
            values,
        ).fetchall()
        if bodies:
            for limit, block, positions in self._opened(found):
                yield min(block.times) if by_time else limit, block, positions
            return
        for number, first, min_us, max_us in found:
            if self._late():
                return
            (head,) = self.raw.execute("SELECT head FROM body WHERE id=?", (number,)).fetchone()
            block = Block(first, head, None)
            yield max_us, block, self._plain_positions(block, min_us, max_us)

    def _late(self) -> bool:
        if time.monotonic() > self.plan.deadline:
            self.timed_out = True
            if self._whole is not None:
                self._whole.timed_out = True
        return self.timed_out

    def _opened(self, found: Sequence[_Found]) -> Iterator[tuple[int, Block, Sequence[int]]]:
        """Blocks with a needle in them, opened by several threads some way ahead of the reader."""
        waiting: deque[Future[list[tuple[int, Block, Sequence[int]]]]] = deque()
        at, share = 0, _FIRST_BYTES
        try:
            while at < len(found) or waiting:
                # Who needs only the newest lines takes them from the first block or two.
                while at < len(found) and len(waiting) < (1 if share == _FIRST_BYTES else _BATCHES):
                    if self._late():
                        return
                    batch: list[tuple[_Found, bytes, bytes]] = []
                    size = 0
                    while at < len(found) and size < share:
                        head, data = self.raw.execute(
                            "SELECT head, data FROM body WHERE id=?", (found[at][0],)
                        ).fetchone()
                        batch.append((found[at], head, data))
                        at += 1
                        size += len(data)
                    waiting.append(_pool().submit(self._open, batch))
                    share = min(4 * share, _MOST_BYTES)
                yield from waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()

    def _open(self, batch: Sequence[tuple[_Found, bytes, bytes]]) -> list[tuple[int, Block, Sequence[int]]]:
        opened: list[tuple[int, Block, Sequence[int]]] = []
        needles = self._needles
        for (_, first, min_us, max_us), head, data in batch:
            body: bytes | None = None
            place = 0
            if needles is not None and self._levels == ALL_LEVELS:
                # Most blocks that the index lets through for a phrase do not hold it.
                body = decompress(data)
                if (place := first_place(needles, body, odd=is_odd(body))) < 0:
                    continue
            block = Block(first, head, data, body)
            block.place = place
            positions = self._plain_positions(block, min_us, max_us)
            if not positions:
                continue
            if needles is not None and body is None and not _few(positions, block):
                block.place = first_place(needles, block.body, odd=block.odd)
            if block.place >= 0:
                opened.append((max_us, block, positions))
        return opened

    def _plain_positions(self, block: Block, min_us: int, max_us: int) -> Sequence[int]:
        low, high = self._low, self._high
        positions: Sequence[int] = range(len(block))
        if min_us < low or max_us > high:
            times = block.times
            positions = [i for i in positions if low <= times[i] <= high]
        if self._levels != ALL_LEVELS:
            right = block.levels.translate(_bits(self._levels))
            wanted = [found.start() for found in re.finditer(b"\1", right)]
            positions = wanted if len(positions) == len(block) else [i for i in positions if right[i]]
        if not self._all_wanted:
            positions = [i for i in positions if block.datasets[i] in self.wanted]
        if self.file.dead:
            positions = [i for i in positions if block.first_seq + i not in self.file.dead]
        return positions

    def _held(self, block: Block, positions: Sequence[int]) -> tuple[Sequence[int], set[int]]:
        """Rows that may match, and those among them that surely do."""
        if self._needles is None and self._sure is None:
            return positions, set()
        if self._needles is None or _few(positions, block):
            return among(block, positions, self._needles, self._sure)
        held, sure = holding(block, self._needles, self._sure)
        if len(positions) == len(block):
            return held, sure
        allowed = set(positions)
        return [i for i in held if i in allowed], sure

    def _rows(self, block: Block, positions: Sequence[int], sure: set[int]) -> Iterator[Row]:
        match = self.plan.clause.match
        everything = self._everything
        for i in positions:
            row = Row(
                block.first_seq + i,
                block.times[i],
                block.levels[i],
                block.datasets[i],
                block.raw(i),
                self,
                block.patterns[i],
            )
            if everything or i in sure or match(row):
                yield row


_Found = tuple[int, int, int, int]
"""A candidate block: its number, first row number, oldest and newest time."""


def _few(positions: Sequence[int], block: Block) -> bool:
    """Whether it is cheaper to look at the lines one by one than at the whole body."""
    return 8 * len(positions) < len(block)


@cache
def _bits(mask: int) -> bytes:
    """A table for `bytes.translate` that makes 1 of the levels in a mask and 0 of others."""
    return bytes(number < 64 and mask >> number & 1 for number in range(256))


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="log-scan")
