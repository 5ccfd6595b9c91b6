"""Every door and page, asked oddly: an answer that says what is wrong, never a mistake of ours."""

from __future__ import annotations

from typing import Any

import pytest

PATHS = [
    "/",
    "/logs",
    "/logs/line/abc",
    "/requests/abc",
    "/graph",
    "/targets",
    "/alerts",
    "/incidents",
    "/incidents/99",
    "/incidents/abc",
    "/errors",
    "/errors/99",
    "/errors/x",
    "/errors/1/events/zz",
    "/events",
    "/checks",
    "/status",
    "/dashboards",
    "/dashboards/api-performance",
    "/dashboards/nope",
    "/explore",
    "/settings",
    "/settings/alerts",
    "/login",
    "/ack/abc",
    "/es/",
    "/es/_search",
    "/es/logs-*/_search",
    "/es/nope/_search",
    "/es/_cat/indices",
    "/es/nope",
    "/api/v1/query",
    "/api/v1/query_range",
    "/api/v1/series",
    "/api/v1/labels",
    "/api/v1/label/x/values",
    "/api/v1/nope",
    "/alertmanager/api/v2/status",
    "/alertmanager/api/v2/alerts",
    "/alertmanager/api/v2/nope",
    "/api/mamimon/chart",
    "/api/mamimon/logs",
    "/api/mamimon/logs/search",
    "/api/mamimon/logs/histogram",
    "/api/mamimon/errors/issues",
    "/api/mamimon/events/summary",
    "/schema",
    "/federate",
    "/ping/abc",
    "/v1/logs",
    "/gelf",
    "/loki",
    "/loki/api/v1/push",
    "/loki/api/v1/query",
    "/loki/api/v1/query_range",
    "/loki/api/v1/labels",
    "/loki/api/v1/label/x/values",
    "/loki/api/v1/series",
    "/loki/api/v1/index/stats",
]
ODD: list[dict[str, str]] = [
    {},
    {"q": "((", "query": "((", "since": "abc", "start": "x", "page": "-1", "size": "x", "sort": "x"},
    {"q": "a" * 5000, "query": "\x00", "start": "1e400", "end": "-1"},
    {"since": "99999999d", "size": "999999999", "from": "-5", "limit": "-1", "start": "0", "end": "1e12"},
]


@pytest.mark.feature("S3")
def test_odd_parameters_are_never_our_mistake(server: Any) -> None:
    """No path answers 5xx whatever its parameters are, and no page shows a missing value as None."""
    wrong = []
    for path in PATHS:
        for parameters in ODD:
            for accept in ("text/html", "application/json"):
                answer = server.client.get(path, params=parameters, headers={"Accept": accept})
                if answer.status_code >= 500 or (accept == "text/html" and ">None<" in answer.text):
                    wrong.append((path, parameters, accept, answer.status_code))

    assert not wrong
