"""The dialect of the Prometheus API: parameters in, `{"status": …}` out (web/api/v1, OpenAPI document)."""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import msgspec
from litestar import Request, Response

from mamimon.metrics.histogram import Bucket, buckets
from mamimon.metrics.scrape.yaml_file import duration
from mamimon.problems import Kind, Problem, bad_input

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from mamimon.metrics.histogram import Histogram
    from mamimon.metrics.model import Labels, Matcher, QueryResult

_ERROR_TYPES = {
    Kind.BAD_INPUT: "bad_data",
    Kind.NOT_FOUND: "not_found",
    Kind.UNPROCESSABLE: "execution",
    Kind.TIMEOUT: "timeout",
    Kind.TOO_LARGE: "bad_data",
    Kind.UNAVAILABLE: "unavailable",
    Kind.TOO_MANY: "unavailable",
    Kind.INTERNAL: "internal",
}
_encode = msgspec.json.Encoder().encode
_MAX_FORM_BYTES = 10 * 1024 * 1024
_WHOLE = re.compile(r"[+-]?[0-9]{1,18}")
_TRUE = frozenset(("1", "t", "T", "TRUE", "true", "True"))
_FALSE = frozenset(("0", "f", "F", "FALSE", "false", "False"))
_EMPTY = "vector selector must contain at least one non-empty matcher"
LIMITED = "results truncated due to limit"


class Parameters:
    """The query string and, of a POST, the form; the first of a repeated name counts, as in Go."""

    def __init__(self, items: Sequence[tuple[str, str]]) -> None:
        self._items = items

    def get(self, name: str, default: str = "") -> str:
        """One value."""
        return next((value for key, value in self._items if key == name), default)

    def all(self, name: str) -> list[str]:
        """Every value."""
        return [value for key, value in self._items if key == name]

    def time(self, name: str, default: float) -> float:
        """An instant in epoch seconds: a number or RFC 3339."""
        text = self.get(name)
        return default if not text else _time(name, text, f"invalid time value for '{name}': ")

    def needed_time(self, name: str) -> float:
        """An instant that must be given."""
        return _time(name, self.get(name))

    def duration(self, name: str) -> float | None:
        """Seconds: a number or a Prometheus duration; None where it is not given."""
        text = self.get(name)
        if not text:
            return None
        try:
            seconds = float(text)
        except ValueError:
            found = duration(text)
            if found is None:
                reason = f"cannot parse {quoted(text)} to a valid duration"
                raise bad_input(f"invalid parameter {quoted(name)}: {reason}") from None
            return found
        if not math.isfinite(seconds) or abs(seconds) > 9.2e9:
            reason = f"cannot parse {quoted(text)} to a valid duration. It overflows int64"
            raise bad_input(f"invalid parameter {quoted(name)}: {reason}")
        return seconds

    def limit(self) -> int:
        """The most entries that are wanted; 0 is no limit."""
        limit = self.integer("limit")
        if limit < 0:
            raise bad_input('invalid parameter "limit": limit must be non-negative')
        return limit

    def integer(self, name: str, default: int = 0) -> int:
        """A whole number."""
        text = self.get(name)
        if not text:
            return default
        if not _WHOLE.fullmatch(text):
            reason = f"strconv.Atoi: parsing {quoted(text)}: invalid syntax"
            raise bad_input(f"invalid parameter {quoted(name)}: {reason}")
        return int(text)

    def flag(self, name: str) -> bool:
        """A truth value as Go's ParseBool reads it; False where it is not given."""
        text = self.get(name)
        if text in _TRUE:
            return True
        if text and text not in _FALSE:
            reason = f"strconv.ParseBool: parsing {quoted(text)}: invalid syntax"
            raise bad_input(f"invalid parameter {quoted(name)}: {reason}")
        return False


def selector(text: str) -> list[Matcher]:
    """The matchers of a `match[]` parameter."""
    from mamimon.metrics.promql import PromQLError, matchers_of

    try:
        return matchers_of(text)
    except PromQLError as error:
        reason = "match[] must contain at least one non-empty matcher" if _EMPTY in str(error) else error
        raise bad_input(f'invalid parameter "match[]": {reason}') from None


