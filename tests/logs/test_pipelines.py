"""Pipelines and rates over the buckets of the Elasticsearch door, against the same sums done by hand."""

# ruff: noqa: E501 (tables)
from __future__ import annotations

import json
import math
import statistics
from collections.abc import Callable
from typing import Any

import pytest

from mamimon.logs.dates import iso

HOUR = 3_600_000
# Eight hours: the third has no line, the sixth a line without the number.
TOOK: list[list[float | None]] = [[4, 8], [10], [], [1, 2, 3], [7], [None], [20, 30], [6]]
SUMS = [12.0, 10.0, math.nan, 6.0, 7.0, 0.0, 50.0, 6.0]
MEANS = [6.0, 10.0, math.nan, 2.0, 7.0, math.nan, 25.0, 6.0]
KNOWN = [value for value in MEANS if not math.isnan(value)]


@pytest.fixture
def filled(server: Any) -> tuple[Any, int]:
    """A server with the lines, and the moment that the first hour begins at."""
    first = int(server.server.clock.now() * 1000) // HOUR * HOUR - 9 * HOUR
    lines: list[Any] = []
    for hour, values in enumerate(TOOK):
        for n, took in enumerate(values):
            document = {"@timestamp": iso((first + hour * HOUR) / 1000 + n), "host": "web"}
            document |= {} if took is None else {"took": took}
            lines += [{"create": {"_index": "logs-shop"}}, document]
    _bulk(server, lines)
    return server, first


def _bulk(server: Any, lines: list[Any]) -> None:

    content = "".join(json.dumps(line) + "\n" for line in lines)
    assert not server.client.post("/es/_bulk", content=content).json()["errors"]


