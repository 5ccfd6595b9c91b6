"""Every aggregation of the Elasticsearch door against the same sum done by hand over the same lines."""

from __future__ import annotations

import datetime as dt
import json
import math
import random
import statistics
from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Any

import pytest

from mamimon.logs.wire.elasticsearch import divisions, measures, pipelines, rates

Line = dict[str, Any]
HOUR = 3_600_000


def lines(now_ms: int) -> list[Line]:
    """Lines over three days with numbers that may be missing, lists, truth values and words."""
    rng = random.Random(5)
    made: list[Line] = []
    for n in range(400):
        one: Line = {
            "@timestamp": now_ms - rng.randrange(3 * 24 * HOUR),
            "n": n,
            "logger": rng.choice(["api", "chat", "image"]),
            "status": rng.choice([200, 404, 500, [200, 302]]),
            "flag": rng.random() < 0.3,
            "message": rng.choice(["ok", "it failed", "slow"]),
        }
        if rng.random() < 0.9:
            one["took"] = round(rng.expovariate(0.01), 3)
        made.append(one)
    return made


def numbers(made: list[Line]) -> list[float]:
    """The values of `took`."""
    return [one["took"] for one in made if "took" in one]


def statuses(one: Line) -> list[int]:
    """The values of `status`."""
    return one["status"] if isinstance(one["status"], list) else [one["status"]]


def quantile(made: list[Line], share: float) -> float:
    """Between neighbours on a line, as numpy's default."""
    found = sorted(numbers(made))
    place = share * (len(found) - 1)
    low = found[math.floor(place)]
    return low + (found[math.ceil(place)] - low) * (place % 1)


