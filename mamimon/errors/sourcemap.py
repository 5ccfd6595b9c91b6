"""Source maps (ECMA-426): from a place in a minified file to the place in what people wrote.

Mappings are decoded by numpy, a piece of a megabyte at a time, into sorted arrays: a bundle's map of
five megabytes takes a fraction of a second and 24 bytes a mapping. No well-kept Python library reads
them: `sourcemap` and `libsourcemap` are of 2017, the rest are tools.
"""

from __future__ import annotations

import posixpath
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

MAX_BYTES = 64 << 20
MAX_SECTIONS = 1000
_PIECE = 1 << 20
_COMMA, _SEMICOLON, _BAD = 64, 65, 66
_CLASS = np.full(256, _BAD, np.uint8)
for _index, _char in enumerate(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"):
    _CLASS[_char] = _index
_CLASS[ord(",")], _CLASS[ord(";")] = _COMMA, _SEMICOLON

Ints = npt.NDArray[np.int64]


class Token(NamedTuple):
    """Where a place was written; lines and columns count from 0, `name` is empty for none."""

    source: int
    line: int
    column: int
    name: str


class _Json(
    msgspec.Struct, rename={"contents": "sourcesContent", "root": "sourceRoot", "debugid": "debugId"}
):
    version: int = 3
    sources: list[str | None] = []
    contents: list[str | None] = []
    names: list[Any] = []
    mappings: str = ""
    root: str | None = ""
    sections: list[dict[str, Any]] | None = None
    debug_id: str | None = ""
    debugid: str | None = ""


class SourceMap:
    """A decoded map."""

    def __init__(self, sources: list[str], contents: list[str | None], names: list[str]) -> None:
        self.sources = sources
        self.contents = contents
        self.names = names
        self.debug_id = ""
        self._keys: Ints = np.empty(0, np.int64)
        self._fields = np.empty((0, 4), np.int32)
        self._lines: dict[int, list[str]] = {}

    @property
    def cost(self) -> int:
        """About how many bytes it holds in memory."""
        texts = sum(len(one) for one in self.contents if one) + sum(len(one) + 60 for one in self.names)
        return texts + self._keys.nbytes + self._fields.nbytes

    def find(self, line: int, column: int) -> Token | None:
        """What a place of the minified file comes from; None where the map does not say."""
        at = int(np.searchsorted(self._keys, (line << 32) | column, "right")) - 1
        if at < 0 or int(self._keys[at]) >> 32 != line:
            return None
        source, original, place, name = (int(one) for one in self._fields[at])
        if not 0 <= source < len(self.sources) or original < 0 or place < 0:
            return None
        return Token(source, original, place, self.names[name] if 0 <= name < len(self.names) else "")

    def lines(self, source: int) -> list[str]:
        """The lines of a source that the map carries; empty where it does not."""
        if source not in self._lines:
            text = self.contents[source] if source < len(self.contents) else None
            self._lines = {source: (text or "").replace("\r\n", "\n").split("\n") if text else []}
        return self._lines[source]


def parse(data: bytes) -> SourceMap:
    """Read a source map, plain or in sections; raises `ValueError` for what is none or is too large."""
    if len(data) > MAX_BYTES:
        raise ValueError(f"a source map of more than {MAX_BYTES} bytes")
    if data.startswith(b")]}"):  # a guard against being read as a script
        data = data.split(b"\n", 1)[-1]
    try:
        raw = msgspec.json.decode(data, type=_Json)
        made = _sectioned(raw) if raw.sections is not None else _plain(raw)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise ValueError(f"not a source map: {str(error)[:200]}") from None
    made.debug_id = raw.debug_id or raw.debugid or ""
    return made


def _plain(raw: _Json) -> SourceMap:
    if raw.version != 3:
        raise ValueError(f"a source map of version {raw.version}")
    root = raw.root or ""
    sources = [posixpath.join(root, one or "") if root else one or "" for one in raw.sources]
    made = SourceMap(sources, raw.contents, [str(one) for one in raw.names])
    made._keys, made._fields = _decode(raw.mappings)
    return made


def _sectioned(raw: _Json) -> SourceMap:
    sections = raw.sections or []
    if len(sections) > MAX_SECTIONS:
        raise ValueError(f"a source map of more than {MAX_SECTIONS} sections")
    whole = SourceMap([], [], [])
    keys, fields = [], []
    for section in sections:
        part = _plain(msgspec.convert(section.get("map"), _Json))
        offset = section.get("offset")
        offset = offset if isinstance(offset, dict) else {}
        line, column = offset.get("line", 0), offset.get("column", 0)
        if not isinstance(line, int) or not isinstance(column, int) or min(line, column) < 0:
            raise ValueError("a section's offset is no place")
        # The column counts only on the section's first line.
        keys.append(part._keys + (line << 32) + np.where(part._keys >> 32 == 0, column, 0))
        moved = part._fields.copy()
        moved[:, 0] += np.where(moved[:, 0] >= 0, len(whole.sources), 0)
        moved[:, 3] += np.where(moved[:, 3] >= 0, len(whole.names), 0)
        fields.append(moved)
        whole.contents += [None] * (len(whole.sources) - len(whole.contents)) + part.contents
        whole.sources += part.sources
        whole.names += part.names
    if keys:
        whole._keys, whole._fields = np.concatenate(keys), np.concatenate(fields)
    return whole


def _decode(mappings: str) -> tuple[Ints, npt.NDArray[np.int32]]:
    """Sorted places (`line << 32 | column`) and, of each, source, line, column and name (-1 for none)."""
    if not mappings.isascii():
        raise ValueError("mappings hold what is no base 64 VLQ")
    data = mappings.encode()
    carry = np.zeros(6, np.int64)  # line, column, source, original line, original column, name
    keys, fields = [], []
    at = 0
    while at < len(data):
        end = min(at + _PIECE, len(data))
        if end < len(data):
            # A piece ends after a separator, so no value is cut in two.
            cut = max(data.rfind(b",", at, end), data.rfind(b";", at, end)) + 1
            if cut <= at:
                raise ValueError("mappings hold a value without an end")
            end = cut
        found = _decode_piece(_CLASS[np.frombuffer(data, np.uint8, end - at, at)], carry)
        keys.append(found[0])
        fields.append(found[1])
        at = end
    if not keys:
        return np.empty(0, np.int64), np.empty((0, 4), np.int32)
    key, field = np.concatenate(keys), np.concatenate(fields)
    if (np.diff(key) < 0).any():
        order = np.argsort(key, kind="stable")
        key, field = key[order], field[order]
    return key, field


def _decode_piece(codes: npt.NDArray[np.uint8], carry: Ints) -> tuple[Ints, npt.NDArray[np.int32]]:
    if (codes == _BAD).any():
        raise ValueError("mappings hold what is no base 64 VLQ")
    values, segments = _values(codes)
    semicolons = codes == _SEMICOLON
    # The line of each segment: one more than separators there are.
    separators = codes >= _COMMA
    line_of = np.concatenate(([0], np.cumsum(semicolons[separators]))) + carry[0]
    first = np.flatnonzero(np.diff(segments, prepend=-1))
    counts = np.diff(np.append(first, len(segments)))
    present = segments[first]
    if not np.isin(counts, (1, 4, 5)).all():
        raise ValueError("a mapping has neither one, four nor five fields")
    lines = line_of[present]
    columns = np.cumsum(values[first])
    # Columns start over with each line; before the piece's first line break they go on.
    starts = np.concatenate(([True], np.diff(lines) > 0)) if len(lines) else np.empty(0, bool)
    before = (columns - values[first])[starts]
    base = np.repeat(before, np.diff(np.append(np.flatnonzero(starts), len(lines))))
    columns = columns - base + np.where(lines == carry[0], carry[1], 0)
    fields = np.full((len(present), 4), -1, np.int64)
    for offset, least in ((1, 4), (2, 4), (3, 4), (4, 5)):
        has = counts >= least
        if has.any():
            run = np.cumsum(values[first[has] + offset]) + carry[offset + 1]
            fields[has, offset - 1] = run
            carry[offset + 1] = run[-1]
    last = int(line_of[-1])
    carry[1] = columns[-1] if len(lines) and lines[-1] == last else 0 if last > carry[0] else carry[1]
    carry[0] = last
    if len(columns) and (int(columns.min()) < 0 or int(columns.max()) >= 1 << 31):
        raise ValueError("a mapping lies before its line")
    if len(fields) and (fields.max() >= 1 << 31 or fields.min() < -1):
        raise ValueError("a mapping points nowhere")
    return (lines << 32) | columns, fields.astype(np.int32)


def _values(codes: npt.NDArray[np.uint8]) -> tuple[Ints, Ints]:
    """Every value of a piece and the number of the segment it belongs to."""
    is_digit = codes < _COMMA
    digits = codes[is_digit].astype(np.int64)
    segment: Ints = np.cumsum(~is_digit, dtype=np.int64)[is_digit]
    if not len(digits):
        return digits, segment
    ends = np.flatnonzero(digits & 32 == 0)
    starts = np.concatenate(([0], ends[:-1] + 1))
    if not len(ends) or ends[-1] != len(digits) - 1 or (segment[starts] != segment[ends]).any():
        raise ValueError("mappings hold a value without an end")
    lengths = ends - starts + 1
    if int(lengths.max()) > 7:
        raise ValueError("mappings hold a value of more than 32 bits")
    shift = (np.arange(len(digits)) - np.repeat(starts, lengths)) * 5
    values = np.add.reduceat((digits & 31) << shift, starts)
    return np.where(values & 1, -(values >> 1), values >> 1), segment[ends]
