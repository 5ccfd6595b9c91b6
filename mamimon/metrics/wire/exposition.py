"""The text that targets expose: Prometheus text 0.0.4 and OpenMetrics 1.0, as Prometheus 3 reads them.

A line's series text (`name{labels}`) is kept as it stands: a target exposes the same series each
time, so who scrapes keeps a table from that text to its series and `series_labels` runs once a
series, not once a sample. Sources: prometheus/docs, exposition_formats.md; OpenMetrics 1.0;
prometheus model/textparse (what is accepted and refused).
"""

from __future__ import annotations

import decimal
import math
import re
from collections.abc import Container
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from mamimon.metrics.histogram import Histogram
    from mamimon.metrics.model import Labels

KINDS = {
    "counter",
    "gauge",
    "histogram",
    "gaugehistogram",
    "summary",
    "info",
    "stateset",
    "unknown",
    "untyped",
}
_NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
# Loops unrolled: a character a turn of an alternation made a new line ten times slower.
_QUOTED = r'"[^"\\\n]*(?:\\.[^"\\\n]*)*"'
_BRACES = rf"\{{[^\"\n}}\x00]*(?:{_QUOTED}[^\"\n}}\x00]*)*\}}"
_TEXT_LINE = re.compile(
    rf"[ \t]*((?:{_NAME}[ \t]*)?(?:{_BRACES}|(?<=[^\s{{])(?=[ \t])))"
    rf"[ \t]*([^ \t\x00{{]+)(?:[ \t]+(-?[0-9]+))?[ \t]*\Z"
)
OM_LINE = re.compile(
    rf"((?:{_NAME})?(?:{_BRACES}|(?<=[^\s{{])(?= )))(?: |(?<=\}}) ?)([^ \t\x00#]+)(?: ([^ \t\x00#]+))?"
    rf"(?: # ({_BRACES}) ([^ \t\x00]+)(?: ([^ \t\x00]+))?)?\Z"
)
_LABEL = re.compile(rf"[ \t]*(?:([a-zA-Z_][a-zA-Z0-9_]*)|({_QUOTED}))[ \t]*(?:=[ \t]*({_QUOTED}))?[ \t]*(,)?")
_META = re.compile(rf"#[ \t]+(HELP|TYPE|UNIT)[ \t]+({_NAME}|{_QUOTED})(?:[ \t](.*))?\Z", re.DOTALL)
OM_META = re.compile(rf"# (HELP|TYPE|UNIT) ({_NAME}|{_QUOTED})(?: (.*))?\Z", re.DOTALL)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)


_INFINITE = (math.inf, -math.inf)


class ExpositionError(Exception):
    """A line that cannot be read; the whole scrape fails, as Prometheus' does. Line 0 is the whole body."""

    def __init__(self, line: int, reason: str, samples: int = 0, kept: int | None = None) -> None:
        super().__init__(f"line {line}: {reason}" if line else reason)
        self.line = line
        self.reason = reason
        self.samples = samples
        """How many had been read until then."""
        self.kept = samples if kept is None else kept
        """How many of these relabelling and limits had left."""


class Metadata(msgspec.Struct):
    """What a family says of itself."""

    kind: str = "unknown"
    help: str = ""
    unit: str = ""


class Exemplar(msgspec.Struct):
    """A sample's example: the index of the sample, its labels, value and time (ms) if it has one."""

    sample: int
    labels: Labels
    value: float
    time_ms: int | None


class Exposition(msgspec.Struct, eq=False):
    """A parsed body; `keys`, `values` and `times_ms` (None without any timestamp) go together."""

    keys: list[str]
    values: npt.NDArray[np.float64]
    times_ms: list[int | None] | None
    metadata: dict[str, Metadata]
    exemplars: list[Exemplar]
    histograms: dict[int, Histogram] = {}
    """Index of a sample → native histogram; `values` has `HISTOGRAM_NAN` there."""
    starts_ms: dict[int, int] = {}
    """Index of a sample → when its counter began, where the target says so."""


TEXT = "text/plain"
OPEN_METRICS = "application/openmetrics-text"
PROTOBUF = "application/vnd.google.protobuf"