async def parameters(request: Request[Any, Any, Any]) -> Parameters:
    """Read a request's parameters."""
    query = request.scope.get("query_string", b"").decode("utf-8", "replace")
    items = parse_qsl(query, keep_blank_values=True)
    if request.method == "POST":
        kind = request.headers.get("content-type", "").partition(";")[0].strip()
        body = await request.body()
        if kind == "application/x-www-form-urlencoded" and len(body) <= _MAX_FORM_BYTES:
            items = parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True) + items
    return Parameters(items)


def _time(name: str, text: str, prefix: str = "") -> float:
    try:
        value = float(text)
    except ValueError:
        try:
            moment = dt.datetime.fromisoformat(text)
        except ValueError:
            reason = f"{prefix}cannot parse {quoted(text)} to a valid timestamp"
            raise bad_input(f"invalid parameter {quoted(name)}: {reason}") from None
        return (moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)).timestamp()
    if not math.isfinite(value) or abs(value) > 9.2e12:
        raise bad_input(
            f"invalid parameter {quoted(name)}: {prefix}cannot parse {quoted(text)} to a valid timestamp"
        )
    return value


def quoted(text: str) -> str:
    """A text as messages show it, cut to 200 characters."""
    return msgspec.json.encode(text[:200]).decode()


def success(data: Any, *, warnings: Sequence[str] = (), infos: Sequence[str] = ()) -> Response[bytes]:
    """`{"status": "success", "data": …}`."""
    return _json(b'"data":' + _encode(data), warnings, infos)


def _json(data: bytes, warnings: Sequence[str], infos: Sequence[str], status: int = 200) -> Response[bytes]:
    notes = b""
    if warnings:
        notes += b',"warnings":' + _encode(list(warnings))
    if infos:
        notes += b',"infos":' + _encode(list(infos))
    body = b'{"status":"success",' + data + notes + b"}"
    return Response(body, media_type="application/json", status_code=status)


