"""A stored line as LogQL sees it: its labels, its text, and whether a log query takes it."""

from __future__ import annotations

import calendar
import re
import time
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from mamimon.logs.clauses import ALL_LEVELS, And, Clause, Row
from mamimon.logs.clauses.base import Plain
from mamimon.logs.clauses.fields import Words
from mamimon.logs.clauses.needles import Needle, glob_needle
from mamimon.logs.clauses.patterns import join
from mamimon.logs.model import LEVELS, level_number, message_of
from mamimon.logs.text import fold, leaves, lookup, shown
from mamimon.logs.wire.loki.syntax import Drop, LineFilter, Log, Matcher, Stage, regex

OWN = ("dataset", "service", "host", "environment", "level")
"""Labels of lines that were not pushed as a stream of Loki's."""
_LEVEL_NAMES = frozenset(("level", "detected_level"))
_HIDDEN = frozenset(("message", "@timestamp"))
_NOT_IN_A_LABEL = re.compile(r"[^a-zA-Z0-9_]")
_NANOSECONDS = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\.(\d{9})Z")
_WORD = re.compile(r"\w+")
_LOGFMT = re.compile(r'([^\s="]+)=("(?:[^"\\]|\\.)*"|[^\s"]*)')
_MOST_FIELDS = 100


def label_name(path: str) -> str:
    """A field's path as a label may be called."""
    name = _NOT_IN_A_LABEL.sub("_", path)
    return f"_{name}" if name[:1].isdigit() else name


def stream_of(row: Row) -> dict[str, str]:
    """The labels of the stream that the line is in."""
    labels = row.document.get("labels")
    if isinstance(labels, dict) and labels and all(isinstance(value, str) for value in labels.values()):
        return labels
    found = {name: value(row, name) for name in OWN}
    return {name: text for name, text in found.items() if text}


def metadata_of(row: Row, stream: dict[str, str]) -> dict[str, str]:
    """Every other field, as structured metadata."""
    out: dict[str, str] = {}
    for path, scalar in leaves(row.document):
        name = label_name(path)
        if path in _HIDDEN or path.startswith("labels.") or name in stream or name in out:
            continue
        if len(out) >= _MOST_FIELDS:
            break
        out[name] = shown(scalar)
    if row.level and "level" not in stream:
        out["detected_level"] = LEVELS[row.level].lower()
    return out


def value(row: Row, name: str) -> str:
    """What a label, or else a field, of the line holds; empty where there is none."""
    if name == "dataset":
        return row.source.dataset_of(row.dataset)
    if name in _LEVEL_NAMES and row.level:
        return LEVELS[row.level].lower()
    document = row.document
    labels = document.get("labels")
    if isinstance(labels, dict) and name in labels:
        return shown(labels[name])
    if name in _LEVEL_NAMES:
        return ""
    found = lookup(document, "service" if name == "service_name" and name not in document else name)
    if not found and "_" in name:
        found = [scalar for path, scalar in leaves(document) if label_name(path) == name][:1]
    return shown(found[0]) if found else ""


def time_ns(row: Row) -> int:
    """The time in nanoseconds, with all the digits that were sent."""
    written = row.document.get("@timestamp")
    if isinstance(written, str) and (found := _NANOSECONDS.fullmatch(written)):
        return calendar.timegm(time.strptime(found[1], "%Y-%m-%dT%H:%M:%S")) * 10**9 + int(found[2])
    return row.time_us * 1000