def media_type(content_type: str, fallback: str = "") -> str:
    """Which of the three formats a Content-Type names; else `fallback`, else `ExpositionError` (line 0)."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind in (TEXT, OPEN_METRICS, PROTOBUF):
        return kind
    if fallback:
        return fallback
    if not kind:
        reason = "non-compliant scrape target sending blank Content-Type"
    else:
        reason = f"received unsupported Content-Type {content_type[:100]!r}"
    raise ExpositionError(0, f"{reason} and no fallback_scrape_protocol specified for target")


def parse(body: bytes, media: str = TEXT, known: Container[str] = ()) -> Exposition:
    """Read a text body of `media` (`TEXT`, `OPEN_METRICS`). Raises `ExpositionError`.

    `known` holds series texts of earlier scrapes: a line of one of them costs a look-up and a `float`.
    """
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ExpositionError(body.count(b"\n", 0, error.start) + 1, "not valid UTF-8") from None
    reader = _Reader(known)
    try:
        return reader.open_metrics(text) if media == OPEN_METRICS else reader.text(text)
    except ExpositionError as error:
        error.samples = error.kept = len(reader.keys)
        raise


class _Reader:
    """Collects one body."""

    def __init__(self, known: Container[str] = ()) -> None:
        self.known = known
        self.keys: list[str] = []
        self.values: list[float] = []
        self.times: list[int | None] = []
        self.timed = False
        self.metadata: dict[str, Metadata] = {}
        self.exemplars: list[Exemplar] = []

    def text(self, text: str) -> Exposition:
        match, keys, values, times = _TEXT_LINE.match, self.keys, self.values, self.times
        known = self.known
        for number, line in enumerate(text.split("\n"), 1):
            key, _, tail = line.rpartition(" ")
            if key in known:
                values.append(float_of(number, tail))
                keys.append(key)
                times.append(None)
                continue
            if not line or line == "\r" or line.isspace():
                continue
            found = match(line)
            if found is None:
                stripped = line.lstrip(" \t")
                if stripped[0] != "#":
                    raise ExpositionError(number, _why(line))
                self._comment(number, stripped)
                continue
            key, value, at = found.groups()
            values.append(float_of(number, value))
            keys.append(key)
            if at is not None:
                self.timed = True
            times.append(None if at is None else int(at))
        return self._done()

    def open_metrics(self, text: str) -> Exposition:
        lines = text.split("\n")
        if lines and lines[-1] == "":
            lines.pop()
        if "# EOF" not in lines:
            # The first line that cannot be read is a better reason than the missing end.
            for number, line in enumerate(lines, 1):
                self._open_line(number, line)
            raise ExpositionError(max(1, len(lines)), "data does not end with # EOF")
        end = lines.index("# EOF")
        for number, line in enumerate(lines[:end], 1):
            key, _, tail = line.rpartition(" ")
            if key in self.known:
                self.values.append(float_of(number, tail))
                self.keys.append(key)
                self.times.append(None)
            else:
                self._open_line(number, line)
        if end != len(lines) - 1:
            raise ExpositionError(end + 2, "unexpected data after # EOF")
        return self._done()

    def _open_line(self, number: int, line: str) -> None:
        found = OM_LINE.match(line)
        if found is None:
            if line[:1] != "#":
                raise ExpositionError(number, _why(line))
            self._open_comment(number, line)
            return
        key, value, at, labels, example, example_at = found.groups()
        self.values.append(float_of(number, value))
        self.keys.append(key)
        time = None if at is None else _seconds(number, at, "timestamp")
        self.timed = self.timed or time is not None
        self.times.append(time)
        if labels is not None:
            self.exemplars.append(
                Exemplar(
                    len(self.keys) - 1,
                    exemplar_labels(labels, number),
                    float_of(number, example),
                    None if example_at is None else _seconds(number, example_at, "exemplar timestamp"),
                )
            )

    def _comment(self, number: int, line: str) -> None:
        found = _META.match(line)
        if found is None:
            word = re.match(r"#[ \t]+(HELP|TYPE)[ \t]+", line)
            if word:
                raise ExpositionError(number, f"expected metric name after {word.group(1)}")
            return
        word_, name, rest = found.groups()
        if word_ == "TYPE":
            kind = (rest or "").strip()
            if kind not in KINDS:
                raise ExpositionError(number, f"invalid metric type {kind[:40]!r}")
            self._meta(name).kind = "unknown" if kind == "untyped" else kind
        elif word_ == "HELP":
            self._meta(name).help = _unescape_help(rest or "")

    def _open_comment(self, number: int, line: str) -> None:
        found = OM_META.match(line)
        if found is None:
            word = re.match(r"# (HELP|TYPE|UNIT) ", line)
            reason = f"expected metric name after {word.group(1)}" if word else _why(line)
            raise ExpositionError(number, reason)
        word_, name, rest = found.groups()
        if rest is None:
            raise ExpositionError(number, f"expected text in {word_}")
        meta = self._meta(name)
        if word_ == "TYPE":
            if rest not in KINDS - {"untyped"}:
                raise ExpositionError(number, f"invalid metric type {rest[:40]!r}")
            meta.kind = rest
        elif word_ == "HELP":
            meta.help = _unescape_help(rest)
        elif rest and not unquoted(name).endswith(f"_{rest}"):
            raise ExpositionError(number, f"unit {rest[:40]!r} not a suffix of metric {name[:80]!r}")
        else:
            meta.unit = rest

    def _meta(self, name: str) -> Metadata:
        return self.metadata.setdefault(unquoted(name), Metadata())

    def _done(self) -> Exposition:
        import numpy as np

        times = self.times if self.timed else None
        values = np.array(self.values, dtype=np.float64)
        return Exposition(self.keys, values, times, self.metadata, self.exemplars)


def series_labels(key: str, *, strict: bool = False) -> Labels:
    """The labels of a series text, `__name__` among them; raises `ExpositionError` (line 0).

    `strict` is OpenMetrics' way: commas between labels are not optional.
    """
    start = key.find("{")
    if start < 0:
        return {"__name__": key.strip()}
    labels = _labels(key[start:], 0, strict=strict, name=key[:start].strip())
    if not labels.get("__name__"):
        raise ExpositionError(0, f"metric name not set in {key[:80]!r}")
    return {name: value for name, value in labels.items() if value}


def quoted(text: str) -> str:
    """A label value or a name in quotes."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def bound_text(value: float) -> str:
    """A bucket's bound or a quantile as label value: Go's shortest form, with a point or an exponent."""
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"
    found = decimal.Decimal(repr(value))
    exponent = found.adjusted()
    if -4 <= exponent < 6 or not value:
        return format(value, "f") if "e" in repr(value) else repr(value)
    digits = "".join(map(str, found.as_tuple().digits)).rstrip("0")
    fraction = f".{digits[1:]}" if len(digits) > 1 else ""
    return f"{'-' if value < 0 else ''}{digits[0]}{fraction}e{exponent:+03d}"


