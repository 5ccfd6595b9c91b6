"""The tables of a day file, and how older files come to them."""

from __future__ import annotations

import itertools
import sqlite3
from pathlib import Path

from mamimon.problems import unavailable

_VERSION = 4
_UPGRADE_2 = (
    "ALTER TABLE wal ADD COLUMN histograms BLOB NOT NULL DEFAULT x''",
    "CREATE TABLE histogram (chunk INTEGER NOT NULL, place INTEGER NOT NULL, data BLOB NOT NULL,"
    " PRIMARY KEY (chunk, place))",
)
_UPGRADE_3 = (
    "ALTER TABLE wal ADD COLUMN starts BLOB NOT NULL DEFAULT x''",
    "CREATE TABLE start (chunk INTEGER PRIMARY KEY, data BLOB NOT NULL)",
)
_UPGRADE_4 = (
    "ALTER TABLE chunk ADD COLUMN cuts BLOB NOT NULL DEFAULT x''",
    f"PRAGMA user_version = {_VERSION}",
)
_SCHEMA = (
    "CREATE TABLE source (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE)",
    "CREATE TABLE series (id INTEGER PRIMARY KEY, labels TEXT NOT NULL)",
    "CREATE TABLE wal (id INTEGER PRIMARY KEY, head INTEGER NOT NULL, source INTEGER NOT NULL,"
    " window_ms INTEGER NOT NULL, at_ms INTEGER NOT NULL, added BLOB NOT NULL, row BLOB NOT NULL)",
    "CREATE INDEX wal_head ON wal (head)",
    "CREATE TABLE chunk (id INTEGER PRIMARY KEY, source INTEGER NOT NULL, start_ms INTEGER NOT NULL,"
    " end_ms INTEGER NOT NULL, scrapes INTEGER NOT NULL, series INTEGER NOT NULL, times BLOB NOT NULL,"
    " ids BLOB NOT NULL)",
    "CREATE TABLE part (id INTEGER PRIMARY KEY, data BLOB NOT NULL)",
    "CREATE TABLE exemplar (series INTEGER NOT NULL, at_ms INTEGER NOT NULL, value REAL NOT NULL,"
    " labels TEXT NOT NULL, PRIMARY KEY (series, at_ms)) WITHOUT ROWID",
    *_UPGRADE_2,
    *_UPGRADE_3,
    *_UPGRADE_4,
)


def create(raw: sqlite3.Connection, path: Path) -> None:
    """Bring a file to the present version; one of a newer version raises `UNAVAILABLE`."""
    version = version_of(raw)
    if version > _VERSION:
        raise unavailable(f"{path.name} was written by a newer mamimon")
    upgrades = (_UPGRADE_2, _UPGRADE_3, _UPGRADE_4)
    steps = (_SCHEMA,) if version == 0 else upgrades[version - 1 :]
    for statement in itertools.chain.from_iterable(steps):
        raw.execute(statement)


def version_of(raw: sqlite3.Connection) -> int:
    """The version that a file was written by; 0 for an empty one."""
    return int(raw.execute("PRAGMA user_version").fetchone()[0])
