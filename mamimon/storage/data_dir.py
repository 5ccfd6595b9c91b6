"""The data directory: where it is, and that one server at a time has it.

Stands by itself so that a command that only wants the path does not import the server.
"""

from __future__ import annotations

import fcntl
import os
import sys
from pathlib import Path

from mamimon.config import ConfigError

LOCK = "mamimon.lock"


class DataDirLock:
    """One server a data directory: an advisory lock that dies with the process."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file = -1

    def __enter__(self) -> None:
        self._file = os.open(self._folder / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._file)
            raise ConfigError(
                f"{self._folder} is in use by another mamimon; stop it or pass --data-dir"
            ) from None

    def __exit__(self, *_: object) -> None:
        os.close(self._file)


def data_dir_is_free(folder: Path) -> bool:
    """Whether no server holds the data directory now; a folder that is not there is made."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with DataDirLock(folder):
            return True
    except ConfigError:
        return False


def default_data_dir() -> Path:
    """`./mamimon-data` if it is there, else the platform's data directory."""
    here = Path("mamimon-data")
    if here.is_dir():
        return here
    if sys.platform == "darwin":
        return Path.home() / "Library/Application Support/mamimon"
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share") / "mamimon"
