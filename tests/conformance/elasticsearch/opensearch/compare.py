"""What differs between OpenSearch's answer and ours."""

from __future__ import annotations

import math
from typing import Any

from tests.conformance.elasticsearch.opensearch.requests import Request
from tests.conformance.elasticsearch.opensearch.sides import Reply

RELATIVE = 1e-9
_UNSAID = {
    "took", "timed_out", "_shards", "max_score", "_score", "_scroll_id", "pit_id", "status",
    "num_reduce_phases", "_seq_no",
    "metadata_field", "index_uuid", "phase_took",
}  # fmt: skip
"""What is said of the machine, scores, which lines do not have, what only Elasticsearch 8 says, and a line's
number, which counts within a day here."""
_ENDS = {2**31 - 1: 2**63 - 1, -(2**31): -(2**63)}
"""Where a missing truth is sorted: OpenSearch 2 counts in four bytes, Elasticsearch in eight."""


def difference(request: Request, theirs: list[Reply], ours: list[Reply]) -> str:
    """The first difference of two sides' answers; an empty string where they are equal."""
    for number, (one, other) in enumerate(zip(theirs, ours, strict=False)):
        if found := _reply(request, one, other):
            return (f"page {number + 1}: " if number else "") + found
    return "" if len(theirs) == len(ours) else f"pages: {len(theirs)} | {len(ours)}"


def _reply(request: Request, theirs: Reply, ours: Reply) -> str:
    if theirs.status != ours.status:
        return f"status: {theirs.status} {error_type(theirs.body)} | {ours.status} {error_type(ours.body)}"
    if theirs.status >= 400:
        kinds = error_type(theirs.body), error_type(ours.body)
        return "" if kinds[0] == kinds[1] else f"error: {kinds[0]} | {kinds[1]}"
    return _differ(theirs.body, ours.body, "", request.body, few=_few(theirs.body))


def _few(body: Any) -> bool:
    """Whether an answer speaks of so few lines that a quantile may lie between any two of them."""
    hits = body.get("hits", {}) if isinstance(body, dict) else {}
    total = hits.get("total", {}) if isinstance(hits, dict) else {}
    return not isinstance(total, dict) or total.get("value", 0) < 500


def error_type(body: Any) -> str:
    """The type of an error's root cause."""
    if not isinstance(body, dict):
        return str(body)[:100]
    error = body.get("error")
    if not isinstance(error, dict):
        return str(error)[:100]
    causes = error.get("root_cause") or [error]
    # Elasticsearch 8 has names of its own for what its JSON reader says.
    return str(causes[0].get("type")).replace("json_", "x_content_")


def _differ(theirs: Any, ours: Any, path: str, asked: Any, *, few: bool) -> str:
    if isinstance(theirs, dict) and isinstance(ours, dict):
        if "reason" in theirs:
            kinds = error_type({"error": theirs}), error_type({"error": ours})
            return "" if kinds[0] == kinds[1] else f"{path}: error {kinds[0]} | {kinds[1]}"
        spec = asked.get("aggs", {}) if isinstance(asked, dict) else {}
        for key in sorted({*theirs, *ours} - _UNSAID):
            inner = f"{path}.{key}"
            if path == ".fields" and key[0] == "_":
                # The fields that an index keeps for itself.
                continue
            if key == "meta" and not theirs.get(key, ours.get(key)):
                # A filter that was rewritten says that it has no meta data.
                continue
            if key not in theirs or key not in ours:
                return f"{inner}: {_short(theirs.get(key, 'missing'))} | {_short(ours.get(key, 'missing'))}"
            deeper = spec.get(key, asked) if isinstance(spec, dict) else asked
            if (
                isinstance(deeper, dict)
                and (kind := next((k for k in _NEAR if k in deeper), ""))
                and key in spec
            ):
                if found := _NEAR[kind](theirs[key], ours[key], inner, few):
                    return found
                continue
            if found := _differ(theirs[key], ours[key], inner, deeper, few=few):
                return found
        return ""
    if isinstance(theirs, list) and isinstance(ours, list):
        if len(theirs) != len(ours):
            return f"{path}: {len(theirs)} entries {_short(theirs)} | {len(ours)} {_short(ours)}"
        for i, (one, other) in enumerate(zip(theirs, ours, strict=True)):
            # A body of `_msearch` has a header and a search a line.
            own = asked[2 * i + 1] if path == ".responses" and isinstance(asked, list) else asked
            if found := _differ(one, other, f"{path}.{i}", own, few=few):
                return found
        return ""
    return "" if _same(theirs, ours) else f"{path}: {_short(theirs)} | {_short(ours)}"


def _same(theirs: Any, ours: Any) -> bool:
    if isinstance(theirs, bool) and isinstance(ours, str):
        # OpenSearch 2 writes the text of a truth as a truth.
        return str(theirs).lower() == ours
    if isinstance(theirs, bool) or isinstance(ours, bool) or not (_number(theirs) and _number(ours)):
        return bool(theirs == ours)
    if theirs == ours or _ENDS.get(theirs) == ours:
        return True
    # Sums and squares of nearly equal numbers keep few digits.
    return math.isclose(theirs, ours, rel_tol=RELATIVE, abs_tol=1e-6)


def _number(value: Any) -> bool:
    return isinstance(value, (int, float))


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 160 else text[:160] + "…"


def _quantiles(theirs: Any, ours: Any, path: str, few: bool) -> str:
    """OpenSearch's digest is near; of a bucket's few values it takes one where we draw a line between two."""
    one, other = theirs["values"], ours["values"]
    if isinstance(one, list):
        one, other = ({str(part["key"]): part["value"] for part in side} for side in (one, other))
    if one.keys() != other.keys():
        return f"{path}: {_short(one)} | {_short(other)}"
    known = [value for value in one.values() if value is not None]
    span = max((abs(value) for value in known), default=0.0)
    share = 0.5 if few or path.count(".") > 2 else 0.06
    for key, value in one.items():
        if (value is None) != (other[key] is None):
            return f"{path}.{key}: {value} | {other[key]}"
        if value is not None and abs(value - other[key]) > share * max(span, 100):
            return f"{path}.{key}: {value} | {other[key]}"
    return ""


def _cardinality(theirs: Any, ours: Any, path: str, few: bool) -> str:
    near = abs(theirs["value"] - ours["value"]) <= 0.03 * theirs["value"]
    return "" if near else f"{path}: {theirs['value']} | {ours['value']}"


_NEAR = {"percentiles": _quantiles, "percentile_ranks": _quantiles, "cardinality": _cardinality}
