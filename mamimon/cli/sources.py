"""Where `mamimon logs ingest` reads lines: files (also compressed), standard input, files that grow."""

from __future__ import annotations

import contextlib
import gzip
import os
import select
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, BinaryIO, cast

MAX_LINE = 768 * 1024
"""Below the largest record that a server takes by default."""
_STEP = 256 * 1024
_LINGER_S = 1.0


def opened(path: Path) -> IO[bytes]:
    """A file to read from, decompressed if it begins as gzip or zstd do."""
    file = path.open("rb")
    magic = file.read(4)
    file.seek(0)
    if magic[:2] == b"\x1f\x8b":
        return cast("IO[bytes]", gzip.open(file))
    if magic == b"\x28\xb5\x2f\xfd":
        import zstandard

        engine = zstandard.ZstdDecompressor(max_window_size=1 << 27)
        return cast("IO[bytes]", engine.stream_reader(file, read_across_frames=True))
    return file


class Splitter:
    """Cuts octets into lines; a line over `MAX_LINE` is cut into pieces, none of it lost."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that these octets complete, without their ends."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > MAX_LINE:
            lines, self._rest = [*lines, self._rest], b""
        if any(len(line) > MAX_LINE for line in lines):
            lines = [line[i : i + MAX_LINE] for line in lines for i in range(0, len(line) or 1, MAX_LINE)]
        return lines

    @property
    def waiting(self) -> int:
        """Octets of the line that is not complete."""
        return len(self._rest)

    def rest(self) -> list[bytes]:
        """What has no end, as a line."""
        rest, self._rest = self._rest, b""
        return [rest] if rest else []


def text_of(line: bytes) -> str:
    """A line as text; what is not UTF-8 is taken for Latin-1, which loses nothing."""
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError:
        return line.decode("latin-1")


def whole_lines(file: IO[bytes]) -> Iterator[list[bytes]]:
    """The lines of a file from its front to its end, some at a time."""
    splitter = Splitter()
    while data := file.read(_STEP):
        yield splitter.feed(data)
    yield splitter.rest()


def piped_lines(descriptor: int, wait_s: float) -> Iterator[list[bytes] | None]:
    """The lines of standard input as they come; None whenever nothing came for a while."""
    splitter = Splitter()
    while True:
        if not select.select([descriptor], [], [], wait_s)[0]:
            yield None
            continue
        data = os.read(descriptor, _STEP)
        if not data:
            break
        yield splitter.feed(data)
    yield splitter.rest()


class Followed:
    """A file that grows, is renamed away and made anew, or is copied and truncated."""

    def __init__(self, path: Path, inode: int = 0, offset: int = 0, *, from_end: bool = False) -> None:
        self.path = path
        self._file: BinaryIO | None = None
        self._splitter = Splitter()
        self._inode = 0
        self._read_to = 0
        self._known = (inode, offset)
        self._from_end = from_end
        self._gone_at = 0.0
        self.turned = False
        """The last `lines` ended a file: what is held of it is complete, and the next ones are another's."""

    @property
    def place(self) -> tuple[int, int]:
        """The inode, and the offset up to which lines were given out."""
        return self._inode, self._read_to - self._splitter.waiting

    def lines(self) -> list[bytes]:
        """The lines that were added, some at a time; empty where there is nothing new."""
        if self._file is None and not self._open():
            return []
        assert self._file is not None
        if os.fstat(self._file.fileno()).st_size < self._read_to:
            # Copied and truncated: what was written since begins at the front.
            self._file.seek(0)
            self._read_to = 0
            self.turned = True
            return self._splitter.rest()
        data = self._file.read(_STEP)
        if data:
            self._read_to += len(data)
            self._gone_at = 0.0
            return self._splitter.feed(data)
        if self._replaced() and self._quiet():
            self._file.close()
            self._file = None
            self.turned = True
            return self._splitter.rest()
        return []

    def _quiet(self) -> bool:
        """Whoever writes may not have noticed yet that the file was renamed, and go on for a moment."""
        now = time.monotonic()
        self._gone_at = self._gone_at or now
        return now - self._gone_at >= _LINGER_S

    def _open(self) -> bool:
        try:
            file = self.path.open("rb")
        except FileNotFoundError:
            return False
        self._file = file
        status = os.fstat(file.fileno())
        inode, offset = self._known
        start = 0
        if status.st_ino == inode and offset <= status.st_size:
            start = offset
        elif self._from_end:
            start = status.st_size
        # Only the file that was there at the start may be begun elsewhere than at its front.
        self._known, self._from_end = (0, 0), False
        file.seek(start)
        self._inode, self._read_to = status.st_ino, start
        return True

    def _replaced(self) -> bool:
        with contextlib.suppress(FileNotFoundError):
            return self.path.stat().st_ino != self._inode
        return False

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None
