"""Days that are due, what became of them, and the manifest beside each backup."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

import msgspec


@runtime_checkable
class DayStore(Protocol):
    """A signal that keeps a file a UTC day."""

    def days(self) -> Sequence[str]:
        """Days that have data, as `YYYY-MM-DD`."""
        ...

    def day_path(self, day: str) -> Path:
        """The file of a day."""
        ...

    async def snapshot_day(self, day: str, target: Path) -> None:
        """A consistent copy of the day's file at `target`."""
        ...

    async def drop_day(self, day: str) -> None:
        """Delete the day."""
        ...


class DueDay(msgspec.Struct, frozen=True):
    """A day that is older than its signal is kept."""

    signal: str
    day: str
    bytes: int


class DayResult(msgspec.Struct, frozen=True):
    """What the clean-up did with a due day; `error` is empty where it is gone."""

    signal: str
    day: str
    bytes: int
    backup: str = ""
    error: str = ""


class Deletion(msgspec.Struct, frozen=True):
    """A row of the deletion log; times are epoch seconds."""

    signal: str
    day: str
    bytes: int
    backup: str
    sha256: str
    started_at: float
    done_at: float | None


class Run(msgspec.Struct, frozen=True):
    """A clean-up that ended at `at` (epoch seconds)."""

    at: float
    deleted: int
    failed: int
    message: str


class Manifest(msgspec.Struct, kw_only=True):
    """What a backup file holds; stored beside it as `<name>.json`."""

    format: int = 1
    signal: str
    """logs, metrics, errors, events, or state for mamimon.db."""
    day: str
    """The UTC day, or the moment a state backup was made."""
    path: str
    """Where the file belongs, relative to the data directory."""
    file: str
    """The backup file's own name."""
    bytes: int
    sha256: str
    """Of the SQLite file itself."""
    file_bytes: int
    file_sha256: str
    """Of the backup file as it lies there."""
    encrypted: bool
    recipients: list[str] = []
    made_at: float
    made_by: str
    source: str = ""
    """What the source looked like, so that an unchanged day is not copied again."""
