"""What differs between two answers of the HTTP API, and which differences stay, each with its reason."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx
import yaml

from tests.conformance.api.asking import Ask, encoded
from tests.conformance.differential.compare import close

VOLATILE = re.compile(
    r"^(lastScrape|lastScrapeDuration|evaluationTime|lastEvaluation|activeAt|keepFiringSince|startTime|serverTime"
    r"|lastConfigTime|CWD|date|evalTotalTime|resultSortTime|queryPreparationTime|innerEvalTime|execQueueTime"
    r"|execTotalTime|peakSamples|hostname|goroutineCount|GOMAXPROCS|GOMEMLIMIT|GOGC|storageRetention"
    r"|buildDate|buildUser|goVersion|revision|branch|version)$"
)
"""Keys whose values are of the moment, the machine or the program: only their type is compared."""
HEADERS = ("content-type", "access-control-allow-origin", "allow")
_ODD_NUMBER = re.compile(r"[+-]?(nan|inf|[0-9.]+e(20|30))", re.IGNORECASE)
_COLLISION = re.compile(r"match group \{.*?\}|\[\{.*?\}, \{.*?\}\]")
_UNSORTED = re.compile(r"^(?!sort|topk|bottomk)")


@dataclass(frozen=True)
class Declared:
    """A difference that stays: whether it is this one, and why."""

    reason: str
    is_it: Callable[[Ask, httpx.Response, httpx.Response, str], bool]


def _refused(theirs: httpx.Response, ours: httpx.Response) -> bool:
    return ours.status_code == 400 and ours.json()["errorType"] == "bad_data"


DECLARED = (
    Declared(
        "NaN, Inf and numbers beyond int64 are no instants or durations: Go makes a moment long past of them",
        lambda ask, a, b, text: (
            any(_ODD_NUMBER.fullmatch(value) for _, value in ask.given) and _refused(a, b)
        ),
    ),
    Declared(
        "what is not there is refused with our own body, and OPTIONS says what is allowed",
        lambda ask, a, b, text: (
            (a.status_code == b.status_code and a.status_code in (404, 405))
            or (ask.method == "OPTIONS" and {a.status_code, b.status_code} <= {200, 204})
        ),
    ),
    Declared(
        "no other site may read answers in a visitor's browser: Prometheus allows every origin",
        lambda ask, a, b, text: text.startswith("access-control-allow-origin"),
    ),
    Declared(
        "`/-/healthy` and `/-/ready` name the program that answers",
        lambda ask, a, b, text: (
            ask.path.startswith("/-/") and a.text.replace("Prometheus Server", "mamimon") == b.text
        ),
    ),
    Declared(
        "Go's words about JSON that cannot be read",
        lambda ask, a, b, text: (
            ask.path.endswith("relabel_steps")
            and all(one.json().get("error", "").startswith("error parsing labels: ") for one in (a, b))
        ),
    ),
    Declared(
        "we are an Alertmanager ourselves, the first of the list",
        lambda ask, a, b, text: (
            ask.path.endswith("/alertmanagers")
            and a.json()["data"]["activeAlertmanagers"] == b.json()["data"]["activeAlertmanagers"][1:]
        ),
    ),
    Declared(
        "flags without a meaning here are not shown, and those that are hold our settings",
        lambda ask, a, b, text: (
            ask.path.endswith("/status/flags") and set(b.json()["data"]) <= set(a.json()["data"])
        ),
    ),
    Declared(
        "features of Prometheus' own pages, blocks and build are not listed",
        lambda ask, a, b, text: (
            ask.path.endswith("/features") and _features_fit(a.json()["data"], b.json()["data"])
        ),
    ),
    Declared(
        "sizes of the store are ours: series that a failed scrape made, bytes, chunks, day files for blocks",
        lambda ask, a, b, text: ask.path.startswith("/api/v1/status/tsdb") and _same_keys(a.json(), b.json()),
    ),
    Declared(
        "our own metrics are other ones",
        lambda ask, a, b, text: (
            ask.path.endswith("/self_metrics")
            and {key for one in b.json()["data"] for key in one}
            <= {key for one in a.json()["data"] for key in one}
        ),
    ),
    Declared(
        "which metrics `limit` leaves is a matter of Go's maps",
        lambda ask, a, b, text: (
            ask.path.endswith("/metadata")
            and any(name.startswith("limit") for name, _ in ask.given)
            and len(a.json()["data"]) == len(b.json()["data"])
        ),
    ),
    Declared(
        "label names and values without a matcher are those of whole days, not of 2 h blocks",
        lambda ask, a, b, text: (
            bool(re.search(r"/label(s$|/)", ask.path))
            and any(name in ("start", "end") for name, _ in ask.given)
            and not any(name == "match[]" for name, _ in ask.given)
            and text.startswith(".data")
        ),
    ),
    Declared(
        "an empty selector deletes nothing here, and everything in Prometheus",
        lambda ask, a, b, text: (
            ask.path.endswith("/delete_series") and "at least one non-empty matcher" in b.text
        ),
    ),
    Declared(
        "a body that is not snappy is refused in the words of another library",
        lambda ask, a, b, text: (
            ask.path in ("/api/v1/read", "/api/v1/write") and a.status_code == b.status_code == 400
        ),
    ),
    Declared(
        "bytes that are no UTF-8 are shown otherwise",
        lambda ask, a, b, text: "%FF" in ask.path and a.status_code == b.status_code == 400,
    ),
    Declared(
        "samples of `stats` are those that the engine loads, for it works on whole matrices",
        lambda ask, a, b, text: text.startswith(".data.stats.samples."),
    ),
    Declared(
        "Go writes null for a list or map that was not asked for; Prometheus' own document promises one",
        lambda ask, a, b, text: text in (".data.droppedTargetCounts: null | {}",),
    ),
    Declared(
        "Go's router mends odd paths by a redirect",
        lambda ask, a, b, text: a.status_code in (301, 307),
    ),
)


def _features_fit(theirs: dict[str, Any], ours: dict[str, Any]) -> bool:
    """Every promise of ours is one of Prometheus, and every function and operator of Prometheus is ours."""
    return all(set(ours[area]) <= set(theirs[area]) for area in ours) and all(
        theirs[area] == ours[area]
        for area in (
            "promql",
            "promql_functions",
            "promql_operators",
            "templating_functions",
            "rules",
            "scrape",
        )
    )


def _same_keys(left: Any, right: Any) -> bool:
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(_same_keys(left[key], right[key]) for key in left)
    if isinstance(left, list) and isinstance(right, list) and left and right:
        return _same_keys(left[0], right[0])
    return type(left) is type(right)


def send(client: httpx.Client, ask: Ask) -> httpx.Response:
    """Ask one side."""
    text = encoded(ask.given)
    headers = dict(ask.headers)
    if ask.form:
        headers = {"Content-Type": "application/x-www-form-urlencoded", **headers}
        return client.request(ask.method, ask.path, content=text, headers=headers)
    return client.request(ask.method, f"{ask.path}?{text}" if text else ask.path, headers=headers)


def declared(ask: Ask, theirs: httpx.Response, ours: httpx.Response, text: str) -> str:
    """Why a difference stays; an empty string where it must not."""
    for one in DECLARED:
        try:
            if one.is_it(ask, theirs, ours, text):
                return one.reason
        except (ValueError, KeyError, TypeError):
            continue  # an answer of another shape is not the declared one
    return ""


def difference(ask: Ask, theirs: httpx.Response, ours: httpx.Response) -> str:
    """The first difference; an empty string where there is none."""
    if theirs.status_code != ours.status_code:
        return f"status {theirs.status_code} {theirs.text[:300]!r} | {ours.status_code} {ours.text[:300]!r}"
    for name in HEADERS:
        if theirs.headers.get(name) != ours.headers.get(name):
            return f"{name}: {theirs.headers.get(name)!r} | {ours.headers.get(name)!r}"
    try:
        left, right = (_plain(ask, one.json()) for one in (theirs, ours))
    except ValueError:
        left, right = (_samples(ask, one.text) for one in (theirs, ours))
    return _differs(left, right, "")


def _plain(ask: Ask, answer: Any) -> Any:
    """An answer without the orders that Prometheus leaves to its maps and index."""
    if not isinstance(answer, dict):
        return answer
    if "error" in answer:
        return answer
    for notes in ("warnings", "infos"):
        if notes in answer:
            answer[notes].sort()
    data = answer.get("data")
    limited = any(name == "limit" and value != "0" for name, value in ask.given)
    if re.search("/series$|/targets/metadata$|/label/", ask.path) and isinstance(data, list):
        answer["data"] = len(data) if limited else _sorted(data)
    elif isinstance(data, dict) and data.get("resultType") in ("vector", "matrix"):
        query = dict(ask.given).get("query", "")
        if limited:
            data["result"] = len(data["result"])
        elif _UNSORTED.match(query) or data["resultType"] == "matrix":
            data["result"] = sorted(data["result"], key=lambda one: json.dumps(one["metric"], sort_keys=True))
    elif ask.path.endswith("/metadata") and isinstance(data, dict):
        answer["data"] = {name: _sorted(found) for name, found in data.items()}
    elif ask.path.endswith("/targets") and isinstance(data, dict):
        for one in data["activeTargets"]:
            if one["scrapePool"] == "broken":  # ours has the line
                one["lastError"] = bool(one["lastError"])
        data["droppedTargets"] = _sorted(data["droppedTargets"])
    elif ask.path.endswith("/snapshot") and isinstance(data, dict):
        data["name"] = re.sub(r"[0-9a-f]", "0", data["name"])
    elif ask.path.endswith("/status/config"):
        answer["data"] = _config(yaml.safe_load(data["yaml"]))
    return answer


def _config(whole: dict[str, Any]) -> dict[str, Any]:
    """What the file says and what jobs are by default, without settings of Prometheus' own insides."""
    names = ("scrape_interval", "scrape_timeout", "evaluation_interval", "external_labels")
    jobs = [
        {key: value for key, value in job.items() if key != "enable_http2" and value is not False}
        for job in whole["scrape_configs"]
    ]
    return {
        "global": {name: whole["global"][name] for name in names},
        "rule_files": whole["rule_files"],
        "scrape_configs": jobs,
    }


