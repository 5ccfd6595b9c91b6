"""Days that are due, what became of them, and the manifest beside each backup."""

from __future__ import annotations

import datetime as dt
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


@runtime_checkable
class MonthStore(Protocol):
    """A signal that keeps a file a UTC month, named `YYYY-MM`."""

    def months(self) -> Sequence[str]:
        """Months that have data."""
        ...

    def month_path(self, month: str) -> Path:
        """The file of a month."""
        ...

    async def snapshot_month(self, month: str, target: Path) -> None:
        """A consistent copy of the month's file at `target`."""
        ...

    async def drop_month(self, month: str) -> None:
        """Delete the month."""
        ...


class Months:
    """A `MonthStore` seen as a `DayStore` whose days are months."""

    def __init__(self, store: MonthStore) -> None:
        self.days = store.months
        self.day_path = store.month_path
        self.snapshot_day = store.snapshot_month
        self.drop_day = store.drop_month


def ends_at(day: str) -> float:
    """Epoch seconds at which a day (`YYYY-MM-DD`) or month (`YYYY-MM`) is over."""
    if len(day) == 7:
        year, month = int(day[:4]), int(day[5:])
        return dt.datetime(year + month // 12, month % 12 + 1, 1, tzinfo=dt.UTC).timestamp()
    return dt.datetime.fromisoformat(day).replace(tzinfo=dt.UTC).timestamp() + 86_400.0


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