def ask(server: Any, inner: dict[str, Any], beside: dict[str, Any] | None = None, **steps: Any) -> Any:
    """The steps of an hour with the mean and what is asked for, and what stands beside them."""
    aggs = {"mean": {"avg": {"field": "took"}}, "sum": {"sum": {"field": "took"}}, **inner}
    hours = {"field": "@timestamp", "fixed_interval": "1h", **steps}
    body = {"size": 0, "aggs": {"t": {"date_histogram": hours, "aggs": aggs}, **(beside or {})}}
    answer = server.client.post("/es/logs-*/_search", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()["aggregations"]


def values(buckets: Any, name: str = "x") -> list[Any]:
    """The value of each step; "-" where there is no answer."""
    return [bucket.get(name, {"value": "-"})["value"] for bucket in buckets]


@pytest.mark.feature("L2")
def test_gaps_are_skipped_or_nought(filled: tuple[Any, int]) -> None:
    """A step without a value breaks a difference, unless it is to count as nought."""
    server, _ = filled
    inner: dict[str, Any] = {}
    for policy in ("skip", "insert_zeros"):
        for kind, more in (("derivative", {}), ("serial_diff", {"lag": 2}), ("cumulative_sum", {})):
            inner[f"{kind} {policy}"] = {kind: {"buckets_path": "mean", "gap_policy": policy, **more}}
    inner["twice"] = {"derivative": {"buckets_path": "derivative insert_zeros"}}
    inner["minute"] = {"derivative": {"buckets_path": "_count", "unit": "1m", "format": "0.0"}}
    buckets = ask(server, inner)["t"]["buckets"]
    assert values(buckets, "derivative skip") == ["-", 4, None, None, 5, None, None, -19]
    assert values(buckets, "derivative insert_zeros") == ["-", 4, -10, 2, 5, -7, 25, -19]
    assert values(buckets, "serial_diff skip") == ["-", "-", "-", -8, "-", "-", 18, "-"]
    assert values(buckets, "serial_diff insert_zeros") == ["-", "-", -6, -8, 7, -2, 18, 6]
    assert values(buckets, "cumulative_sum skip") == [6, 16, 16, 18, 25, 25, 50, 56]
    assert values(buckets, "twice") == ["-", "-", None, None, 3, -12, 32, -44]
    minute = buckets[3]["minute"]
    assert minute == {"value": 3.0, "value_as_string": "3.0", "normalized_value": 0.05}


FUNCTIONS: dict[str, Callable[[list[float]], float]] = {
    "max(values)": max,
    "min(values)": min,
    "sum(values)": sum,
    "unweightedAvg(values)": statistics.fmean,
    "stdDev(values, MovingFunctions.unweightedAvg(values))": statistics.pstdev,
    "linearWeightedAvg(values)": lambda w: (
        sum(v * n for n, v in enumerate(w, 1)) / (1 + sum(range(len(w) + 1)))
    ),
    "ewma(values, 0.25)": lambda w: w[0] if len(w) == 1 else 0.25 * w[-1] + 0.75 * FUNCTIONS["ewma(values, 0.25)"](w[:-1]),
}  # fmt: skip


@pytest.mark.feature("L2")
def test_moving_functions_look_at_the_values_before(filled: tuple[Any, int]) -> None:
    """Each of Elasticsearch's functions over a window of three, which a shift moves to hold its own value."""
    server, _ = filled
    inner = {
        f"{shift} {script}": {
            "moving_fn": {
                "buckets_path": "mean", "window": "3", "shift": shift, "script": f"MovingFunctions.{script}"
            }
        }
        for script in FUNCTIONS
        for shift in (0, 1)
    }  # fmt: skip
    buckets = ask(server, inner)["t"]["buckets"]
    for name in inner:
        shift, script = int(name[0]), name[2:]
        windows = [KNOWN[max(0, i - 3 + shift) : i + shift] for i in range(len(KNOWN))]
        nothing = 0.0 if script.startswith("sum") else None
        meant = iter(FUNCTIONS[script](window) if window else nothing for window in windows)
        for value, mean in zip(values(buckets, name), MEANS, strict=True):
            wanted = "-" if math.isnan(mean) else next(meant)
            assert value == (pytest.approx(wanted) if isinstance(wanted, float) else wanted), name


@pytest.mark.feature("L2")
def test_numbers_of_sibling_buckets(filled: tuple[Any, int]) -> None:
    """Which steps have the most and the least is said with them; beside every bucket of another, too."""
    server, first = filled
    kinds = ("avg", "sum", "min", "max", "stats")
    beside: dict[str, Any] = {kind: {f"{kind}_bucket": {"buckets_path": "t>mean"}} for kind in kinds}
    hours = {"date_histogram": {"field": "@timestamp", "fixed_interval": "1h"}}
    beside["hosts"] = {
        "terms": {"field": "host.keyword"},
        "aggs": {"h": hours, "most": {"max_bucket": {"buckets_path": "h>_count"}}},
    }
    found = ask(server, {}, beside)
    assert found["avg"] == {"value": pytest.approx(statistics.fmean(KNOWN))}
    assert found["sum"] == {"value": sum(KNOWN)}
    assert found["min"] == {"value": 2.0, "keys": [iso((first + 3 * HOUR) / 1000)]}
    assert found["max"] == {"value": 25.0, "keys": [iso((first + 6 * HOUR) / 1000)]}
    assert found["stats"]["count"] == 6 and found["stats"]["max"] == 25.0
    assert found["hosts"]["buckets"][0]["most"] == {"value": 3.0, "keys": [iso((first + 3 * HOUR) / 1000)]}


@pytest.mark.feature("L2")
def test_rates_are_by_a_unit_of_time(filled: tuple[Any, int]) -> None:
    """Sums and counts by second, minute or month, in the steps themselves and in what divides them."""
    server, _ = filled
    rates = {
        "lines": {"rate": {"unit": "minute"}}, "sums": {"rate": {"field": "took", "unit": "second"}},
        "counts": {"rate": {"field": "took", "unit": "hour", "mode": "value_count"}}, "plain": {"rate": {"field": "took"}},
        "hosts": {"terms": {"field": "host.keyword"}, "aggs": {"x": {"rate": {"unit": "day"}}}},
    }  # fmt: skip
    buckets = ask(server, rates)["t"]["buckets"]
    assert values(buckets, "lines") == pytest.approx([len(v) / 60 for v in TOOK])
    assert values(buckets, "sums") == pytest.approx([(0 if math.isnan(s) else s) / 3600 for s in SUMS])
    assert values(buckets, "counts") == [2, 1, 0, 3, 1, 0, 2, 1] and values(buckets, "plain")[6] == 50
    assert buckets[0]["hosts"]["buckets"][0]["x"]["value"] == 48
    steps = {"field": "@timestamp", "calendar_interval": "year"}
    aggs = {"t": {"date_histogram": steps, "aggs": {"x": {"rate": {"unit": "month"}}}}}
    answer = server.client.post("/es/_search", json={"size": 0, "aggs": aggs}).json()["aggregations"]
    assert sum(values(answer["t"]["buckets"])) == pytest.approx(sum(map(len, TOOK)) / 12)


UNDONE: tuple[tuple[dict[str, Any], str, str], ...] = (
    ({"x": {"derivative": {"buckets_path": "_count"}}}, "action_request", "must have a histogram"),
    ({"x": {"max_bucket": {"buckets_path": "no>x"}}}, "action_request", "No aggregation found"),
    ({"x": {"rate": {"unit": "second"}}}, "parsing", "date histogram"),
    ({"x": {"moving_avg": {"buckets_path": "_count"}}}, "parsing", "Use the [moving_fn]"),
    (
        {"x": {"bucket_script": {"buckets_path": {"a": "_count"}, "script": "params.a"}}},
        "illegal",
        "script",
    ),
    ({"x": {"geohash_grid": {"field": "place", "precision": 3}}}, "illegal", "[geohash_grid]"),
    ({"x": {"nested": {"path": "a"}}}, "illegal", "[nested]"),
    ({"x": {"significant_terms": {"field": "host"}}}, "illegal", "[significant_terms]"),
    ({"x": {"no_such": {}}}, "parsing", "Unknown aggregation type [no_such]"),
)


@pytest.mark.feature("L2")
def test_what_is_not_done_says_so(server: Any) -> None:
    """With a root cause, which Grafana shows; `_msearch` refuses a body that is no search as a whole."""
    for aggs, type, reason in UNDONE:
        body = json.dumps({"size": 0, "aggs": aggs})
        for door, content in (("_search", body), ("_msearch", f"{{}}\n{body}\n")):
            answer = server.client.post(f"/es/{door}", content=content).json()
            error = answer.get("responses", [answer])[0]["error"]
            assert error["type"].startswith(type) and reason in error["root_cause"][0]["reason"], error


WRONG: tuple[tuple[dict[str, Any], str], ...] = (
    ({"derivative": {}}, "buckets_path"),
    ({"derivative": {"buckets_path": "mean", "odd": 1}}, "[odd]"),
    ({"derivative": {"buckets_path": "mean", "gap_policy": "odd"}}, "gap policy"),
    ({"derivative": {"buckets_path": "no"}}, "No aggregation found"),
    ({"derivative": {"buckets_path": "x"}}, "Cyclical"),
    ({"serial_diff": {"buckets_path": "mean", "lag": 0}}, "[lag]"),
    ({"moving_fn": {"buckets_path": "mean"}}, "[window]"),
    (
        {"moving_fn": {"buckets_path": "mean", "window": 2, "script": "1 + 1"}},
        "scripts are not supported",
    ),
    ({"rate": {"unit": "fortnight"}}, "fortnight"),
    ({"rate": {"unit": "month"}}, "month"),
    ({"rate": {"mode": "sum"}}, "mode"),
)


@pytest.mark.feature("L2")
def test_pipelines_that_cannot_be_are_refused(server: Any) -> None:
    """Each with what is wrong about it, and all of them in a histogram that leaves out empty steps."""
    _bulk(server, [{"create": {"_index": "logs-shop"}}, {"took": 1}])
    for inner, reason in WRONG:
        aggs = {"mean": {"avg": {"field": "took"}}, "x": inner}
        for least in (0, 1) if "rate" not in inner else (0,):
            hours = {"field": "@timestamp", "fixed_interval": "1h", "min_doc_count": least}
            body = {"aggs": {"t": {"date_histogram": hours, "aggs": aggs}}}
            answer = server.client.post("/es/_search", json=body)
            assert answer.status_code == 400, answer.text
            assert least or reason in answer.json()["error"]["reason"], answer.text