def steps(made: list[Line], step: int) -> list[tuple[int, list[Line]]]:
    """Lines by time step, the empty steps between them too."""
    found: dict[int, list[Line]] = defaultdict(list)
    for one in made:
        found[one["@timestamp"] // step * step].append(one)
    return [(key, found.get(key, [])) for key in range(min(found), max(found) + step, step)]


def by_logger(made: list[Line]) -> list[tuple[str, list[Line]]]:
    """Lines by logger, the commonest first."""
    groups: dict[str, list[Line]] = defaultdict(list)
    for one in made:
        groups[one["logger"]].append(one)
    return sorted(groups.items(), key=lambda pair: (-len(pair[1]), pair[0]))


def simple(key: Any, count: int) -> dict[str, Any]:
    """A bucket with nothing inside."""
    return {"key": key, "doc_count": count}


def extended(made: list[Line]) -> dict[str, Any]:
    """The parts of `extended_stats` that are checked."""
    found = numbers(made)
    return {
        "sum_of_squares": sum(v * v for v in found), "variance": statistics.pvariance(found),
        "std_deviation": statistics.pstdev(found), "variance_sampling": statistics.variance(found),
        "std_deviation_bounds": {"upper": statistics.fmean(found) + 3 * statistics.pstdev(found)},
    }  # fmt: skip


def combined(made: list[Line]) -> list[tuple[tuple[str, bool], int]]:
    """How often each pair of logger and flag comes up."""
    return sorted(Counter((one["logger"], one["flag"]) for one in made).items())


PAIRS = [{"who": {"terms": {"field": "logger"}}}, {"f": {"terms": {"field": "flag"}}}]
HOURS = {"date_histogram": {"field": "@timestamp", "fixed_interval": "6h"}}
CASES: dict[str, tuple[dict[str, Any], Callable[[list[Line]], Any]]] = {
    "avg": ({"field": "took"}, lambda m: {"value": statistics.fmean(numbers(m))}),
    "sum": ({"field": "took"}, lambda m: {"value": math.fsum(numbers(m))}),
    "min": ({"field": "took"}, lambda m: {"value": min(numbers(m))}),
    "max": ({"field": "took", "missing": 99_999}, lambda m: {"value": 99_999}),
    "stats": (
        {"field": "took"},
        lambda m: {"count": len(numbers(m)), "min": min(numbers(m)), "max": max(numbers(m)),
                   "avg": statistics.fmean(numbers(m)), "sum": math.fsum(numbers(m))},
    ),
    "extended_stats": ({"field": "took", "sigma": 3}, extended),
    "value_count": ({"field": "status"}, lambda m: {"value": sum(len(statuses(one)) for one in m)}),
    "cardinality": ({"field": "status"}, lambda m: {"value": len({s for one in m for s in statuses(one)})}),
    "percentiles": (
        {"field": "took", "percents": [5, 50, 99.5]},
        lambda m: {"values": {f"{p:.1f}": quantile(m, p / 100) for p in (5, 50, 99.5)}},
    ),
    "percentile_ranks": (
        {"field": "took", "values": [50, 200]},
        lambda m: {"values": {f"{limit:.1f}": 100 * sum(v <= limit for v in numbers(m)) / len(numbers(m))
                              for limit in (50, 200)}},
    ),
    "top_hits": (
        {"size": 2, "sort": [{"took": "desc"}], "_source": ["n"]},
        lambda m: {"hits": {"total": {"value": len(m)}, "hits": [
            {"_source": {"n": one["n"]}} for one in sorted(m, key=lambda o: -o.get("took", -1))[:2]]}},
    ),
    "top_metrics": (
        {"metrics": {"field": "n"}, "sort": {"took": "asc"}},
        lambda m: {"top": [{"metrics": {"n": min(m, key=lambda o: o.get("took", math.inf))["n"]}}]},
    ),
    "date_histogram": (
        {"field": "@timestamp", "fixed_interval": "1h"},
        lambda m: {"buckets": [simple(key, len(group)) for key, group in steps(m, HOUR)]},
    ),
    "histogram": (
        {"field": "took", "interval": 50, "min_doc_count": 1},
        lambda m: {"buckets": [simple(key * 50, n) for key, n in
                               sorted(Counter(math.floor(v / 50) for v in numbers(m)).items())]},
    ),
    "terms": (
        {"field": "status", "size": 3},
        lambda m: {
            "buckets": [simple(key, n) for key, n in sorted(
                Counter(s for one in m for s in statuses(one)).items(), key=lambda p: (-p[1], p[0]))[:3]],
            "sum_other_doc_count": sorted(Counter(s for one in m for s in statuses(one)).values())[0],
        },
    ),
    "rare_terms": (
        {"field": "n", "max_doc_count": 1, "include": ["3", "17"]},
        lambda m: {"buckets": [simple(3, 1), simple(17, 1)]},
    ),
    "multi_terms": (
        {"terms": [{"field": "logger"}, {"field": "message"}], "size": 2},
        lambda m: {"buckets": [{"key": list(key), "doc_count": n} for key, n in sorted(
            Counter((o["logger"], o["message"]) for o in m).items(),
            key=lambda p: (-p[1], "|".join(p[0])))[:2]]},
    ),
    "range": (
        {"field": "took", "ranges": [{"to": 50}, {"from": 50, "to": 100}, {"from": 100}]},
        lambda m: {"buckets": [
            simple("*-50.0", sum(v < 50 for v in numbers(m))),
            simple("50.0-100.0", sum(50 <= v < 100 for v in numbers(m))),
            simple("100.0-*", sum(v >= 100 for v in numbers(m)))]},
    ),
    "global": ({}, lambda m: {"doc_count": len(m)}),
    "filter": ({"term": {"flag": True}}, lambda m: {"doc_count": sum(o["flag"] for o in m)}),
    "sampler": ({"shard_size": 10}, lambda m: {"doc_count": len(m)}),
    "missing": ({"field": "took"}, lambda m: {"doc_count": len(m) - len(numbers(m))}),
    "filters": (
        {"filters": {"bad": {"match": {"message": "failed"}}, "slow": {"range": {"took": {"gte": 100}}}},
         "other_bucket_key": "rest"},
        lambda m: {"buckets": {
            "bad": {"doc_count": sum("failed" in o["message"] for o in m)},
            "slow": {"doc_count": sum(o.get("took", 0) >= 100 for o in m)},
            "rest": {"doc_count": sum("failed" not in o["message"] and o.get("took", 0) < 100 for o in m)}}},
    ),
    "composite": (
        {"size": 4, "sources": PAIRS},
        lambda m: {"buckets": [{"key": {"who": who, "f": flag}, "doc_count": n}
                               for (who, flag), n in combined(m)[:4]]},
    ),
}  # fmt: skip


def agree(found: Any, meant: Any, where: str) -> None:
    """What is meant is there; numbers to a billionth."""
    if isinstance(meant, dict):
        for key, value in meant.items():
            assert key in found, f"{where}.{key} is missing"
            agree(found[key], value, f"{where}.{key}")
    elif isinstance(meant, list):
        assert len(found) == len(meant), f"{where}: {found} is not {meant}"
        for i, (one, other) in enumerate(zip(found, meant, strict=True)):
            agree(one, other, f"{where}[{i}]")
    elif isinstance(meant, float):
        assert found == pytest.approx(meant, rel=1e-9), where
    else:
        assert found == meant, where


@pytest.fixture
def filled(server: Any) -> tuple[Any, list[Line], int]:
    """A server with the lines, and the moment they end at."""
    now_ms = round(server.server.clock.now() * 1000)
    made = lines(now_ms)
    body = "".join(f'{{"create":{{"_index":"logs-agg"}}}}\n{json.dumps(one)}\n' for one in made)
    assert not server.client.post("/es/_bulk", content=body).json()["errors"]
    return server, made, now_ms


def ask(server: Any, aggs: dict[str, Any]) -> Any:
    """The aggregations of everything."""
    answer = server.client.post("/es/logs-agg*/_search", json={"size": 0, "aggs": aggs})
    assert answer.status_code == 200, answer.text
    return answer.json()["aggregations"]


@pytest.mark.feature("L2")
def test_each_aggregation_is_what_counting_by_hand_gives(filled: tuple[Any, list[Line], int]) -> None:
    """Alone, inside `terms` and inside a time step, each equals the same sum over the documents."""
    server, made, _ = filled
    whole = {kind: {kind: body} for kind, (body, _) in CASES.items()}
    inside = {kind: spec for kind, spec in whole.items() if kind != "composite"}
    found = ask(
        server,
        {
            **whole,
            "each": {"terms": {"field": "logger"}, "aggs": inside},
            "times": {
                **HOURS,
                "aggs": {k: inside[k] for k in ("avg", "terms", "percentiles") if k != "terms"},
            },
        },
    )
    for kind, (_, meant) in CASES.items():
        agree(found[kind], meant(made), kind)
    for bucket, (logger, group) in zip(found["each"]["buckets"], by_logger(made), strict=True):
        assert (bucket["key"], bucket["doc_count"]) == (logger, len(group))
        for kind in inside:
            if kind != "rare_terms":
                agree(bucket[kind], CASES[kind][1](group), f"{logger}.{kind}")
    for bucket, (key, group) in zip(found["times"]["buckets"], steps(made, 6 * HOUR), strict=True):
        assert (bucket["key"], bucket["doc_count"]) == (key, len(group))
        if numbers(group):
            agree(bucket["avg"], CASES["avg"][1](group), "times.avg")


@pytest.mark.feature("L2")
def test_days_of_a_time_zone_and_date_ranges(filled: tuple[Any, list[Line], int]) -> None:
    """Calendar days begin at the zone's midnight, and date ranges take date math with it."""
    server, made, now_ms = filled
    zone = dt.timezone(dt.timedelta(hours=3))
    days = Counter(dt.datetime.fromtimestamp(one["@timestamp"] / 1000, zone).date() for one in made)
    found = ask(
        server,
        {
            "days": {
                "date_histogram": {"field": "@timestamp", "calendar_interval": "day", "time_zone": "+03:00"}
            },
            "recent": {
                "date_range": {"field": "@timestamp", "ranges": [{"from": "now-1d"}, {"to": "now-1d"}]}
            },
        },
    )
    for bucket, (day, n) in zip(found["days"]["buckets"], sorted(days.items()), strict=True):
        assert bucket["key"] == dt.datetime.combine(day, dt.time(), zone).timestamp() * 1000
        assert bucket["doc_count"] == n
    late = sum(one["@timestamp"] >= now_ms - 24 * HOUR for one in made)
    assert [one["doc_count"] for one in found["recent"]["buckets"]] == [len(made) - late, late]


@pytest.mark.feature("L2")
def test_pipelines_are_what_their_buckets_give(filled: tuple[Any, list[Line], int]) -> None:
    """Derivatives, running sums, differences and the numbers of sibling buckets follow from the buckets."""
    server, made, _ = filled
    inner = {
        "cost": {"sum": {"field": "took"}},
        "derivative": {"derivative": {"buckets_path": "_count"}},
        "cumulative_sum": {"cumulative_sum": {"buckets_path": "cost"}},
        "serial_diff": {"serial_diff": {"buckets_path": "_count", "lag": 2}},
    }
    beside = {
        f"{kind}_bucket": {f"{kind}_bucket": {"buckets_path": "t>cost"}}
        for kind in ("avg", "sum", "min", "max")
    }
    found = ask(server, {"t": {**HOURS, "aggs": inner}, **beside})
    groups = steps(made, 6 * HOUR)
    counts = [len(group) for _, group in groups]
    costs = [math.fsum(numbers(group)) for _, group in groups]
    for i, bucket in enumerate(found["t"]["buckets"]):
        agree(bucket["cumulative_sum"]["value"], math.fsum(costs[: i + 1]), "cumulative_sum")
        assert bucket.get("derivative") == (None if i < 1 else {"value": counts[i] - counts[i - 1]})
        assert bucket.get("serial_diff") == (None if i < 2 else {"value": counts[i] - counts[i - 2]})
    means = {"avg": statistics.fmean(costs), "sum": math.fsum(costs), "min": min(costs), "max": max(costs)}
    for kind, value in means.items():
        agree(found[f"{kind}_bucket"]["value"], value, kind)


@pytest.mark.feature("L2")
def test_composite_pages_through_every_combination_once(filled: tuple[Any, list[Line], int]) -> None:
    """`after_key` leads from page to page until nothing is left."""
    server, made, _ = filled
    seen: list[tuple[tuple[str, bool], int]] = []
    body: dict[str, Any] = {"size": 2, "sources": PAIRS}
    while (page := ask(server, {"c": {"composite": body}})["c"])["buckets"]:
        seen += [((b["key"]["who"], b["key"]["f"]), b["doc_count"]) for b in page["buckets"]]
        body = {**body, "after": page["after_key"]}
    assert seen == combined(made)


def test_no_aggregation_is_without_a_test() -> None:
    """Each kind that the door knows is compared above."""
    known = {*measures.KINDS, *divisions.KINDS, *pipelines.KINDS, *rates.KINDS}
    assert known == {*CASES, "date_range", *pipelines.KINDS, *rates.KINDS}


@pytest.mark.feature("L2")
def test_aggregations_over_no_line(server: Any) -> None:
    """In an empty index every aggregation still answers; without any index there are none."""
    body = {"size": 0, "aggs": {"n": {"max": {"field": "n"}}}}
    assert "aggregations" not in server.client.post("/es/logs-agg*/_search", json=body).json()
    assert server.client.put("/es/logs-agg-empty").status_code == 200
    aggs = {kind: {kind: body} for kind, (body, _) in CASES.items()}
    inner = {
        kind: {kind: {"buckets_path": "_count"}} for kind in ("derivative", "cumulative_sum", "serial_diff")
    }
    found = ask(server, {**aggs, "t": {**HOURS, "aggs": inner}, "a": {"avg_bucket": {"buckets_path": "t"}}})
    assert found["t"]["buckets"] == [] and found["a"] == {"value": None}
    assert found["avg"] == {"value": None} and found["sum"] == {"value": 0.0}
    assert found["filter"]["doc_count"] == 0


@pytest.mark.feature("L2")
def test_global_counts_what_the_query_leaves_out(filled: tuple[Any, list[Line], int]) -> None:
    """`global` sees every line of the indices, its neighbours only those of the query."""
    server, made, _ = filled
    aggs = {"all": {"global": {}, "aggs": {"most": {"max": {"field": "n"}}}}, "some": {"max": {"field": "n"}}}
    answer = server.client.post(
        "/es/_search", json={"size": 0, "query": {"range": {"n": {"lt": 10}}}, "aggs": aggs}
    ).json()["aggregations"]
    assert answer["all"] == {"doc_count": len(made), "most": {"value": len(made) - 1}}
    assert answer["some"] == {"value": 9}


@pytest.mark.feature("L2")
def test_hard_bounds_cut_off_and_extended_bounds_fill_up(filled: tuple[Any, list[Line], int]) -> None:
    """Bounds are rounded without the offset; a step's start is kept from the lower one to below the upper."""
    server, made, now_ms = filled
    low, high = now_ms - 50 * HOUR, now_ms - 10 * HOUR
    step, offset = 6 * HOUR, HOUR
    starts = Counter((one["@timestamp"] - offset) // step * step + offset for one in made)
    kept = {s: n for s, n in starts.items() if low // step * step <= s < high // step * step}
    hours = {"field": "@timestamp", "fixed_interval": "6h", "offset": "+1h", "min_doc_count": 1}
    took = {"field": "took", "interval": 50}
    found = ask(
        server,
        {
            "hard": {"date_histogram": {**hours, "hard_bounds": {"min": low, "max": high}}},
            "open": {"date_histogram": {**hours, "hard_bounds": {"min": low}}},
            "more": {"date_histogram": {**hours, "min_doc_count": 0, "extended_bounds": {"max": "now+1d"}}},
            "numbers": {"histogram": {**took, "hard_bounds": {"min": 60, "max": 200}}},
            "wide": {"histogram": {**took, "offset": 10, "extended_bounds": {"min": -100}}},
        },
    )
    counts = {name: {b["key"]: b["doc_count"] for b in one["buckets"]} for name, one in found.items()}
    assert counts["hard"] == dict(sorted(kept.items())) and len(kept) < len(starts)
    assert counts["open"] == {s: n for s, n in sorted(starts.items()) if s >= low // step * step}
    last = (now_ms + 24 * HOUR) // step * step + offset
    assert list(counts["more"]) == list(range(min(starts), last + 1, step)) and counts["more"][last] == 0
    taken = Counter(math.floor(v / 50) * 50 for v in numbers(made))
    assert counts["numbers"] == {key: taken[key] for key in (100, 150, 200)}
    assert list(counts["wide"])[:2] == [-140, -90] and sum(counts["wide"].values()) == len(numbers(made))


WRONG_BOUNDS: tuple[tuple[dict[str, Any], str, str], ...] = (
    ({"hard_bounds": {"min": 9**12}, "extended_bounds": {"min": 1}}, "illegal", "have to be inside hard"),
    ({"extended_bounds": {"min": 5, "max": 1}}, "", "max"),
    ({"hard_bounds": {"odd": 1}}, "x_content", "hard_bounds"),
    ({"hard_bounds": 5}, "x_content", "hard_bounds"),
    ({"extended_bounds": {"min": {}}}, "x_content", "extended_bounds"),
    ({"extended_bounds": {"min": "x"}}, "", "x"),
)


@pytest.mark.feature("L2")
def test_bounds_that_cannot_be_are_refused(server: Any) -> None:
    """Of times and of numbers alike."""
    for bounds, type, reason in WRONG_BOUNDS:
        for spec in (
            {"date_histogram": {"field": "due", "fixed_interval": "1d", **bounds}},
            {"histogram": {"field": "n", "interval": 1, **bounds}},
        ):
            answer = server.client.post("/es/_search", json={"aggs": {"a": spec}})
            error = answer.json()["error"]
            assert answer.status_code == 400 and error["type"].startswith(type), error
            assert reason in json.dumps(error)
