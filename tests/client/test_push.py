"""Metrics of a program that nobody scrapes, pushed to the real server."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

import mamimon
from mamimon.client import agent
from tests.conftest import Running, wait_until

Client = Callable[..., None]


@pytest.mark.feature("C4")
def test_families_arrive_under_their_own_names(client: Client, server: Running) -> None:
    """Counters, gauges, histograms and the process are series with the service as their job."""
    orders = mamimon.counter("push_orders_total", "Orders.", ["kind"])
    orders.inc(3, kind="a")
    mamimon.gauge("push_shelves", "Shelves.").set(7)
    mamimon.histogram("push_wait_seconds", "Waits.", buckets=(0.1, 1.0)).observe(0.5)
    client(server.url, push_metrics_s=0.2)

    def ask(query: str) -> list[dict[str, Any]]:
        answer = server.client.get("/api/v1/query", params={"query": query, "time": time.time()}).json()
        return list(answer["data"]["result"])

    (found,) = wait_until(lambda: ask('push_orders_total{job="Chat Service"}'), what="the counter")
    assert (found["metric"]["kind"], found["value"][1]) == ("a", "3")
    orders.inc(2, kind="a")
    wait_until(lambda: ask("push_orders_total == 5"), what="the next value")
    assert ask("push_shelves")[0]["value"][1] == "7"
    assert ask('push_wait_seconds_bucket{le="1.0"} or push_wait_seconds_bucket{le="1"}')[0]["value"][1] == "1"
    assert ask("push_wait_seconds_sum")[0]["value"][1] == "0.5"
    assert float(ask("process_cpu_seconds_total")[0]["value"][1]) > 0
    assert ask("system_memory_usage_percent")
    shipper = agent.shipper()
    assert shipper is not None
    assert shipper.losses.total() == 0


@pytest.mark.feature("C4")
def test_nothing_is_pushed_unless_asked_for(client: Client, server: Running) -> None:
    """Without the setting the metrics are only shown."""
    client(server.url)
    mamimon.get_logger("app").info("hello")
    assert mamimon.flush(10)
    answer = server.client.get("/api/v1/series", params={"match[]": '{job="Chat Service"}'}).json()
    assert answer["data"] == []
