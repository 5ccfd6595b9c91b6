"""`/federate` of both after the same remote write: text and protobuf, every escaping, native histograms."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cramjam
import httpx
import pytest

from mamimon.protobuf import varint
from tests.conformance.differential.moving import Native
from tests.conformance.differential.sides import Prometheus, write_request
from tests.conftest import Process
from tests.metrics.test_native_histograms import PROTOBUF, M

SERIES = (
    {"__name__": "plain", "job": "a", "b": 'q"\\\n'},
    {"__name__": "plain", "job": "b", "instance": "mine"},
    {"__name__": "utf8.dotted_name", "label.dot": "ü", "1digit": "x"},
    {"__name__": "größe", "plain": "y"},
)
VALUES = (1.5, 1e21, -0.0, 123456789.0, 1e-7, float("nan"), float("inf"), 5e6)
ACCEPTED = (
    "",
    "*/*",
    "text/plain",
    "text/plain;version=0.0.4;escaping=allow-utf-8",
    "text/plain;version=1.0.0;escaping=dots;q=0.6,text/plain;version=0.0.4;q=0.5",
    "text/plain;escaping=values",
    "text/plain;escaping=none",
    "application/openmetrics-text;version=1.0.0",
    PROTOBUF,
    f"text/plain;q=0.3,{PROTOBUF};escaping=allow-utf-8;q=0.6",
)


@pytest.fixture
def both(process: Callable[..., Process], tmp_path: Path) -> Iterator[tuple[httpx.Client, httpx.Client]]:
    """Prometheus and mamimon with the same samples of this minute."""
    at = int(time.time() * 1000) - 2000
    batch = [
        ({**labels, "n": str(number)}, [(at - 1000, 1.0), (at, value)])
        for labels in SERIES
        for number, value in enumerate(VALUES)
    ]
    for name, native in (
        ("exponential", Native(counts=[3, 0, 2, 5], sum=12.5, zero=2)),
        ("custom", Native(counts=[3, 0, 2, 5], sum=12.5, zero=0, bounds=(0.5, 1.0, 2500000.0))),
    ):
        batch.append(({"__name__": name, "job": "h"}, [(at, native)]))
    quiet = {"MAMIMON_METRICS__SCRAPE_SELF": "false", "MAMIMON_ALERTS__BUILTIN_RULES": "false"}
    ours = process(env=quiet)
    theirs = Prometheus(tmp_path / "prometheus")
    raw = bytes(cramjam.snappy.compress_raw(write_request(batch)))
    client = httpx.Client(base_url=ours.url, timeout=60)
    try:
        for one in (theirs.client, client):
            headers = {"Content-Type": "application/x-protobuf", "Content-Encoding": "snappy"}
            assert one.post("/api/v1/write", content=raw, headers=headers).status_code in (200, 204)
        yield theirs.client, client
    finally:
        client.close()
        theirs.stop()


def families(body: bytes) -> list[str]:
    """The messages of a delimited body as text, samples in one order."""
    out, at = [], 0
    while at < len(body):
        size, at = varint(body, at)
        family = M["MetricFamily"].FromString(body[at : at + size])
        at += size
        metrics = sorted(f"{_buckets(metric.histogram)} {metric}" for metric in family.metric)
        out.append(f"{family.name} {family.type}\n" + "\n".join(metrics))
    return sorted(out)


def _buckets(histogram: Any) -> dict[int, float]:
    """The positive buckets by number, taken out; Prometheus keeps empty ones between others."""
    counts, found, index = iter(histogram.positive_count), {}, 0
    for span in histogram.positive_span:
        index += span.offset
        for _ in range(span.length):
            found[index] = next(counts)
            index += 1
    histogram.ClearField("positive_span")
    histogram.ClearField("positive_count")
    return {number: count for number, count in found.items() if count}


@pytest.mark.peer("prometheus")
@pytest.mark.feature("M4")
def test_both_hand_on_the_same(both: tuple[httpx.Client, httpx.Client]) -> None:
    """Each `Accept` header: the same content type and the same samples, to the letter or the message."""
    theirs, ours = both
    for accept in ACCEPTED:
        params = {"match[]": ['{n!=""}', '{job="h"}']}
        left, right = (
            one.get("/federate", params=params, headers={"Accept": accept}) for one in (theirs, ours)
        )
        assert (left.status_code, right.status_code) == (200, 200), accept
        assert left.headers["content-type"] == right.headers["content-type"], accept
        if "protobuf" in left.headers["content-type"]:
            assert families(left.content) == families(right.content), accept
            assert any("{0: 3.0, 2: 2.0, 3: 5.0}" in family for family in families(right.content))
        else:
            assert _lines(left.text) == _lines(right.text), accept
            assert re.search(r'custom_bucket\{.*le="2.5e\+06"} 5 ', right.text), accept


def _lines(text: str) -> list[str]:
    """Types in their order, each with its samples, whose order is that of an index."""
    out: list[str] = []
    for block in re.split(r"(?m)^(?=# TYPE )", text):
        head, _, rest = block.partition("\n")
        out += [head, *sorted(rest.splitlines())]
    return out
