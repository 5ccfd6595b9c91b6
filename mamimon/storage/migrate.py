"""Numbered SQL migrations, applied in order, each in a transaction, with a checksum.

A migration that was applied and then edited is refused: the database would no longer be what the
files say.
"""

from __future__ import annotations

import hashlib
import sqlite3
from pathlib import Path

from mamimon.storage.database import Database


class MigrationError(Exception):
    """The recorded migrations and the shipped ones do not agree."""


def migrations_dir() -> Path:
    """Where the SQL files are: beside the package in a checkout, inside it in a wheel."""
    package = Path(__file__).resolve().parent.parent
    shipped = package / "_migrations"
    return shipped if shipped.is_dir() else package.parent / "migrations"


async def migrate(database: Database, name: str) -> list[str]:
    """Apply what `migrations/<name>/NNNN_*.sql` holds beyond the database's state.

    Returns the names applied now. Copies the file beside itself first when it already held
    migrations, so an upgrade can be taken back.
    """
    files = sorted((migrations_dir() / name).glob("[0-9][0-9][0-9][0-9]_*.sql"))
    texts = {file.stem: file.read_text(encoding="utf-8") for file in files}
    done = await database.write(_applied)
    pending = _pending(texts, done)
    if pending and done:
        copy = database.path.with_suffix(f".before-{pending[0][:4]}.db")
        await database.manage(lambda raw: _copy(raw, copy))
    for stem in pending:
        await database.write(lambda raw, stem=stem: _apply(raw, stem, texts[stem]))  # type: ignore[misc]
    return pending


def _applied(raw: sqlite3.Connection) -> dict[str, str]:
    raw.execute(
        "CREATE TABLE IF NOT EXISTS migration (name TEXT PRIMARY KEY, checksum TEXT NOT NULL,"
        " applied_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP) WITHOUT ROWID"
    )
    return dict(raw.execute("SELECT name, checksum FROM migration"))


def _pending(texts: dict[str, str], done: dict[str, str]) -> list[str]:
    for stem, checksum in done.items():
        if stem not in texts:
            raise MigrationError(f"{stem} was applied by a newer mamimon; this one does not know it")
        if _checksum(texts[stem]) != checksum:
            raise MigrationError(f"{stem} was changed after it was applied")
    return [stem for stem in texts if stem not in done]


def _apply(raw: sqlite3.Connection, stem: str, text: str) -> None:
    for statement in _statements(text):
        raw.execute(statement)
    raw.execute("INSERT INTO migration (name, checksum) VALUES (?, ?)", (stem, _checksum(text)))


def _statements(text: str) -> list[str]:
    # executescript() would commit the surrounding transaction, so split the script ourselves.
    statements: list[str] = []
    pending = ""
    for line in text.splitlines(keepends=True):
        pending += line
        if sqlite3.complete_statement(pending):
            statements.append(pending)
            pending = ""
    if pending.strip():
        raise MigrationError(f"unfinished statement: {pending.strip()[:80]}")
    return statements


def _copy(raw: sqlite3.Connection, path: Path) -> None:
    path.unlink(missing_ok=True)
    raw.execute("VACUUM INTO ?", (str(path),))


def _checksum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
