"""Reads a day: candidate blocks by time, level, dataset and words, then line by line.

Runs in a reader thread inside one read transaction, so a row that moves from the tail into a
block meanwhile is neither missed nor seen twice.
"""

from __future__ import annotations

import heapq
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence, Set
from functools import cached_property
from typing import Any

import msgspec
import numpy as np

from mamimon.logs.clauses import All, Clause, Row
from mamimon.logs.store.blocks import Block, newest_first
from mamimon.logs.store.day import DayFile, dataset_bit
from mamimon.logs.store.lanes import Found, Lanes
from mamimon.logs.store.opening import Opener
from mamimon.logs.store.segments import DATASETS, Segment

# So many blocks are opened before segments are asked: the newest lines are often in the first few.
PATIENCE = 8


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
    given_up: threading.Event | None = None
    """Set when nobody wants the answer any more, so that its thread stops too."""

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
        self._has_any = self._low <= self._high and bool(self.wanted)
        self._everything = isinstance(plan.clause, All)
        self._lanes = Lanes(raw, plan.clause, self)
        self._opener = Opener(
            raw, plan.clause, (self._low, self._high), None if self._all_wanted else self.wanted,
            file.dead, self._lanes, self._late,
        )  # fmt: skip
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
            held, sure = self._opener.held(block, positions)
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
            for row in self._rows(block, *self._opener.held(block, positions)):
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
            yield from self._rows(block, *self._opener.held(block, positions))

    def count(self, most: int | None) -> int:
        """How many rows match; counting may stop above `most`."""
        found = 0
        for part, lines in self.by_columns(lambda segment: True):
            found += int(lines.sum()) if isinstance(part, Segment) else len(lines)
            if most is not None and found > most:
                break
        return found

    def _matches(self, block: Block, positions: Sequence[int]) -> Sequence[int]:
        held, sure = self._opener.held(block, positions)
        unsure = [] if self._everything else [i for i in held if i not in sure]
        if unsure:
            # Of a row that surely matches nobody asks more, so none is made of it.
            rows = self._rows(block, unsure, frozenset())
            read = {row.seq - block.first_seq for row in rows}
            held = [i for i in held if i in sure or i in read]
        return held

    def by_columns(self, wanted: Callable[[Segment], bool]) -> Iterator[tuple[Segment | Block, Any]]:
        """Matching lines, of segments that are `wanted` as truths by line, of other blocks as positions."""
        for block in self._tail():
            positions = self._opener.positions(block, min(block.times), max(block.times))
            yield block, self._matches(block, positions)
        if not self._has_any:
            return
        found = list(self._candidates("id"))
        self._lanes.expect(found)
        groups, rest = self._lanes.groups(found)
        for place, blocks in groups.items():
            if self._late():
                return
            segment = self._lanes.segment(place)
            if not wanted(segment):
                rest += blocks
                continue
            mask, others = self._lanes.told(place, blocks, self._low, self._high)
            rest += others
            self._restrict(segment, mask)
            yield segment, mask
            segment.forget()
        for _, block, positions in self._opener.opened(rest, None):
            yield block, self._matches(block, positions)

    @cached_property
    def _dead(self) -> Any:
        return np.fromiter(self.file.dead, np.int64, len(self.file.dead))

    def _restrict(self, segment: Segment, mask: Any) -> None:
        """Take out lines that were deleted, and those of other datasets."""
        dead = self._dead - segment.first_seq
        mask[dead[(dead >= 0) & (dead < segment.rows)]] = False
        if not self._all_wanted:
            mask &= np.isin(segment.codes(DATASETS), list(self.wanted))

    def rows_at(self, block: Block, positions: Sequence[int]) -> Iterator[Row]:
        """Lines that are known to match."""
        return self._rows(block, positions, frozenset(positions))

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
            positions = self._opener.positions(block, min(block.times), max(block.times))
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
        if not self._has_any:
            return
        for block in self._tail():
            first_us = -(1 << 62) if by_time else 1 << 62
            yield first_us, block, self._opener.positions(block, min(block.times), max(block.times))
        found = self._candidates("max_us DESC, id DESC" if descending else "min_us, id" if by_time else "id")
        if bodies:
            for one, block, positions in self._opener.opened(found, PATIENCE):
                yield one.min_us if by_time else one.max_us, block, positions
            return
        for one in found:
            if self._late():
                return
            (head,) = self.raw.execute("SELECT head FROM body WHERE id=?", (one.id,)).fetchone()
            block = Block(one.first, head, None)
            yield one.max_us, block, self._opener.positions(block, one.min_us, one.max_us)

    def _tail(self) -> Iterator[Block]:
        if self._has_any:
            for first, head, data in self.raw.execute(
                "SELECT first_seq, head, data FROM tail ORDER BY first_seq"
            ):
                yield Block(first, head, data)

    def _candidates(self, order: str) -> Iterator[Found]:
        """Blocks that may have a match, by time, level, dataset and words."""
        words = self.plan.clause.index()
        where = "max_us >= ? AND min_us <= ? AND levels & ?"
        values: list[object] = [self._low, self._high, self.plan.clause.levels()]
        if not self._all_wanted:
            bits = 0
            for number in self.wanted:
                bits |= dataset_bit(number)
            where += " AND datasets & ?"
            values.append(bits)
        if words is not None:
            where += " AND id IN (SELECT rowid FROM text WHERE text MATCH ?)"
            values.append(words)
        found = self.raw.execute(
            f"SELECT id, first_seq, rows, min_us, max_us FROM block WHERE {where} ORDER BY {order}",  # noqa: S608 - fixed texts
            values,
        )
        return map(Found._make, found)

    def _late(self) -> bool:
        given_up = self.plan.given_up
        if time.monotonic() > self.plan.deadline or (given_up is not None and given_up.is_set()):
            self.timed_out = True
            if self._whole is not None:
                self._whole.timed_out = True
        return self.timed_out

    def _rows(self, block: Block, positions: Sequence[int], sure: Set[int]) -> Iterator[Row]:
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