def _samples(ask: Ask, text: str) -> Any:
    """Lines of an exposition without the instants of scrapes, which differ."""
    if ask.path != "/federate":
        return text
    lines = (re.sub(r" \d{13}$", "", line) for line in text.splitlines())
    return sorted(re.sub(r"^((ALERTS_FOR_STATE|scrape_duration).*) \S+$", r"\1", line) for line in lines)


def _sorted(items: list[Any]) -> list[Any]:
    return sorted(items, key=lambda one: json.dumps(one, sort_keys=True))


def _differs(left: Any, right: Any, where: str) -> str:
    if type(left) is not type(right) and not (_number(left) and _number(right)):
        return f"{where}: {_short(left)} | {_short(right)}"
    if isinstance(left, dict):
        if set(left) != set(right):
            only = sorted(set(left) - set(right)), sorted(set(right) - set(left))
            return f"{where}: keys {_short(only[0])} | {_short(only[1])}"
        parts = (_of_key(key, value, right[key], f"{where}.{key}") for key, value in left.items())
        return next((text for text in parts if text), "")
    if isinstance(left, list):
        if len(left) != len(right):
            return f"{where}: {len(left)} items {_short(left)} | {len(right)} {_short(right)}"
        parts = (_differs(*pair, f"{where}[{n}]") for n, pair in enumerate(zip(left, right, strict=True)))
        return next((text for text in parts if text), "")
    if isinstance(left, str) and left != right:
        # Which of several colliding series is named is a matter of maps.
        left, right = (_COLLISION.sub("", one) for one in (left, right))
        if close(left, right):
            return ""
    return "" if left == right else f"{where}: {_short(left)} | {_short(right)}"


def _of_key(key: str, left: Any, right: Any, where: str) -> str:
    if not VOLATILE.match(key):
        return _differs(left, right, where)
    alike = type(left) is type(right) or (_number(left) and _number(right))
    return "" if alike else f"{where}: {_short(left)} | {_short(right)}"


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _short(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)[:600]
