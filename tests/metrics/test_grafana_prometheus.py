"""The requests of Grafana's Prometheus data source (pkg/promlib, described in the material's README)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.metrics.conftest import Body, Scraped

Start = Callable[..., Scraped]
# What Grafana 12 sends along; its proxy forwards the browser's headers.
HEADERS = {
    "User-Agent": "Grafana/12.1.0",
    "Accept-Encoding": "gzip",
    "X-Dashboard-Uid": "abc",
    "X-Panel-Id": "2",
    "X-Datasource-Uid": "p1",
    "X-Grafana-Org-Id": "1",
}
FORM = {**HEADERS, "Content-Type": "application/x-www-form-urlencoded"}
TEXT = """\
# HELP http_requests Requests.
# TYPE http_requests counter
http_requests_total{status="200",path="/a b"} %d # {trace_id="abc"} 1
http_requests_total{status="500",path="/"} %d
# TYPE took histogram
took_bucket{le="0.1"} 1
took_bucket{le="+Inf"} 2
took_sum 3
took_count 2
# EOF
"""


@pytest.fixture
def one(scraped: Start, body: Body) -> Scraped:
    """mamimon with five scrapes of a small application."""
    running = scraped(body.address)
    for number in range(5):
        body.openmetrics(TEXT % (number * 30, number))
        running.tick()
    return running


@pytest.mark.feature("M4")
def test_save_and_test(one: Scraped) -> None:
    """1+1 at time 4 is a scalar of 2, and buildinfo has no features: a Prometheus, not a Mimir."""
    client = one.server.client
    answer = client.post("/api/v1/query", data={"query": "1+1", "time": "4"}, headers=HEADERS)
    assert answer.json() == {"status": "success", "data": {"resultType": "scalar", "result": [4, "2"]}}
    fallback = client.get("/api/v1/query", params={"query": "1+1", "time": "4"}, headers=HEADERS)
    assert fallback.json() == answer.json()
    info = client.get("/api/v1/status/buildinfo", headers=HEADERS).json()
    assert info["data"]["version"] == "3.14.0"
    assert "features" not in info["data"]
    assert client.get("/api/v1/rules", headers=HEADERS).json()["status"] == "success"


@pytest.mark.feature("M4")
def test_a_panels_range_query(one: Scraped) -> None:
    """A panel's POST with fractional seconds: a matrix on the step's grid, the last point included."""
    end = int(one.clock.now())
    form = {
        "query": 'sum by(status) (rate(http_requests_total{job="app"}[1m0s]))',
        "start": f"{end - 60}.000",
        "end": f"{end}",
        "step": "15",
        "timeout": "30s",
    }
    answer = one.server.client.post("/api/v1/query_range", data=form, headers=FORM).json()
    assert answer["data"]["resultType"] == "matrix"
    series = {found["metric"]["status"]: found["values"] for found in answer["data"]["result"]}
    assert set(series) == {"200", "500"}
    assert series["200"][-1][0] == end
    assert float(series["200"][-1][1]) == pytest.approx(2, rel=0.01)
    # An empty result is a list, and warnings are left out, for older releases stumble over null.
    form["query"] = "nothing_here"
    empty = one.server.client.post("/api/v1/query_range", data=form, headers=FORM).json()
    assert empty == {"status": "success", "data": {"resultType": "matrix", "result": []}}


@pytest.mark.feature("M4")
def test_instant_tables_and_heat_maps(one: Scraped) -> None:
    """A table's instant query and a heat map's buckets, `le` ready to be sorted."""
    at = one.clock.now()
    form = {"query": 'http_requests_total{job="app"}', "time": f"{at:.3f}"}
    table = one.server.client.post("/api/v1/query", data=form, headers=FORM).json()["data"]
    assert table["resultType"] == "vector"
    assert [row["value"][1] for row in table["result"]] == ["120", "4"]
    form = {"query": "sum by(le) (took_bucket)", "time": f"{at}"}
    heat = one.server.client.post("/api/v1/query", data=form, headers=FORM).json()["data"]["result"]
    assert {row["metric"]["le"] for row in heat} == {"0.1", "+Inf"}


@pytest.mark.feature("M4")
def test_the_query_builder(one: Scraped) -> None:
    """Metrics, labels and values for completion, with and without selectors, and with their limit."""
    client, end = one.server.client, int(one.clock.now())
    span = {"start": end - 3600, "end": end}

    def get(path: str, **params: Any) -> Any:
        answer = client.get(f"/api/v1/{path}", params={**span, **params}, headers=HEADERS)
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]

    def post(path: str, **form: Any) -> Any:
        return client.post(f"/api/v1/{path}", data={**span, **form}, headers=FORM).json()["data"]

    assert {"http_requests_total", "took_bucket", "up"} <= set(get("label/__name__/values", limit=40000))
    assert set(get("labels", **{"match[]": "http_requests_total"})) >= {"__name__", "job", "path", "status"}
    assert set(post("labels", **{"match[]": '{__name__="took_bucket"}'})) >= {"le", "job"}
    assert get("label/status/values", **{"match[]": 'http_requests_total{job="app"}'}) == ["200", "500"]
    found = post("series", **{"match[]": 'http_requests_total{job="app"}', "limit": 40000})
    assert {one_["path"] for one_ in found} == {"/a b", "/"}
    about = get("metadata", limit=10000)
    assert about["http_requests"][0] == {"type": "counter", "help": "Requests.", "unit": ""}
    parsed = client.get("/api/v1/parse_query", params={"query": "up"}, headers=HEADERS).json()
    assert parsed["data"]["type"] == "vectorSelector"


@pytest.mark.feature("M4")
def test_exemplars_of_a_panel(one: Scraped) -> None:
    """The exemplar query of a panel finds those of the selectors in its expression."""
    end = one.clock.now()
    form = {"query": "sum(rate(http_requests_total[1m]))", "start": f"{end - 60}", "end": f"{end}"}
    found = one.server.client.post("/api/v1/query_exemplars", data=form, headers=FORM).json()["data"]
    assert found[0]["seriesLabels"]["status"] == "200"
    assert found[0]["exemplars"][0]["labels"] == {"trace_id": "abc"}
    assert set(found[0]["exemplars"][0]) == {"labels", "value", "timestamp"}


@pytest.mark.feature("M4")
def test_errors_reach_the_panel(one: Scraped) -> None:
    """A broken expression and one that is too fine are refused with errorType and a sentence to show."""
    end = int(one.clock.now())
    form: dict[str, Any] = {"query": "sum(", "start": end - 60, "end": end, "step": 15}
    answer = one.server.client.post("/api/v1/query_range", data=form, headers=FORM)
    assert (answer.status_code, answer.json()["errorType"]) == (400, "bad_data")
    assert answer.json()["error"].startswith('invalid parameter "query": 1:5: parse error')
    form |= {"query": "up", "start": end - 12_000, "step": 1}
    fine = one.server.client.post("/api/v1/query_range", data=form, headers=FORM)
    assert (fine.status_code, fine.json()["error"]) == (
        400,
        "exceeded maximum resolution of 11,000 points per timeseries. "
        "Try decreasing the query resolution (?step=XX)",
    )
