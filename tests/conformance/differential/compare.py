"""What differs between two answers of the query API."""

from __future__ import annotations

import json
import math
import re
from typing import Any

RELATIVE = 1e-9
CANCELLING = re.compile(r"std(dev|var)|edge_gauge|deriv|predict_linear|mad_over_time| % |\b(sin|cos|tan)\(")
"""Differences of nearly equal numbers keep few digits, and Go's log10 ends in other ones than C's."""
CANCELLED = 1e-4
_RESETS_UNKNOWN = re.compile(r"histogram_(sum|count|avg)\(.* [-+] .*\[[^\]]*:[^\]]*\]")
"""Prometheus drops sums and differences of histograms across a reset, but not in such a subquery."""
_MIXED = "mix of histograms with exponential and custom buckets"
_RECONCILED = "mismatched custom buckets were reconciled"
_SORTED_BY = re.compile(r'(, "\w+")+\)$')
_ZERO_BUCKET = 0.001
"""How wide the zero bucket is in the histograms that are pushed."""

_COMPARES = re.compile(r"==|!=|>=|<=|>|<")


def difference(query: str, theirs: dict[str, Any], ours: dict[str, Any]) -> str:
    """The first thing in which our answer is not theirs; an empty string where they are equal."""
    if theirs["code"] != ours["code"] or theirs.get("errorType") != ours.get("errorType"):
        return f"status: {_status(theirs)} | {_status(ours)}"
    if theirs["status"] != "success":
        return _errors(theirs["error"], ours["error"])
    for kind in ("warnings", "infos"):
        expected, found = (_notes(query, one.get(kind) or []) for one in (theirs, ours))
        if any(_MIXED in text for text in theirs.get("warnings") or []):
            # A group of both kinds has no sum; whether its custom buckets differ is then a matter of order.
            expected, found = ([text for text in one if _RECONCILED not in text] for one in (expected, found))
        if expected != found:
            return f"{kind}: {expected} | {found}"
    if _RESETS_UNKNOWN.search(query):
        return ""
    data, own = theirs["data"], ours["data"]
    if data["resultType"] != own["resultType"]:
        return f"type: {data['resultType']} | {own['resultType']}"
    if data["resultType"] in ("scalar", "string"):
        return _points([data["result"]], [own["result"]], "")
    return _series(query, data["result"], own["result"])


def nameless(query: str, answer: dict[str, Any]) -> dict[str, Any]:
    """An answer without the name that a comparison gave back, where the query copies that name."""
    if not re.search(r"label_(replace|join)\(.* (==|!=|>=?|<=?) .*\"__name__\"", query):
        return answer
    results = answer.get("data", {}).get("result") or []
    for one in results:
        one["metric"].pop("__name__", None)
    return answer


def same_by_default(query: str, late: dict[str, Any], ours: dict[str, Any], plain: dict[str, Any]) -> bool:
    """Whether ours is what Prometheus answers that drops names at once.

    Where that one cannot answer, for it dropped names that tell series apart, the late one's answer counts,
    but for the names that its comparisons gave back.
    """
    if "same labelset" not in plain.get("error", "") or not _COMPARES.search(query):
        return not difference(query, plain, ours)
    return not difference(query, *({**one, "data": _unnamed(one.get("data"))} for one in (late, ours)))


def _unnamed(data: Any) -> Any:
    if not isinstance(data, dict) or data["resultType"] not in ("vector", "matrix"):
        return data
    results = [
        {**one, "metric": {name: value for name, value in one["metric"].items() if name != "__name__"}}
        for one in data["result"]
    ]
    return {**data, "result": results}


def _status(answer: dict[str, Any]) -> str:
    return f"{answer['code']} {answer.get('errorType', '')} {answer.get('error', '')}"


def _errors(theirs: str, ours: str) -> str:
    # Which of several colliding series is named, and which of its labels first, is a matter of maps.
    cut = [re.sub(r"\{.*?\}", "{}", text) for text in (theirs, ours)]
    return "" if cut[0] == cut[1] else f"error: {theirs} | {ours}"


def _notes(query: str, texts: list[str]) -> list[str]:
    # Prometheus has lost the place of a subquery by the time it speaks of it and says 1:1.
    if re.search(r"\[[^\]]*:[^\]]*\]", query):
        texts = [re.sub(r" \(1:\d+\)$", "", text) for text in texts]
    # Below histogram_sum and the like Prometheus does not decode buckets, so it meets no bounds that differ
    # and knows of no resets.
    if re.search(r"histogram_(sum|count|avg)", query):
        unseen = ("mismatched custom buckets", "conflicting counter resets")
        texts = [text for text in texts if not any(one in text for one in unseen)]
    return sorted(texts)