class Selected(Plain):
    """The clause of a log query; `labels(row)` also gives what its pipeline made of them."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._tests = [_test(one) for one in log.matchers]
        self._stages = [_stage(one) for one in log.stages]
        self.levels_asked = ALL_LEVELS
        narrowing: list[Clause] = []
        for one in log.matchers:
            if one.op != "=" or not one.value:
                continue
            if one.name in _LEVEL_NAMES:
                number = level_number(one.value)
                self.levels_asked &= (1 << number) | 1 if number else ALL_LEVELS
            elif one.name != "dataset":
                narrowing.append(Words("", one.value))
        narrowing += [
            Piece(one.values[0])
            for one in log.stages
            if isinstance(one, LineFilter) and one.op == "|=" and len(one.values) == 1
        ]
        self._narrowing = And(narrowing)
        self._datasets = [_value_test(one) for one in log.matchers if one.name == "dataset"]

    def datasets(self) -> Callable[[str, bool, str], bool] | None:
        """The test that `Plan.datasets` takes."""
        if not self._datasets:
            return None
        return lambda name, plain, index: all(test(name) for test in self._datasets)

    def only_levels(self) -> OnlyLevels | None:
        """The clause of a query that asks for datasets and levels alone, which blocks tell unopened."""
        mask = ALL_LEVELS
        for one in self._log.matchers:
            if one.name == "dataset":
                continue
            number = level_number(one.value) if one.name in _LEVEL_NAMES else 0
            if not number or one.op not in {"=", "!="}:
                return None
            mask &= 1 << number if one.op == "=" else ~(1 << number)
        return None if any(not isinstance(stage, Drop) for stage in self._log.stages) else OnlyLevels(mask)

    def match(self, row: Row) -> bool:
        """See `Clause.match`."""
        return all(test(row, {}) for test in self._tests) and self.extracted(row) is not None

    def extracted(self, row: Row) -> dict[str, str] | None:
        """Labels that the pipeline added (empty text: dropped), or None where it takes the line away."""
        found: dict[str, str] = {}
        for stage in self._stages:
            if not stage(row, found):
                return None
        return found

    def index(self) -> str | None:
        """See `Clause.index`."""
        return self._narrowing.index()

    def needles(self) -> tuple[Needle, ...] | None:
        """See `Clause.needles`."""
        return self._narrowing.needles()

    def levels(self) -> int:
        """See `Clause.levels`."""
        return self.levels_asked


class OnlyLevels(Plain):
    """Lines of some levels, told by the heads of blocks."""

    def __init__(self, mask: int) -> None:
        self._mask = mask

    def match(self, row: Row) -> bool:
        """See `Clause.match`."""
        return bool(self._mask >> row.level & 1)

    def levels(self) -> int:
        """See `Clause.levels`."""
        return self._mask


class Piece(Plain):
    """Text that stands anywhere in a line, also inside a word; says where to look, not whether."""

    def __init__(self, text: str) -> None:
        self._text = text

    def match(self, row: Row) -> bool:
        """See `Clause.match`."""
        return True

    def index(self) -> str | None:
        """See `Clause.index`."""
        parts: list[str] = []
        for found in _WORD.finditer(self._text):
            word = fold(found[0])
            if not word.isascii() or found.start() == 0:
                continue  # the first may be the end of a longer word
            parts.append(f'"{word}" *' if found.end() == len(self._text) else f'"{word}"')
        return join(" AND ", list(dict.fromkeys(parts)))

    def needles(self) -> tuple[Needle, ...] | None:
        """See `Clause.needles`."""
        return glob_needle("".join(char if char not in "*?\\" else " " for char in self._text))


_Test = Callable[[Row, dict[str, str]], bool]


def _test(matcher: Matcher) -> _Test:
    name = matcher.name
    if matcher.number is not None:
        compare = _comparison(matcher.op, matcher.number)
        return lambda row, extracted: compare(_label(row, extracted, name))
    wanted = level_number(matcher.value) if name in _LEVEL_NAMES else 0
    if wanted and matcher.op in {"=", "!="}:
        # error, ERROR and err are the same level.
        return lambda row, extracted: (_level(row, extracted, name) == wanted) == (matcher.op == "=")
    compare_text = _value_test(matcher)
    return lambda row, extracted: compare_text(_label(row, extracted, name))


def _level(row: Row, extracted: dict[str, str], name: str) -> int:
    return level_number(_label(row, extracted, name))


def _label(row: Row, extracted: dict[str, str], name: str) -> str:
    found = extracted.get(name)
    return value(row, name) if found is None else found


def _value_test(matcher: Matcher) -> Callable[[str], bool]:
    if "~" in matcher.op:
        pattern = regex(matcher.value)
        wanted = matcher.op == "=~"
        return lambda text: (pattern.fullmatch(text) is not None) == wanted
    same = matcher.op == "="
    return lambda text: (text == matcher.value) == same


def _comparison(op: str, number: float) -> Callable[[str], bool]:
    def run(text: str) -> bool:
        try:
            found = float(text)
        except ValueError:
            return False
        return {
            "==": found == number, "!=": found != number, ">": found > number, ">=": found >= number,
            "<": found < number, "<=": found <= number,
        }[op]  # fmt: skip

    return run


def _stage(stage: Stage) -> _Test:
    if isinstance(stage, Matcher):
        return _test(stage)
    if isinstance(stage, LineFilter):
        return _line_filter(stage)
    if isinstance(stage, Drop):
        return _drop(stage)
    return _json if stage.kind == "json" else _logfmt


def _line_filter(stage: LineFilter) -> _Test:
    wanted = stage.op in {"|=", "|~"}
    if "~" in stage.op:
        patterns = [regex(text) for text in stage.values]
        return lambda row, _: any(p.search(message_of(row.document)) for p in patterns) == wanted
    return lambda row, _: any(text in message_of(row.document) for text in stage.values) == wanted


def _drop(stage: Drop) -> _Test:
    def run(row: Row, extracted: dict[str, str]) -> bool:
        extracted.update(dict.fromkeys(stage.names, ""))
        return True

    return run


def _json(row: Row, extracted: dict[str, str]) -> bool:
    """`| json`: the fields of a line of JSON; those of other lines are known by name anyway."""
    text = message_of(row.document)
    if text.startswith("{"):
        try:
            found = msgspec.json.decode(text)
        except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
            extracted["__error__"] = "JSONParserErr"
            return True
        _extract(row, extracted, ((label_name(path), shown(scalar)) for path, scalar in leaves(found)))
    return True


def _logfmt(row: Row, extracted: dict[str, str]) -> bool:
    """`| logfmt`: the `key=value` pairs of the line."""
    pairs = (
        (label_name(key), raw[1:-1].replace('\\"', '"') if raw[:1] == '"' else raw)
        for key, raw in _LOGFMT.findall(message_of(row.document))
    )
    _extract(row, extracted, pairs)
    return True


def parsed_by(parser: str, row: Row) -> dict[str, str]:
    """What `| json` or `| logfmt` reads out of the line's text."""
    found: dict[str, str] = {}
    (_json if parser == "json" else _logfmt)(row, found)
    return {name: text for name, text in found.items() if text and name != "__error__"}


def _extract(row: Row, extracted: dict[str, str], pairs: Iterable[tuple[str, str]]) -> None:
    stream: dict[str, Any] = stream_of(row)
    for name, text in pairs:
        if len(extracted) >= _MOST_FIELDS:
            return
        extracted[f"{name}_extracted" if name in stream else name] = text