def line_of(body: bytes, key: str) -> int:
    """The number of the first line that begins with a series text, 0 where none does."""
    start = key.encode()
    for number, line in enumerate(body.split(b"\n"), 1):
        if line.lstrip(b" \t").startswith(start):
            return number
    return 0


def exemplar_labels(text: str, line: int) -> Labels:
    """The labels of an exemplar, from its braces."""
    labels = _labels(text, line, strict=True)
    if "__name__" in labels:
        raise ExpositionError(line, "expected equal in the labels of an exemplar")
    return labels


def _labels(text: str, line: int, *, strict: bool, name: str = "") -> Labels:
    labels: Labels = {"__name__": name} if name else {}
    at, end = 1, len(text) - 1
    while text[at:end].strip(" \t"):
        found = _LABEL.match(text, at, end)
        if found is None:
            raise ExpositionError(line, f"expected label name, got {text[at : at + 20]!r}")
        plain, quoted, value, comma = found.groups()
        label = plain if plain is not None else unquoted(quoted)
        at = found.end()
        if value is None:
            # `{"a metric name", …}`: the quoted first item without a value is the name (UTF-8 names).
            if quoted is None or "__name__" in labels:
                raise ExpositionError(line, f"expected equal, got {text[at : at + 20]!r}")
            labels["__name__"] = label
        elif label in labels:
            raise ExpositionError(line, f"label {label[:80]!r} stands twice")
        else:
            labels[label] = unquoted(value)
        if comma is None and strict and text[at:end].strip(" \t"):
            raise ExpositionError(line, "expected comma or brace close")
    return labels


def unquoted(text: str) -> str:
    """A name or value without its quotes and escapes."""
    if text[:1] != '"':
        return text
    inner = text[1:-1]
    return inner if "\\" not in inner else _ESCAPE.sub(_escape, inner)


def _escape(found: re.Match[str]) -> str:
    character = found.group(1)
    return {"n": "\n", '"': '"', "\\": "\\"}.get(character, "\\" + character)


def _unescape_help(text: str) -> str:
    return text if "\\" not in text else _ESCAPE.sub(_escape, text)


def float_of(line: int, text: str) -> float:
    """A number; what Python takes for one and Go's ParseFloat does not is refused."""
    try:
        value = float(text)
    except ValueError:
        raise ExpositionError(line, f"{text[:40]!r} is not a number") from None
    if not text.isascii() or "_" in text or text[-1].isspace() or text[0].isspace():
        raise ExpositionError(line, f"unsupported character in float {text[:40]!r}")
    if value in _INFINITE and text[-1].isdigit():
        raise ExpositionError(line, f"value out of range: {text[:40]!r}")
    return value


def _seconds(line: int, text: str, what: str) -> int:
    value = float_of(line, text)
    if not math.isfinite(value):
        raise ExpositionError(line, f"invalid {what} {text[:40]}")
    return round(value * 1000)


def _why(line: str) -> str:
    shown = line.strip()[:80]
    if not re.match(rf"[ \t]*(?:{_NAME}|\{{)", line):
        return f"expected a metric name, got {shown!r}"
    if re.match(rf"[ \t]*(?:{_NAME})?[ \t]*\{{", line) and not re.match(
        rf"[ \t]*(?:{_NAME})?[ \t]*{_BRACES}", line
    ):
        return f"labels are not closed: {shown!r}"
    if re.match(rf"[ \t]*{_NAME}[ \t]*\Z", line):
        return f"expected value after metric, got {shown!r}"
    return f"expected `name{{labels}} value [timestamp]`, got {shown!r}"
