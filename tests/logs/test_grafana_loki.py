"""The requests that Grafana's Loki data source and logcli make, byte for byte as they go over the wire.

Grafana's backend writes its parameters in the order of their names and asks for labels by kind; what
completes names in its editor goes through as its front end wrote it. logcli writes directions in capitals.
"""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote_plus

import pytest
from websockets.sync.client import connect

from tests.logs.test_loki import push

GRAFANA = {
    "User-Agent": "Grafana/12.1.0",
    "X-Loki-Response-Encoding-Flags": "categorize-labels",
    "Accept-Encoding": "gzip",
}
LOGCLI = {"User-Agent": "loki-logcli/3.5.0", "Accept-Encoding": "gzip"}
SECOND = 10**9
WAIT_S = 60


@pytest.fixture
def now(clock: Any) -> int:
    """The server's time in nanoseconds."""
    return int(clock.now()) * SECOND


@pytest.fixture
def filled(server: Any, now: int) -> Any:
    """A minute of two streams, one with JSON and one with logfmt in its lines."""
    web: list[list[Any]] = [
        [
            str(now - (60 - i) * SECOND),
            json.dumps({"path": f"/p{i % 3}", "took": i / 2}),
            {"trace_id": f"t{i}"},
        ]
        for i in range(60)
    ]
    db: list[list[Any]] = [
        [str(now - (60 - i) * SECOND), f'level=warn rows={i} took={i}ms msg="slow query"']
        for i in range(0, 60, 10)
    ]
    streams = (
        ({"job": "web", "level": "error"}, web[::10]),
        ({"job": "web", "level": "info"}, [one for i, one in enumerate(web) if i % 10]),
        ({"job": "db"}, db),
    )
    assert push(server, *streams).status_code == 204
    return server


def get(server: Any, path: str, headers: dict[str, str] | None = None) -> Any:
    """One request with its query string as it is."""
    answer = server.client.get(f"/loki/api/v1/{path}", headers=headers or GRAFANA)
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.feature("L5")
def test_grafanas_panel_of_lines_and_its_volume(filled: Any, now: int) -> None:
    """Explore asks for the newest thousand lines and for counts by level beside them."""
    start, end = now - 60 * SECOND, now + SECOND
    query = quote_plus('{job="web"} |= ``')
    asked = f"direction=backward&end={end}&limit=1000&query={query}&start={start}&step=1000ms"
    found = get(filled, f"query_range?{asked}")["data"]
    assert found["resultType"] == "streams" and found["encodingFlags"] == ["categorize-labels"]
    values = [value for stream in found["result"] for value in stream["values"]]
    assert len(values) == 60 and {len(value) for value in values} == {3}
    assert values[0][2]["structuredMetadata"]["trace_id"].startswith("t")
    volume = quote_plus(
        'sum by (level, detected_level) (count_over_time({job="web"} |= `` | drop __error__[1m]))'
    )
    asked = f"direction=backward&end={end}&query={volume}&start={start}&step=60000ms"
    counted = get(filled, f"query_range?{asked}", {**GRAFANA, "X-Query-Tags": "Source=logvolhist"})["data"]
    assert counted["resultType"] == "matrix"
    levels = {one["metric"]["level"]: sum(int(n) for _, n in one["values"]) for one in counted["result"]}
    assert levels == {"error": 6, "info": 54}
    instant = quote_plus('count_over_time({job="web"}[5m])')
    one = get(filled, f"query?direction=backward&limit=1000&query={instant}&time={end}")["data"]
    assert one["resultType"] == "vector" and sum(int(part["value"][1]) for part in one["result"]) == 60


