"""`/api/v1/status/tsdb` says what is so: active series, label values, bytes, the span of the open chunks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.metrics.conftest import Body, Scraped

SELF_OFF = {"scrape_self": False}


def status(one: Scraped, **params: str) -> dict[str, Any]:
    return dict(one.server.client.get("/api/v1/status/tsdb", params=params).json()["data"])


@pytest.mark.feature("M4")
def test_the_figures_are_those_of_the_series(scraped: Callable[..., Scraped], body: Body, clock: Any) -> None:
    """Series by metric and by pair, values and bytes by label, the first and the last sample."""
    body.text = "".join(f'hits{{path="/{n}",code="20{n % 2}"}} {n}\n' for n in range(40)) + "one 1\n"
    one = scraped(body.address, metrics=SELF_OFF)
    one.tick()
    first = clock.now() * 1000
    one.tick()
    found = status(one)
    assert found["headStats"]["numSeries"] == 41 + 5
    assert found["headStats"]["minTime"] == first
    assert found["headStats"]["maxTime"] == clock.now() * 1000
    assert found["headStats"]["chunkCount"] == 1
    assert found["seriesCountByMetricName"][:2] == [
        {"name": "hits", "value": 40},
        {"name": "one", "value": 1},
    ]
    assert {"name": "path", "value": 40} in found["labelValueCountByLabelName"]
    assert {"name": "code=200", "value": 20} in found["seriesCountByLabelValuePair"]
    codes = next(one["value"] for one in found["memoryInBytesByLabelName"] if one["name"] == "code")
    assert codes == 40 * len('"code":"200",')
    assert len(status(one, limit="1")["seriesCountByMetricName"]) == 1


@pytest.mark.feature("M4")
def test_series_that_ended_are_not_counted_for_ever(
    scraped: Callable[..., Scraped], body: Body, clock: Any
) -> None:
    """Some hours after a series has vanished it is no longer among the active ones."""
    body.text = "".join(f'gone{{n="{n}"}} 1\n' for n in range(30)) + "stays 1\n"
    one = scraped(body.address, metrics=SELF_OFF)
    one.tick()
    assert status(one)["headStats"]["numSeries"] == 31 + 5
    body.text = "stays 1\n"
    for _ in range(5):
        one.tick(3600)
    found = status(one)
    assert {entry["name"]: entry["value"] for entry in found["seriesCountByMetricName"]}["stays"] == 1
    assert "gone" not in {entry["name"] for entry in found["seriesCountByMetricName"]}


@pytest.mark.feature("M4")
def test_an_empty_store_has_no_span(start: Callable[..., Any]) -> None:
    """Without a sample the figures are zero and the span is the one that Prometheus gives an empty head."""
    found = start(metrics=SELF_OFF).client.get("/api/v1/status/tsdb").json()["data"]
    assert found["headStats"]["numSeries"] == 0
    assert found["headStats"]["minTime"] > found["headStats"]["maxTime"]
    assert found["seriesCountByMetricName"] == []
