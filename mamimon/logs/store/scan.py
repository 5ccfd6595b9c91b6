"""Reads a day: candidate blocks by time, level, dataset and words, then line by line.

Runs in a reader thread inside one read transaction, so a row that moves from the tail into a
block meanwhile is neither missed nor seen twice.
"""

from __future__ import annotations

import heapq
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence

import msgspec

from mamimon.logs.clauses import ALL_LEVELS, All, Clause, Row
from mamimon.logs.store.blocks import Block, holding, newest_first
from mamimon.logs.store.day import DayFile, dataset_bit


class Plan(msgspec.Struct, kw_only=True):
    """What to read: a clause, the datasets, and time in microseconds `[low_us, high_us)`."""

    clause: Clause
    datasets: Callable[[str, bool, str], bool] | None = None
    """Whether a dataset counts, by name, plainness and index name; None is every one."""
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

    def __init__(self, raw: sqlite3.Connection, file: DayFile, plan: Plan) -> None:
        self.raw = raw
        self.file = file
        self.day = file.day
        self.timed_out = False
        self.plan = plan
        self.wanted = {
            one.id
            for one in file.datasets.values()
            if not one.gone
            and (plan.datasets is None or plan.datasets(one.name, one.plain, file.index_name(one.id)))
        }
        self._all_wanted = len(self.wanted) == len(file.datasets)
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
        for limit, block in self._blocks(descending=True):
            while heap and -heap[0][0] > limit:
                yield heapq.heappop(heap)[2]
            positions = self._positions(block)
            if positions:
                positions = newest_first(block, positions)
            for row in self._rows(block, positions):
                # The block's own newest rows may go out at once where nothing waits before them.
                heapq.heappush(heap, (-row.time_us, -row.seq, row))
        while heap:
            yield heapq.heappop(heap)[2]

    def any_order(self) -> Iterator[Row]:
        """Matching rows in the order they are stored in."""
        for _, block in self._blocks(descending=False):
            yield from self._rows(block, self._positions(block))

    def by_id(self, identity: str) -> Iterator[Row]:
        """The rows of a document id: one, or one a dataset where several were given the same."""
        own = self.file.own_id(0)[:-1]
        number = identity.removeprefix(own)
        seqs = [seq for (seq,) in self.raw.execute("SELECT seq FROM named WHERE id=?", (identity,))]
        if identity.startswith(own) and number.isdigit() and len(number) < 19:
            seqs.append(int(number))
        for seq in seqs:
            yield from (row for row in self.after(seq - 1, 1) if row.seq == seq and row.id == identity)

    def minutes(self, first: int, last: int) -> Iterator[tuple[int, int, int]]:
        """Minute, level and count of the roll-ups from minute `first` up to but without `last`."""
        for minute, dataset, level, n in self.raw.execute(
            "SELECT minute, dataset, level, n FROM rollup WHERE minute >= ? AND minute < ?", (first, last)
        ):
            if dataset in self.wanted:
                yield minute, level, n

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
        for _, block in self._blocks(descending=False, bodies=False):
            yield block, self._plain_positions(block)

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
            for row in self._rows(block, [i for i in self._plain_positions(block) if first + i > seq]):
                yield row
                count += 1
                if count >= limit:
                    return

    def _blocks(self, *, descending: bool, bodies: bool = True) -> Iterator[tuple[int, Block]]:
        """Candidate blocks with the newest time in them; the tail comes first and counts as newest."""
        low, high = self.plan.window()
        if low > high or not self.wanted:
            return
        for first, head, data in self.raw.execute(
            "SELECT first_seq, head, data FROM tail ORDER BY first_seq"
        ):
            yield 1 << 62, Block(first, head, data)
        words = self.plan.clause.index()
        where = "max_us >= ? AND min_us <= ? AND levels & ?"
        values: list[object] = [low, high, self.plan.clause.levels()]
        if not self._all_wanted:
            bits = 0
            for number in self.wanted:
                bits |= dataset_bit(number)
            where += " AND datasets & ?"
            values.append(bits)
        if words is not None:
            where += " AND id IN (SELECT rowid FROM text WHERE text MATCH ?)"
            values.append(words)
        order = "max_us DESC, id DESC" if descending else "id"
        found = self.raw.execute(
            f"SELECT id, first_seq, max_us FROM block WHERE {where} ORDER BY {order}",  # noqa: S608 - fixed texts
            values,
        ).fetchall()
        columns = "head, data" if bodies else "head, NULL"
        for number, first, max_us in found:
            if time.monotonic() > self.plan.deadline:
                self.timed_out = True
                return
            head, data = self.raw.execute(f"SELECT {columns} FROM body WHERE id=?", (number,)).fetchone()  # noqa: S608 - fixed texts
            yield max_us, Block(first, head, data)

    def _plain_positions(self, block: Block) -> Sequence[int]:
        low, high = self.plan.window()
        positions: Sequence[int] = range(len(block))
        times = block.times
        if min(times) < low or max(times) > high:
            positions = [i for i in positions if low <= times[i] <= high]
        mask = self.plan.clause.levels()
        if mask != ALL_LEVELS:
            positions = [i for i in positions if mask >> block.levels[i] & 1]
        if not self._all_wanted:
            positions = [i for i in positions if block.datasets[i] in self.wanted]
        if self.file.dead:
            positions = [i for i in positions if block.first_seq + i not in self.file.dead]
        return positions

    def _positions(self, block: Block) -> Sequence[int]:
        positions = self._plain_positions(block)
        needles = self.plan.clause.needles()
        if needles is not None and positions:
            held = holding(block, needles)
            if len(positions) == len(block):
                return held
            allowed = set(positions)
            return [i for i in held if i in allowed]
        return positions

    def _rows(self, block: Block, positions: Sequence[int]) -> Iterator[Row]:
        match = self.plan.clause.match
        everything = isinstance(self.plan.clause, All)
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
            if everything or match(row):
                yield row
