"""Day files: the only SQL of the logs room.

`logs/YYYY-MM-DD.db` holds a UTC day. New rows first stand in `tail` (a few small chunks, searched
by reading them); as soon as there is a block's worth they become a compressed block, and FTS5,
contentless and without positions, indexes the block as one document. A trickle of single lines
and a flood of batches thus end as the same full blocks. Numbers of what was tried: docs/decisions.md.
"""

from __future__ import annotations

import sqlite3
import stat
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from mamimon.logs.model import LEVEL_NUMBERS, LogRecord, index_of, level_number, pattern_id
from mamimon.logs.store import labels, rollups, segments
from mamimon.logs.store.blocks import Columns, Line, columns_of, pack, unpack
from mamimon.logs.store.labels import SLOT_US, Label
from mamimon.logs.store.segments import Packed
from mamimon.logs.text import TOKENIZER, indexed_text, pair_marks
from mamimon.storage import Database

T = TypeVar("T")
_VERSION = 1
_SCHEMA = f"""
CREATE TABLE dataset (id INTEGER PRIMARY KEY, name TEXT NOT NULL, plain INTEGER NOT NULL,
  gone INTEGER NOT NULL DEFAULT 0);
CREATE TABLE block (id INTEGER PRIMARY KEY, first_seq INTEGER NOT NULL, rows INTEGER NOT NULL,
  min_us INTEGER NOT NULL,
  max_us INTEGER NOT NULL, levels INTEGER NOT NULL, datasets INTEGER NOT NULL);
CREATE INDEX block_time ON block (max_us);
CREATE INDEX block_seq ON block (first_seq);
CREATE TABLE body (id INTEGER PRIMARY KEY, head BLOB NOT NULL, data BLOB NOT NULL);
CREATE TABLE tail (first_seq INTEGER PRIMARY KEY, head BLOB NOT NULL, data BLOB NOT NULL);
CREATE TABLE rollup (minute INTEGER, dataset INTEGER, level INTEGER, n INTEGER NOT NULL,
  PRIMARY KEY (minute, dataset, level)) WITHOUT ROWID;
CREATE TABLE pattern_minute (minute INTEGER, dataset INTEGER, pattern INTEGER, n INTEGER NOT NULL,
  PRIMARY KEY (minute, dataset, pattern)) WITHOUT ROWID;
CREATE TABLE pattern_hour (hour INTEGER, dataset INTEGER, pattern INTEGER, n INTEGER NOT NULL,
  PRIMARY KEY (hour, dataset, pattern)) WITHOUT ROWID;
CREATE TABLE label (id INTEGER PRIMARY KEY, document BLOB NOT NULL);
CREATE TABLE labelled (slot INTEGER, dataset INTEGER, level INTEGER, label INTEGER, n INTEGER NOT NULL,
  PRIMARY KEY (slot, dataset, level, label)) WITHOUT ROWID;
CREATE TABLE named (dataset INTEGER, id TEXT, seq INTEGER NOT NULL, version INTEGER NOT NULL DEFAULT 1,
  PRIMARY KEY (dataset, id)) WITHOUT ROWID;
CREATE INDEX named_seq ON named (seq);
CREATE TABLE dead (seq INTEGER PRIMARY KEY);
CREATE VIRTUAL TABLE text USING fts5(body, content='', detail=none, columnsize=0, tokenize='{TOKENIZER}');
{segments.SCHEMA}"""
_OTHER_BIT = 62
Sorter = Callable[[Sequence[LogRecord]], Sequence[int]]
"""Gives each record of a batch the number of its pattern; called once a batch in the writer's thread."""


class Stored(msgspec.Struct, frozen=True, gc=False):
    """What became of a record: its row number and id, or a conflict with one of the same id."""

    seq: int
    id: str
    version: int = 1
    conflict: bool = False


class Dataset(msgspec.Struct, frozen=True):
    """A dataset of one day; `gone` ones were deleted and are not shown."""

    id: int
    name: str
    plain: bool
    gone: bool = False


def is_sealed(path: Path) -> bool:
    """Whether the file is there and may not be written: then its day is over and packed."""
    return path.exists() and not path.stat().st_mode & stat.S_IWUSR


