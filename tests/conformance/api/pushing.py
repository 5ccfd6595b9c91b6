"""Remote writes, good and bad: what is sent, and where our answer stays another one than Prometheus'."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import cramjam
import httpx

from tests.metrics.test_remote_write import M

KIND = "application/x-protobuf"
V2 = f"{KIND};proto=io.prometheus.write.v2.Request"
_SYMBOLS = ("", "__name__", "push_z", "a", "b", "job")
_HOUR_MS = 3_600_000

Pairs = Sequence[tuple[str, str]]
Samples = Sequence[tuple[float, int]]


@dataclass(frozen=True)
class Push:
    """One request; `ours` is our status where it is declared to be another one, and why."""

    name: str
    body: bytes
    kind: str = KIND
    encoding: str = "snappy"
    ours: int = 0
    reason: str = ""


def _snappy(raw: bytes) -> bytes:
    return bytes(cramjam.snappy.compress_raw(raw))


def _first(*series: tuple[Pairs, Samples]) -> bytes:
    request = M["WriteRequest"]()
    for labels, samples in series:
        one = request.timeseries.add()
        for name, value in labels:
            one.labels.add(name=name, value=value)
        _sample(one, samples)
    return _snappy(request.SerializeToString())


def _second(symbols: Sequence[str], *series: tuple[Sequence[int], Samples]) -> bytes:
    request = M["Request"](symbols=symbols)
    for references, samples in series:
        _sample(request.timeseries.add(labels_refs=references), samples)
    return _snappy(request.SerializeToString())


def _sample(series: Any, samples: Samples) -> None:
    for value, at in samples:
        series.samples.add(value=value, timestamp=at)


def pushes(now: int) -> Iterator[Push]:
    """Requests around the instant `now` (ms), in the order in which they must come."""

    def named(name: str, *more: tuple[str, str]) -> Pairs:
        return [("__name__", f"push_{name}"), *more]

    good = _first((named("one"), [(1, now)]))
    late = "a pushed sample may be half an hour late, and the last value at an instant counts"
    told = "of an invalid label set Prometheus tells its own log only, and drops it"
    yield Push("good", good)
    yield Push("again", good)
    yield Push("other value", _first((named("one"), [(2, now)])), ours=204, reason=late)
    yield Push("older", _first((named("one"), [(2, now - 5000)])), ours=204, reason=late)
    yield Push("much older", _first((named("one"), [(2, now - 3 * _HOUR_MS)])))
    yield Push("future", _first((named("soon"), [(2, now + _HOUR_MS)])))
    yield Push("far future", _first((named("soon"), [(2, now + 100 * _HOUR_MS)])))
    yield Push("epoch", _first((named("old"), [(2, 1)])))
    yield Push("partly old", _first((named("new"), [(2, now)]), (named("one"), [(2, now - 3 * _HOUR_MS)])))
    yield Push("no name", _first(([("job", "x")], [(2, now)])), ours=400, reason=told)
    yield Push("no labels", _first(([], [(2, now)])), ours=400, reason=told)
    yield Push("empty name", _first(([("", "x"), *named("empty")], [(2, now)])), ours=400, reason=told)
    twice = _first((named("twice", ("a", "1"), ("a", "2")), [(2, now)]))
    yield Push("a label twice", twice, ours=400, reason=told)
    yield Push("empty value", _first((named("void", ("a", "")), [(2, now)])))
    yield Push("unsorted", _first((named("unsorted", ("b", "1"), ("a", "2")), [(2, now)])))
    yield Push("UTF-8", _first(([("__name__", "push_ü.b"), ("d.e", "2")], [(2, now)])))
    yield Push("no samples", _first((named("none"), [])))
    yield Push("descending", _first((named("down"), [(2, now), (1, now - 1000)])))
    yield Push("in two parts", _first((named("parts"), [(2, now - 1000)]), (named("parts"), [(2, now)])))
    yield Push("no snappy", b"\xff\xff\xff")
    yield Push("no message", _snappy(b"\xff\xff\xff"))
    yield Push("empty message", _snappy(b""))
    yield Push("nothing", b"")
    yield Push("no type", _first((named("two"), [(1, now)])), kind="")
    yield Push("JSON", good, kind="application/json")
    yield Push("other message", good, kind=f"{KIND};proto=foo")
    yield Push(
        "named message", _first((named("three"), [(1, now)])), kind=f"{KIND};proto=prometheus.WriteRequest"
    )
    yield Push("no encoding", _first((named("four"), [(1, now)])), encoding="")
    yield Push("gzip", good, encoding="gzip")
    sample = [(1.0, now)]
    yield Push("2.0", _second(_SYMBOLS, ([1, 2, 3, 4], sample)), V2)
    yield Push("2.0 odd references", _second(_SYMBOLS, ([1, 2, 3], sample)), V2)
    yield Push("2.0 reference beyond", _second(_SYMBOLS, ([1, 2, 3, 99], sample)), V2)
    yield Push("2.0 no symbols", _second((), ([1, 2], sample)), V2)
    yield Push("2.0 no name", _second(_SYMBOLS, ([3, 4], sample)), V2)
    yield Push("2.0 a label twice", _second(_SYMBOLS, ([1, 2, 3, 4, 3, 4], sample)), V2)
    yield Push("2.0 unsorted", _second(_SYMBOLS, ([5, 4, 1, 2], sample)), V2)
    old = [(1.0, now - 4 * _HOUR_MS)]
    yield Push(
        "2.0 in part", _second(_SYMBOLS, ([1, 2, 3, 3], sample), ([3, 4], sample), ([1, 2, 3, 4], old)), V2
    )
    yield Push("2.0 empty", _snappy(b""), V2)
    wrong = "the specification wants the first symbol empty"
    yield Push(
        "2.0 first symbol", _second(("x", "__name__", "push_y"), ([1, 2], sample)), V2, ours=400, reason=wrong
    )
    bare = "a series of metadata alone does no harm"
    yield Push("2.0 no samples", _second(_SYMBOLS, ([1, 2], [])), V2, ours=204, reason=bare)


def sent(client: httpx.Client, push: Push) -> tuple[int, dict[str, str]]:
    """Status and how much is said to be written."""
    headers = {"Content-Type": push.kind, "Content-Encoding": push.encoding}
    answer = client.post(
        "/api/v1/write", content=push.body, headers={name: text for name, text in headers.items() if text}
    )
    written = {
        key: value for key, value in answer.headers.items() if key.startswith("x-prometheus-remote-write")
    }
    return answer.status_code, written
