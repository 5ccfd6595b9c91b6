"""The Pushgateway door, by prometheus_client's own pushes and byte by byte."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import (
    delete_from_gateway,
    instance_ip_grouping_key,
    push_to_gateway,
    pushadd_to_gateway,
)

from tests.conftest import wait_until
from tests.metrics.conftest import Scraped
from tests.metrics.test_remote_write import messages

PROTOBUF = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"


def registry(**gauges: float) -> CollectorRegistry:
    """A batch job's registry with some gauges."""
    out = CollectorRegistry()
    for name, value in gauges.items():
        Gauge(name, f"Help of {name}.", registry=out).set(value)
    return out


def gateway(one: Scraped) -> str:
    """What prometheus_client calls the gateway."""
    return str(one.server.url)


@pytest.fixture
def one(server: Any, clock: Any) -> Scraped:
    """A server without targets."""
    return Scraped(server, clock)


def names(one: Scraped, selector: str) -> list[str]:
    """The metrics that there are now."""
    return sorted(series["metric"]["__name__"] for series in one.query(selector, time=one.clock.now() + 0.9))


@pytest.mark.feature("M2")
def test_push_add_and_delete(one: Scraped) -> None:
    """PUT replaces a group, POST only the metrics of the same names, DELETE ends it; others stay."""
    push_to_gateway(gateway(one), job="batch", registry=registry(a=1, b=2), grouping_key={"shard": "1"})
    push_to_gateway(gateway(one), job="batch", registry=registry(a=9), grouping_key={"shard": "2"})
    about = ["push_failure_time_seconds", "push_time_seconds"]
    assert names(one, '{job="batch",shard="1"}') == ["a", "b", *about]
    pushadd_to_gateway(gateway(one), job="batch", registry=registry(b=3, c=4), grouping_key={"shard": "1"})
    assert names(one, '{job="batch",shard="1"}') == ["a", "b", "c", *about]
    push_to_gateway(gateway(one), job="batch", registry=registry(c=5), grouping_key={"shard": "1"})
    assert names(one, '{job="batch",shard="1"}') == ["c", *about]
    series = one.query('c{shard="1"}', time=one.clock.now() + 0.9)
    assert series[0]["metric"] == {"__name__": "c", "job": "batch", "shard": "1"}
    assert series[0]["value"][1] == "5"
    delete_from_gateway(gateway(one), job="batch", grouping_key={"shard": "1"})
    assert names(one, '{job="batch",shard="1"}') == []
    assert names(one, '{job="batch",shard="2"}') == ["a", *about]
    delete_from_gateway(gateway(one), job="batch", grouping_key={"shard": "unknown"})


@pytest.mark.feature("M2")
def test_odd_label_values(one: Scraped) -> None:
    """Slashes, emptiness and letters of all kinds travel as prometheus_client encodes them."""
    key = {"path": "/var/tmp", "empty": "", "city": "İzmir", "spaced": "a%b"}
    push_to_gateway(gateway(one), job="a/b", registry=registry(m=1), grouping_key=key)
    (found,) = one.query("m", time=one.clock.now() + 0.9)
    assert found["metric"] == {
        "__name__": "m",
        "job": "a/b",
        "path": "/var/tmp",
        "city": "İzmir",
        "spaced": "a%b",
    }
    push_to_gateway(gateway(one), job="ip", registry=registry(n=1), grouping_key=instance_ip_grouping_key())
    assert one.query("n", time=one.clock.now() + 0.9)[0]["metric"]["instance"]


@pytest.mark.feature("M2")
def test_groups_outlive_the_interval_and_a_restart(one: Scraped, start: Callable[..., Any]) -> None:
    """A group is shown again each scrape interval, also after a restart; its push time stays."""
    pushed_at = one.clock.now()
    source = CollectorRegistry()
    Counter("jobs", "Jobs.", registry=source).inc(3)
    Histogram("took", "Time.", registry=source, buckets=(1, 5)).observe(2)
    push_to_gateway(gateway(one), job="batch", registry=source)

    def count(running: Scraped) -> int:
        found = running.query("count_over_time(jobs_total[20m])")
        return int(found[0]["value"][1]) if found else 0

    for number in range(2, 4):
        one.clock.advance(15)
        wait_until(lambda wanted=number: count(one) == wanted, what="the next showing")  # type: ignore[misc]
    one.server.stop()
    again = Scraped(start(), one.clock)
    assert count(again) == 3
    again.clock.advance(15)
    wait_until(lambda: count(again) >= 4, what="the showing after the restart")
    assert again.value("jobs_total") == 3
    assert again.value('push_time_seconds{job="batch"}') == pushed_at
    assert again.value('took_bucket{le="5.0"}') == 1
    about = again.server.client.get("/api/v1/metadata", params={"metric": "jobs_total"}).json()["data"]
    assert about["jobs_total"][0]["type"] == "counter"