class DayFile:
    """One day, open. Appending is for one task at a time; reading is for anybody."""

    def __init__(self, day: str, database: Database, block_rows: int, sort: Sorter | None = None) -> None:
        self.day = day
        self._prefix = day.replace("-", "")
        self.database = database
        self.datasets: dict[int, Dataset] = {}
        self.next_seq = 1
        self.dead: frozenset[int] = frozenset()
        self.users = 0
        self.dirty = False
        self.changes = 0
        """How often something was written since the file was opened."""
        self.sealed = False
        self._numbers: dict[tuple[str, bool], int] = {}
        self._block_rows = block_rows
        self._sort = sort
        self._tail: list[Line] = []
        self._labels: dict[Label, int] = {}

    @classmethod
    async def open(cls, path: Path, block_rows: int, readers: int, sort: Sorter | None = None) -> DayFile:
        """Open or create the file of a day; a damaged one raises `sqlite3.DatabaseError`."""
        sealed = is_sealed(path)
        database = await Database.open(path, readers=readers, reading=sealed)
        try:
            version = await database.read(lambda raw: raw.execute("PRAGMA user_version").fetchone()[0])
            if version == 0:
                await database.write(create)
            elif version > _VERSION:
                raise sqlite3.DatabaseError(f"{path.name} was written by a newer mamimon")
            if not sealed and await database.read(labels.has_hours):
                # A kill came between its being made writable and the first change.
                await database.write(labels.drop_hours)
            file = cls(path.stem, database, block_rows, sort)
            file.sealed = sealed
            await database.read(file._load)
        except BaseException:
            await database.close()
            raise
        return file

    def _load(self, raw: sqlite3.Connection) -> None:
        for number, name, plain, gone in raw.execute("SELECT id, name, plain, gone FROM dataset"):
            self._know(Dataset(number, name, bool(plain), bool(gone)))
        last = raw.execute("SELECT first_seq + rows FROM block ORDER BY first_seq DESC LIMIT 1").fetchone()
        self.next_seq = last[0] if last else 1
        for first, head, data in raw.execute("SELECT first_seq, head, data FROM tail ORDER BY first_seq"):
            lines = unpack(head, data)
            self._tail += lines
            self.next_seq = first + len(lines)
        self.dead = frozenset(seq for (seq,) in raw.execute("SELECT seq FROM dead"))
        self._labels = labels.load(raw)

    def _know(self, dataset: Dataset) -> None:
        self.datasets[dataset.id] = dataset
        if not dataset.gone:
            self._numbers[dataset.name, dataset.plain] = dataset.id

    async def _write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Change the file; one that is sealed is sealed no more, and will be again when it is quiet."""
        if self.sealed:
            path = self.database.path
            path.chmod(path.stat().st_mode | stat.S_IWUSR)
            await self.database.write(labels.drop_hours)
            self.sealed = False
        self.dirty = True
        # Before and after: who reads the number in between has not seen what is being written.
        self.changes += 1
        try:
            return await self.database.write(work)
        finally:
            self.changes += 1

    def own_id(self, seq: int) -> str:
        """The id of a row that was given none."""
        return f"{self._prefix}-{seq}"

    async def append(self, records: Sequence[LogRecord]) -> list[Stored]:
        """Store records; they are committed when this returns, in their order."""
        change = await self._write(lambda raw: self._append(raw, records))
        for dataset in change.datasets:
            self._know(dataset)
        self.next_seq = change.next_seq
        self._tail = change.tail
        self._labels |= change.labels
        if change.dead:
            self.dead |= frozenset(change.dead)
        return change.stored

    def _append(self, raw: sqlite3.Connection, records: Sequence[LogRecord]) -> _Change:
        change = _Change(next_seq=self.next_seq)
        lines: list[Line] = []
        kept: list[LogRecord] = []
        stored = change.stored
        patterns = self._sort(records) if self._sort is not None else [0] * len(records)
        numbers = dict(self._numbers)
        prefix = self._prefix
        dataset: tuple[str, bool] | None = None
        number: int | None = None
        seq = change.next_seq
        for record, pattern in zip(records, patterns, strict=True):
            if dataset is None or record.dataset != dataset[0] or record.plain != dataset[1]:
                dataset = (record.dataset, record.plain)
                number = numbers.get(dataset)
            if number is None:
                number = _add_dataset(raw, record.dataset, record.plain)
                numbers[record.dataset, record.plain] = number
                change.datasets.append(Dataset(number, record.dataset, record.plain))
            if not record.id:
                stored.append(Stored(seq, f"{prefix}-{seq}"))
            else:
                change.next_seq = seq
                outcome = self._name(raw, record, number, change)
                stored.append(outcome)
                if outcome.conflict:
                    continue
            level = LEVEL_NUMBERS.get(record.level) or level_number(record.level)
            lines.append(Line(round(record.time * 1e6), level, number, record.raw, pattern))
            kept.append(record)
            seq += 1
        change.next_seq = seq
        self._put(raw, lines, change)
        rollups.count(raw, lines, self._labels_of(raw, kept, change))
        if change.dead:
            self._bury(raw, change.dead)
        return change

    def _name(self, raw: sqlite3.Connection, record: LogRecord, number: int, change: _Change) -> Stored:
        """Give the row to be written next the id that its sender chose."""
        old = raw.execute(
            "SELECT seq, version FROM named WHERE dataset=? AND id=?", (number, record.id)
        ).fetchone()
        if old is not None and record.create:
            return Stored(old[0], record.id, old[1], conflict=True)
        version = 1
        if old is not None:
            version = old[1] + 1
            change.dead.append(old[0])
        raw.execute(
            "INSERT OR REPLACE INTO named VALUES (?, ?, ?, ?)", (number, record.id, change.next_seq, version)
        )
        return Stored(change.next_seq, record.id, version)

    def _put(self, raw: sqlite3.Connection, lines: list[Line], change: _Change) -> None:
        waiting = [*self._tail, *lines]
        first = change.next_seq - len(waiting)
        size = self._block_rows
        whole = len(waiting) - len(waiting) % size
        for start in range(0, whole, size):
            insert_block(raw, first + start, columns_of(waiting[start : start + size]))
        change.tail = waiting[whole:]
        if whole:
            raw.execute("DELETE FROM tail")
            new, new_first = change.tail, first + whole
        else:
            new, new_first = lines, change.next_seq - len(lines)
        if new:
            head, data = pack(new)
            raw.execute("INSERT INTO tail VALUES (?, ?, ?)", (new_first, head, data))

    def _labels_of(self, raw: sqlite3.Connection, records: Sequence[LogRecord], change: _Change) -> list[int]:
        known, new = self._labels, change.labels
        numbers: list[int] = []
        for record in records:
            label = labels.read_label(record.raw) if record.label is None else record.label
            numbers.append(known.get(label) or labels.number_of(raw, label, known, new))
        return numbers

    async def add_dataset(self, name: str, plain: bool) -> None:
        """Make an empty dataset, where there is none of the name."""
        if (name, plain) not in self._numbers:
            number = await self._write(lambda raw: _add_dataset(raw, name, plain))
            self._know(Dataset(number, name, plain))

    async def delete(self, seqs: Sequence[int]) -> int:
        """Delete rows by number; returns how many were there."""
        new = [seq for seq in dict.fromkeys(seqs) if 0 < seq < self.next_seq and seq not in self.dead]
        if new:
            await self._write(lambda raw: self._bury(raw, new))
            self.dead |= frozenset(new)
        return len(new)

    def _bury(self, raw: sqlite3.Connection, seqs: Sequence[int]) -> None:
        for seq in seqs:
            place = raw.execute(
                "SELECT b.first_seq, head, data FROM block b JOIN body USING (id)"
                " WHERE first_seq <= ? ORDER BY first_seq DESC LIMIT 1",
                (seq,),
            ).fetchone()
            if place is None or seq >= place[0] + int(
                raw.execute("SELECT rows FROM block WHERE first_seq=?", (place[0],)).fetchone()[0]
            ):
                place = raw.execute(
                    "SELECT first_seq, head, data FROM tail WHERE first_seq <= ?"
                    " ORDER BY first_seq DESC LIMIT 1",
                    (seq,),
                ).fetchone()
            line = unpack(place[1], place[2])[seq - place[0]]
            raw.execute("INSERT OR IGNORE INTO dead VALUES (?)", (seq,))
            raw.execute("DELETE FROM named WHERE seq=?", (seq,))
            minute = line.time_us // 60_000_000
            raw.execute(
                "UPDATE rollup SET n = n - 1 WHERE minute=? AND dataset=? AND level=?",
                (minute, line.dataset, line.level),
            )
            for unit, at in (("minute", minute), ("hour", minute // 60)):
                raw.execute(
                    f"UPDATE pattern_{unit} SET n = n - 1 WHERE {unit}=? AND dataset=? AND pattern=?",  # noqa: S608 - fixed texts
                    (at, line.dataset, line.pattern),
                )
            label = self._labels.get(labels.read_label(line.raw), labels.OTHER)
            raw.execute(
                "UPDATE labelled SET n = n - 1 WHERE slot=? AND dataset=? AND level=? AND label=?",
                (line.time_us // SLOT_US, line.dataset, line.level, label),
            )

    async def delete_datasets(self, wanted: Callable[[Dataset], bool]) -> int:
        """Delete whole datasets of the day; their rows vanish at once. Returns how many datasets."""
        numbers = [one.id for one in self.datasets.values() if not one.gone and wanted(one)]
        if numbers:
            await self._write(lambda raw: _forget(raw, numbers))
            for number in numbers:
                one = self.datasets[number]
                self.datasets[number] = Dataset(one.id, one.name, one.plain, gone=True)
                self._numbers.pop((one.name, one.plain), None)
        return len(numbers)

    async def add_segment(self, first_seq: int, packed: Packed) -> None:
        """Add columns over blocks that are there."""
        await self._write(lambda raw: packed.write(raw, first_seq))

    async def sync(self) -> None:
        """Make what is committed survive a power cut."""
        if self.dirty:
            self.dirty = False
            await self.database.sync()

    def index_name(self, number: int) -> str:
        """The index that shows a dataset of this day."""
        one = self.datasets[number]
        return index_of(one.name, one.plain, self.day)


class _Change(msgspec.Struct):
    """What a transaction makes of the in-memory state, applied only after it is committed."""

    next_seq: int
    tail: list[Line] = []
    datasets: list[Dataset] = []
    stored: list[Stored] = []
    dead: list[int] = []
    labels: dict[Label, int] = {}


def create(raw: sqlite3.Connection) -> None:
    """Make the tables of a day."""
    for statement in _SCHEMA.split(";\n"):
        if statement.strip():
            raw.execute(statement)
    raw.execute("INSERT INTO text(text, rank) VALUES ('automerge', 8)")
    raw.execute(f"PRAGMA user_version={_VERSION}")


def _add_dataset(raw: sqlite3.Connection, name: str, plain: bool) -> int:
    # An index may have been made empty while a batch that names it was on its way.
    known = raw.execute(
        "SELECT id FROM dataset WHERE name=? AND plain=? AND NOT gone", (name, plain)
    ).fetchone()
    if known is not None:
        return int(known[0])
    return int(raw.execute("INSERT INTO dataset (name, plain) VALUES (?, ?)", (name, plain)).lastrowid or 0)


def insert_block(
    raw: sqlite3.Connection, first_seq: int, rows: Columns, level: int = 3, *, pairs: bool = False
) -> None:
    """Write a block and index its text, with its pairs of words if asked for; `level` is zstd's."""
    head, data = rows.pack(level)
    levels = datasets = 0
    for one in set(rows.levels):
        levels |= 1 << one
    for one in set(rows.datasets):
        datasets |= dataset_bit(one)
    times = rows.times
    number = raw.execute(
        "INSERT INTO block (first_seq, rows, min_us, max_us, levels, datasets) VALUES (?, ?, ?, ?, ?, ?)",
        (first_seq, len(times), min(times), max(times), levels, datasets),
    ).lastrowid
    raw.execute("INSERT INTO body VALUES (?, ?, ?)", (number, head, data))
    text = indexed_text(rows.body.decode("utf-8", "replace"))
    marks = "".join([f" {pattern_id(pattern)}" for pattern in set(rows.patterns) if pattern])
    if pairs:
        marks += f" {pair_marks(text)}"
    raw.execute("INSERT INTO text (rowid, body) VALUES (?, ?)", (number, text + marks))


def dataset_bit(number: int) -> int:
    """The bit of a dataset in a block's set; the many-th ones share the last."""
    return 1 << min(number, _OTHER_BIT)


def _forget(raw: sqlite3.Connection, numbers: Sequence[int]) -> None:
    for number in numbers:
        raw.execute("UPDATE dataset SET gone=1 WHERE id=?", (number,))
        rollups.forget(raw, number)
        raw.execute("DELETE FROM named WHERE dataset=?", (number,))


def installation_id(raw: sqlite3.Connection) -> str:
    """The id of this installation, from the state database."""
    row = raw.execute("SELECT value FROM meta WHERE key='installation_id'").fetchone()
    return str(row[0])
