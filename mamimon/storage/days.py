"""UTC days, by which the signals cut their files, and removing such a file."""

from __future__ import annotations

import datetime as dt
from functools import lru_cache
from pathlib import Path


def day_of(seconds: float) -> str:
    """The UTC day of an instant (epoch seconds), `YYYY-MM-DD`."""
    return _day_name(int(seconds // 86_400))


@lru_cache(4096)
def _day_name(number: int) -> str:
    return dt.datetime.fromtimestamp(number * 86_400, dt.UTC).strftime("%Y-%m-%d")


@lru_cache(4096)
def day_start(day: str) -> float:
    """Epoch seconds at which a UTC day begins; another text raises `ValueError`."""
    return dt.datetime.strptime(day, "%Y-%m-%d").replace(tzinfo=dt.UTC).timestamp()


def remove_database(path: Path) -> None:
    """Delete a closed SQLite file with its WAL and shared memory; blocking, and no error if it is gone."""
    for suffix in ("-wal", "-shm", ""):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