@pytest.mark.feature("L5")
def test_grafanas_editor_completes_labels_fields_and_values(filled: Any, now: int) -> None:
    """It looks for `detected_labels` first; fields have a type, how many values, and what reads them."""
    span = f"start={now - 60 * SECOND}&end={now + SECOND}"
    labels = get(filled, f"detected_labels?{span}")["detectedLabels"]
    assert {one["label"]: one["cardinality"] for one in labels} == {"job": 2, "level": 2}
    web = quote_plus('{job="web"}')
    narrowed = get(filled, f"detected_labels?{span}&query={web}")["detectedLabels"]
    assert {"label": "job", "cardinality": 1} in narrowed
    found = get(filled, f"detected_fields?{span}&limit=1000&query={web}")
    fields = {one["label"]: one for one in found["fields"]}
    assert found["limit"] == 1000
    assert (fields["path"]["type"], fields["path"]["cardinality"], fields["path"]["parsers"]) == (
        "string", 3, ["json"],
    )  # fmt: skip
    assert fields["took"]["type"] == "float" and fields["trace_id"] == {
        "label": "trace_id", "type": "string", "cardinality": 60, "parsers": None,
    }  # fmt: skip
    db = quote_plus('{job="db"}')
    of_db = get(filled, f"detected_fields?{span}&limit=1000&query={db}")["fields"]
    kinds = {one["label"]: (one["type"], one["parsers"]) for one in of_db}
    assert kinds["rows"] == ("int", ["logfmt"]) and kinds["took"] == ("duration", ["logfmt"])
    values = get(filled, f"detected_field/path/values?{span}&limit=1000&query={web}")
    assert values == {"values": ["/p0", "/p1", "/p2"], "limit": 1000}
    assert get(filled, f"detected_field/none/values?{span}&limit=1000&query={web}")["values"] == []
    assert get(filled, f"labels?{span}")["data"] == ["dataset", "job", "level"]
    assert get(filled, f"series?match%5B%5D={web}&{span}")["data"][0]["job"] == "web"
    assert get(filled, f"index/stats?query={web}&{span}")["entries"] == 66
    refused = filled.client.get(f"/loki/api/v1/detected_fields?{span}&query={web}&line_limit=9999999")
    assert refused.status_code == 400 and "line_limit" in refused.text


@pytest.mark.feature("L5")
def test_logclis_query_labels_and_series(filled: Any, now: int) -> None:
    """`logcli query`, `labels`, `labels job` and `series`."""
    start, end = now - 60 * SECOND, now + SECOND
    query = quote_plus('{job="web"}')
    asked = f"direction=BACKWARD&end={end}&limit=30&query={query}&start={start}"
    found = get(filled, f"query_range?{asked}", LOGCLI)["data"]
    newest = max(int(value[0]) for stream in found["result"] for value in stream["values"])
    assert sum(len(stream["values"]) for stream in found["result"]) == 30 and newest == now - SECOND
    forward = get(filled, f"query_range?{asked.replace('BACKWARD', 'FORWARD')}", LOGCLI)["data"]
    assert min(int(value[0]) for stream in forward["result"] for value in stream["values"]) == start
    assert get(filled, f"labels?end={end}&start={start}", LOGCLI)["data"] == ["dataset", "job", "level"]
    assert get(filled, f"label/job/values?end={end}&start={start}", LOGCLI)["data"] == ["db", "web"]
    series = get(filled, f"series?end={end}&match={query}&start={start}", LOGCLI)["data"]
    assert [one["level"] for one in series] == ["error", "info"]
    rate = quote_plus('sum(count_over_time({job="web"}[5m]))')
    at = get(filled, f"query?direction=BACKWARD&limit=30&query={rate}&time={end}", LOGCLI)["data"]
    assert at["result"][0]["value"][1] == "60"


@pytest.mark.feature("L6")
def test_logclis_tail_follows(filled: Any, now: int) -> None:
    """`logcli query --tail` opens a WebSocket from an hour ago and prints each frame's lines."""
    query = quote_plus('{job="db"}')
    url = filled.url.replace("http", "ws")
    asked = f"delay_for=0&limit=30&query={query}&start={now - 3600 * SECOND}"
    with connect(
        f"{url}/loki/api/v1/tail?{asked}",
        additional_headers=LOGCLI,
        open_timeout=WAIT_S,
        close_timeout=WAIT_S,
    ) as client:
        first = json.loads(client.recv(WAIT_S))["streams"]
        assert sum(len(stream["values"]) for stream in first) == 6
        assert push(filled, ({"job": "db"}, [[str(now), "one more"]])).status_code == 204
        more = json.loads(client.recv(WAIT_S))["streams"]
        assert [value[1] for stream in more for value in stream["values"]] == ["one more"]