def failure(_: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """A `Problem` as the API says it."""
    assert isinstance(error, Problem)
    kind = _ERROR_TYPES.get(error.kind, "internal")
    status = {"timeout": 503, "unavailable": 503}.get(kind, error.status)
    body = {"status": "error", "errorType": kind, "error": error.detail}
    headers = {} if error.retry_after_s is None else {"Retry-After": str(max(1, round(error.retry_after_s)))}
    return Response(_encode(body), media_type="application/json", status_code=status, headers=headers)


def result(answer: QueryResult, stats: bytes = b"") -> Response[bytes]:
    """A query's result; numbers are written from the arrays, without an object a sample.

    `stats` is JSON that goes beside the result.
    """
    if answer.kind == "matrix":
        parts = _raw(answer) if answer.series else _matrix(answer)
        data = '{"resultType":"matrix","result":[' + ",".join(parts) + "]}"
    elif answer.kind == "vector":
        at = _stamp(int(answer.times[0]))
        items = ",".join(
            f'{{"metric":{_labels(labels)},"value":[{at},"{number(one)}"]}}'
            if isinstance(one, float)
            else f'{{"metric":{_labels(labels)},"histogram":[{at},{histogram(one)}]}}'
            for labels, one in zip(answer.labels, _first_points(answer), strict=True)
        )
        data = f'{{"resultType":"vector","result":[{items}]}}'
    elif answer.kind == "scalar":
        at = _stamp(int(answer.times[0]))
        data = f'{{"resultType":"scalar","result":[{at},"{number(float(answer.values[0, 0]))}"]}}'
    else:
        text = _encode(answer.text).decode()
        data = f'{{"resultType":"string","result":[{_stamp(int(answer.times[0]))},{text}]}}'
    raw = data.encode("utf-8", "replace")
    if stats:
        raw = raw[:-1] + b',"stats":' + stats + b"}"
    return _json(b'"data":' + raw, answer.warnings, answer.infos)


def _first_points(answer: QueryResult) -> list[float | Histogram]:
    values: list[float] = answer.values[:, 0].tolist()
    if answer.histograms is None:
        return list(values)
    return [
        value if one is None else one
        for value, one in zip(values, answer.histograms[:, 0].tolist(), strict=True)
    ]


def histogram(one: Histogram) -> str:
    """A native histogram: its buckets that are not empty as `[rule, lower, upper, count]`.

    The rule says which bounds belong to a bucket: 0 the upper, 1 the lower, 2 neither, 3 both.
    """
    parts = [f'"count":"{number(one.count)}"', f'"sum":"{number(one.sum)}"']
    shown = ",".join(_bucket(one, bucket) for bucket in buckets(one) if bucket.count)
    if shown:
        parts.append(f'"buckets":[{shown}]')
    return "{" + ",".join(parts) + "}"


def _bucket(one: Histogram, bucket: Bucket) -> str:
    bounds = f'"{number(bucket.lower)}","{number(bucket.upper)}"'
    return f'[{bound_rule(one, bucket)},{bounds},"{number(bucket.count)}"]'


def bound_rule(one: Histogram, bucket: Bucket) -> int:
    """See `histogram`."""
    if one.is_custom:
        return 3 if math.isinf(bucket.lower) else 0
    if bucket.lower < 0 < bucket.upper or bucket.lower == bucket.upper:
        return 3
    return 1 if bucket.lower < 0 else 0


def _matrix(answer: QueryResult) -> list[str]:
    import numpy as np

    stamps = [_stamp(at) for at in answer.times.tolist()]
    whole = [bool(there) for there in np.asarray(answer.present.all(axis=1))]
    out = []
    for row, labels in enumerate(answer.labels):
        if answer.histograms is not None:
            out.append(_mixed(answer, row, stamps))
            continue
        values = answer.values[row].tolist()
        at = stamps
        if not whole[row]:
            mask = answer.present[row].tolist()
            values = [value for value, there in zip(values, mask, strict=True) if there]
            at = [stamp for stamp, there in zip(stamps, mask, strict=True) if there]
        out.append(f'{{"metric":{_labels(labels)},"values":[{_points(at, values)}]}}')
    return out


def _mixed(answer: QueryResult, row: int, stamps: list[str]) -> str:
    """A series of a range query that may hold native histograms."""
    assert answer.histograms is not None
    there = answer.present[row].tolist()
    own: list[Histogram | None] = answer.histograms[row].tolist()
    values: list[float] = answer.values[row].tolist()
    plain = [at for at, one in enumerate(own) if there[at] and one is None]
    native = [(stamps[at], one) for at, one in enumerate(own) if there[at] and one is not None]
    return _both(answer.labels[row], [stamps[at] for at in plain], [values[at] for at in plain], native)


def _raw(answer: QueryResult) -> list[str]:
    none: tuple[npt.NDArray[np.int64], list[Histogram]] = (answer.times[:0], [])
    native = answer.series_histograms or [none] * len(answer.series)
    return [
        _both(
            labels,
            _stamps(times),
            values.tolist(),
            list(zip(_stamps(at), found, strict=True)),
        )
        for labels, (times, values), (at, found) in zip(answer.labels, answer.series, native, strict=True)
    ]


def _both(labels: Labels, stamps: list[str], values: list[float], native: list[tuple[str, Histogram]]) -> str:
    parts = [f'"metric":{_labels(labels)}']
    if stamps:
        parts.append(f'"values":[{_points(stamps, values)}]')
    if native:
        parts.append('"histograms":[' + ",".join(f"[{at},{histogram(one)}]" for at, one in native) + "]")
    return "{" + ",".join(parts) + "}"


def _points(stamps: list[str], values: list[float]) -> str:
    return ",".join([f'[{at},"{number(value)}"]' for at, value in zip(stamps, values, strict=True)])


def _stamps(times: npt.NDArray[np.int64]) -> list[str]:
    return [_stamp(at) for at in times.tolist()]


def _stamp(milliseconds: int) -> str:
    seconds, rest = divmod(milliseconds, 1000)
    return f"{seconds}.{rest:03d}" if rest else str(seconds)


def _labels(labels: Labels) -> str:
    return _encode(labels).decode()


def number(value: float) -> str:
    """A sample as Prometheus writes it: shortest digits, NaN, +Inf, -Inf."""
    text = repr(value)
    if text.endswith(".0"):
        return text[:-2]
    if text[-1] in "fn" or "e" in text:
        return _odd(value, text)
    return text


def _odd(value: float, text: str) -> str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    mantissa, _, exponent = text.partition("e")
    # Go's %v: an exponent of at least two digits, and plain digits below 1e21.
    if 1e-4 <= abs(value) < 1e21:
        from mamimon.metrics.promql.text import format_float

        return format_float(value)
    return f"{mantissa.removesuffix('.0')}e{int(exponent):+03d}"
