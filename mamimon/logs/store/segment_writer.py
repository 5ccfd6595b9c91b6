"""Which blocks become a segment: those of a day that is sealed, and of today's whenever there are enough."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path

from mamimon.logs.store import segments
from mamimon.logs.store.blocks import Block, Columns, merged
from mamimon.logs.store.segment_builder import Builder
from mamimon.logs.store.segments import Packed


class SegmentWriter:
    """Cuts the rows of blocks that come in order into segments."""

    def __init__(self, raw: sqlite3.Connection) -> None:
        self._raw = raw
        self._builder = Builder()
        self._first = 0

    def add(self, first_seq: int, rows: Columns) -> None:
        """The rows of the next block."""
        built = self._builder.rows
        if built and (first_seq != self._first + built or built + len(rows.times) > segments.ROWS):
            self.end()
        if not self._builder.rows:
            self._first = first_seq
        self._builder.add(rows)

    def end(self) -> None:
        """Write what is there."""
        if self._builder.rows:
            packed = self._builder.pack()
            if packed is not None:
                packed.write(self._raw, self._first)
            self._builder = Builder()


def pack_next(path: Path, idle_share: float) -> tuple[int, Packed] | None:
    """The next whole segment of a day that is still written: the number of its first line, and it; blocking.

    None where there are not enough blocks yet. Of the time it takes, `idle_share` is slept.
    """
    with closing(sqlite3.connect(path, isolation_level=None)) as raw:
        raw.execute("PRAGMA query_only=ON")
        if not segments.known(raw):
            return None
        last = raw.execute("SELECT first_seq + rows FROM segment ORDER BY first_seq DESC LIMIT 1").fetchone()
        first = last[0] if last else 1
        taken: list[int] = []
        rows = 0
        for number, start, n in raw.execute(
            "SELECT id, first_seq, rows FROM block WHERE first_seq >= ? ORDER BY first_seq", (first,)
        ):
            if start != first + rows or rows + n > segments.ROWS:
                break
            taken.append(number)
            rows += n
        else:
            return None
        builder = Builder()
        for number in taken:
            began = time.monotonic()
            block = Block(*raw.execute(
                "SELECT first_seq, head, data FROM block JOIN body USING (id) WHERE id=?", (number,)
            ).fetchone())  # fmt: skip
            builder.add(merged([block], lambda seq, dataset: False))
            if idle_share:
                time.sleep((time.monotonic() - began) * idle_share / (1 - idle_share))
    packed = builder.pack()
    return None if packed is None else (first, packed)