@pytest.mark.feature("M2")
def test_every_group_is_shown_again(one: Scraped, monkeypatch: pytest.MonkeyPatch) -> None:
    """Groups are stored several in a transaction, and none is left out."""
    monkeypatch.setattr("mamimon.metrics.pushed._BATCH", 3)
    for number in range(7):
        push_to_gateway(
            gateway(one), job="many", registry=registry(n=number), grouping_key={"g": str(number)}
        )
    one.clock.advance(15)
    counted = 'sum(count_over_time(n{job="many"}[10s]))'
    wait_until(lambda: one.query(counted) and one.value(counted) == 7, what="the showing of all seven")


@pytest.mark.feature("M2")
def test_what_a_gateway_refuses(one: Scraped) -> None:
    """Refused with 400 and a sentence; the group then says when a push last failed."""
    client = one.server.client
    text = {"Content-Type": "text/plain; version=0.0.4"}
    good = "/metrics/job/batch"
    for path, body, reason in (
        (good, "a 1 2\n", "must not have timestamps"),
        (good, "a{\n", "text format parsing error: line 1"),
        (good, "a 1\na 2\n", "collected before with the same name"),
        ("/metrics/job/batch/odd", "a 1\n", "odd number of components"),
        ("/metrics/job/", "a 1\n", "odd number of components"),
        ("/metrics/job@base64/=", "a 1\n", "job name is required"),
        ("/metrics/job@base64/%21%21", "a 1\n", "invalid base64"),
        ("/metrics/job/a/job/b", "a 1\n", "stands twice"),
        ("/metrics/job/a/b-c/d", "a 1\n", "improper label name"),
        ("/metrics/job/a/__b/d", "a 1\n", "improper label name"),
    ):
        answer = client.put(path, content=body, headers=text)
        assert (answer.status_code, reason in answer.text) == (400, True), (path, body, answer.text)
    assert one.query("a", time=one.clock.now() + 0.9) == []
    failed = one.query('push_failure_time_seconds{job="batch"}', time=one.clock.now() + 0.9)
    assert float(failed[0]["value"][1]) == one.clock.now()
    assert client.put(good, content="# TYPE a counter\na 1\n", headers=text).status_code == 200
    clash = client.put("/metrics/job/other", content="# TYPE a gauge\na 1\n", headers=text)
    assert (clash.status_code, "a counter in group" in clash.text) == (400, True)
    assert client.get(good).status_code == 405
    assert client.get("/metrics").status_code == 200, "our own metrics are still there"


@pytest.mark.feature("M2")
def test_labels_of_the_body_yield_to_the_grouping_key(one: Scraped) -> None:
    """A label that stands in both has the grouping key's value; the reserved names are ours to set."""
    body = 'a{job="mine",x="1"} 1\npush_time_seconds 7\n'
    assert one.server.client.post("/metrics/job/batch", content=body).status_code == 200
    (found,) = one.query("a", time=one.clock.now() + 0.9)
    assert found["metric"] == {"__name__": "a", "job": "batch", "x": "1"}
    (pushed,) = one.query("push_time_seconds", time=one.clock.now() + 0.9)
    assert float(pushed["value"][1]) == one.clock.now()
    empty = one.server.client.put("/metrics/job/batch", content="")
    assert empty.status_code == 200
    assert names(one, '{job="batch"}') == ["push_failure_time_seconds", "push_time_seconds"]


@pytest.mark.feature("M2")
def test_protobuf(one: Scraped) -> None:
    """Go's client pushes delimited protobuf."""
    kinds = messages(
        {
            "Counter": [("value", 1, "double", False)],
            "LabelPair": [("name", 1, "string", False), ("value", 2, "string", False)],
            "Metric": [("label", 1, "LabelPair", True), ("counter", 3, "Counter", False)],
            "MetricFamily": [
                ("name", 1, "string", False),
                ("help", 2, "string", False),
                ("metric", 4, "Metric", True),
            ],
        }
    )
    family = kinds["MetricFamily"](name="done_total", help="Done.")
    metric = family.metric.add()
    metric.label.add(name="kind", value="x")
    metric.counter.value = 2.5
    raw = family.SerializeToString()
    answer = one.server.client.post(
        "/metrics/job/go", content=bytes([len(raw)]) + raw, headers={"Content-Type": PROTOBUF}
    )
    assert answer.status_code == 200, answer.text
    (found,) = one.query("done_total", time=one.clock.now() + 0.9)
    assert (found["metric"]["kind"], found["value"][1]) == ("x", "2.5")


@pytest.mark.feature("M2")
def test_an_ingest_token_may_push_and_nobody_else(one: Scraped) -> None:
    """Once there are accounts a push needs the scope ingest."""
    from mamimon.accounts.access import requirement

    for path in ("/metrics/job/a", "/metrics/job@base64/YQ/b/c", "/v1/metrics", "/api/v1/otlp/v1/metrics"):
        for method in ("PUT", "POST", "DELETE"):
            assert requirement(method, path) == "ingest"
    assert requirement("GET", "/metrics") == "read"
