"""Sealing: a day that is over is written anew, in fewer blocks, with its index merged, to be read only.

The new file is made beside the old one and takes its place by a rename, after the old one is closed
(so it has no WAL any more). Killed before, the old file is whole and the rest of a new one is deleted
at the next start; killed after, the new one is whole. What was deleted of the day is gone from the new
file for good. Row numbers, and so ids and cursors, stay. Its index also has the pairs of words that follow
one another, for which there is no time while lines come in: a phrase of common words opens few blocks then.
"""

from __future__ import annotations

import os
import sqlite3
import stat
import time
from collections.abc import Iterator
from pathlib import Path

from mamimon.logs.store import labels
from mamimon.logs.store.blocks import Block, merged
from mamimon.logs.store.day import create, insert_block
from mamimon.logs.store.segment_writer import SegmentWriter

ROWS = 256
_LEVEL = 6
_BYTES = 4 << 20
_COPIED = ("dataset", "rollup", "pattern_minute", "pattern_hour", "label", "labelled", "named", "dead")


def rewrite(source: Path, target: Path, idle_share: float) -> None:
    """Write the day in `source` to `target`; blocking. Of the time it takes, `idle_share` is slept."""
    target.unlink(missing_ok=True)
    old = sqlite3.connect(source, isolation_level=None)
    new = sqlite3.connect(target, isolation_level=None)
    try:
        old.execute("PRAGMA query_only=ON")
        # Nobody reads the new file before it is whole.
        new.execute("PRAGMA journal_mode=OFF")
        new.execute("PRAGMA synchronous=OFF")
        old.execute("BEGIN")
        new.execute("BEGIN")
        create(new)
        for table in _COPIED:
            _copy(old, new, table)
        gone = {number for (number,) in old.execute("SELECT id FROM dataset WHERE gone")}
        dead = {seq for (seq,) in old.execute("SELECT seq FROM dead")}
        writer = SegmentWriter(new)
        for group in _groups(old):
            began = time.monotonic()
            rows = merged(group, lambda seq, dataset: seq in dead or dataset in gone)
            insert_block(new, group[0].first_seq, rows, _LEVEL, pairs=True)
            writer.add(group[0].first_seq, rows)
            if idle_share:
                time.sleep((time.monotonic() - began) * idle_share / (1 - idle_share))
        writer.end()
        labels.add_hours(new)
        new.execute("INSERT INTO text(text) VALUES ('optimize')")
        new.execute("COMMIT")
        new.execute("PRAGMA journal_mode=WAL")
    finally:
        old.close()
        new.close()
    number = os.open(target, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
    target.chmod(source.stat().st_mode & ~(stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH))


def replace(source: Path, target: Path) -> None:
    """Let the new file take the old one's place; both are closed. `OSError`: somebody still reads it."""
    wal = target.with_name(target.name + "-wal")
    if wal.exists() and wal.stat().st_size:
        # Its frames would be read into the new file.
        raise OSError(f"{wal.name} is in use")
    for suffix in ("-wal", "-shm"):
        target.with_name(target.name + suffix).unlink(missing_ok=True)
    source.replace(target)
    number = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def _copy(old: sqlite3.Connection, new: sqlite3.Connection, table: str) -> None:
    rows = old.execute(f"SELECT * FROM {table}")  # noqa: S608 - fixed texts
    marks = ", ".join("?" * len(rows.description))
    new.executemany(f"INSERT INTO {table} VALUES ({marks})", rows)  # noqa: S608 - fixed texts


def _groups(old: sqlite3.Connection) -> Iterator[list[Block]]:
    """Neighbouring blocks that become one."""
    group: list[Block] = []
    rows = size = 0
    for first, head, data in old.execute(
        "SELECT first_seq, head, data FROM block JOIN body USING (id)"
        " UNION ALL SELECT first_seq, head, data FROM tail ORDER BY first_seq"
    ):
        block = Block(first, head, data)
        if group and (rows + len(block) > ROWS or size + len(block.body) > _BYTES):
            yield group
            group, rows, size = [], 0, 0
        group.append(block)
        rows += len(block)
        size += len(block.body)
    if group:
        yield group