def _series(query: str, theirs: list[Any], ours: list[Any]) -> str:
    expected, found = (
        {json.dumps(one["metric"], sort_keys=True): one for one in side} for side in (theirs, ours)
    )
    if len(expected) != len(theirs) or len(found) != len(ours):
        return "a series twice"
    if expected.keys() != found.keys():
        missing, extra = sorted(expected.keys() - found.keys()), sorted(found.keys() - expected.keys())
        return f"series: {len(missing)} missing {missing[:2]}, {len(extra)} more {extra[:2]}"
    for key, one in expected.items():
        pairs = [
            (side.get("values") or ([side["value"]] if "value" in side else [])) for side in (one, found[key])
        ]
        if re.search("histogram_(quantile|fraction)", query):
            pairs = _beyond_zero_buckets(*pairs)
        if text := _points(pairs[0], pairs[1], key, CANCELLED if CANCELLING.search(query) else RELATIVE):
            return text
        if text := _natives(_histograms(one), _histograms(found[key]), key):
            return text
    return _order(query, theirs, ours)


def _order(query: str, theirs: list[Any], ours: list[Any]) -> str:
    """Of an instant query that has one."""
    if not theirs or "value" not in theirs[0]:
        return ""
    if query.startswith("sort_by_label"):
        expected, found = ([one["metric"] for one in side] for side in (theirs, ours))
        by = _SORTED_BY.search(query)
        names = re.findall(r'"(\w+)"', by[0]) if by else []
        if any(_has_gaps({one.get(name, "") for one in expected}) for name in names):
            return ""
        if any(_has_twins({one.get(name, "") for one in expected}) for name in names):
            expected, found = ([_counted(one, names) for one in side] for side in (expected, found))
        return "" if expected == found else f"order: {expected[:4]} | {found[:4]}"
    if query.startswith(("sort", "topk", "bottomk")):
        values = [(one["value"][1], own["value"][1]) for one, own in zip(theirs, ours, strict=True)]
        if not all(close(*pair) for pair in values):
            return f"order: {values[:6]}"
    return ""


def _beyond_zero_buckets(theirs: list[Any], ours: list[Any]) -> list[list[Any]]:
    """The points of both sides without those where both quantiles lie in a native histogram's zero bucket.

    Prometheus reads that bucket as positive where there are positive ones, also empty ones that a histogram
    has only because a later one of its chunk has them; so its answer depends on where chunks are cut.
    """
    if len(theirs) != len(ours):
        return [theirs, ours]
    kept = [
        pair
        for pair in zip(theirs, ours, strict=True)
        if not _in_zero_bucket(*(float(value) for _, value in pair))
    ]
    return [[pair[side] for pair in kept] for side in (0, 1)]


def _in_zero_bucket(theirs: float, ours: float) -> bool:
    if theirs == ours:
        return False
    # Of a fraction, half of the bucket is on the other side of zero.
    return max(abs(theirs), abs(ours)) <= _ZERO_BUCKET or abs(theirs - ours) == 0.5


def _number(text: str) -> str:
    return re.sub(r"0*([0-9]+)", r"\1", text)


def _has_twins(values: set[str]) -> bool:
    """Whether there are md0 and md00: to Prometheus each is less than the other, and any order may come."""
    return len({_number(value) for value in values}) < len(values)


def _has_gaps(values: set[str]) -> bool:
    """Whether some have no value: to Prometheus that is greater than any, and any is greater than it."""
    return "" in values and len(values) > 1


def _counted(metric: dict[str, str], names: list[str]) -> dict[str, str]:
    return {name: _number(metric.get(name, "")) for name in names}


def _histograms(one: dict[str, Any]) -> list[Any]:
    if "histogram" in one:
        return [one["histogram"]]
    return list(one.get("histograms") or [])


def _natives(theirs: list[Any], ours: list[Any], series: str) -> str:
    """What differs between native histograms over time."""
    if [at for at, _ in theirs] != [at for at, _ in ours]:
        only = sorted({at for at, _ in theirs} ^ {at for at, _ in ours})
        return f"{series}: {len(theirs)} histograms, ours {len(ours)}; not in both: {only[:4]}"
    for (at, expected), (_, found) in zip(theirs, ours, strict=True):
        pairs = [(expected["count"], found["count"]), (expected["sum"], found["sum"])]
        rows = expected.get("buckets") or [], found.get("buckets") or []
        same = [row[0] for row in rows[0]] == [row[0] for row in rows[1]]
        for one, own in zip(*rows, strict=False):
            pairs += zip(one[1:], own[1:], strict=True)
        if not same or not all(close(*pair) for pair in pairs):
            return f"{series} at {at}: {expected} | {found}"
    return ""


def _points(theirs: list[Any], ours: list[Any], series: str, relative: float = RELATIVE) -> str:
    if [at for at, _ in theirs] != [at for at, _ in ours]:
        only = sorted({at for at, _ in theirs} ^ {at for at, _ in ours})
        return f"{series}: {len(theirs)} points, ours {len(ours)}; not in both: {only[:4]}"
    for (at, expected), (_, found) in zip(theirs, ours, strict=True):
        if expected != found and not close(expected, found, relative):
            return f"{series} at {at}: {expected} | {found}"
    return ""


def close(theirs: str, ours: str, relative: float = RELATIVE) -> bool:
    """Whether two samples are the same number but for rounding."""
    try:
        left, right = float(theirs), float(ours)
    except ValueError:
        return False
    if math.isnan(left) or math.isnan(right):
        return math.isnan(left) and math.isnan(right)
    return math.isclose(left, right, rel_tol=relative, abs_tol=1e-290)
