"""StatsD by UDP from the packages `statsd` and `datadog`."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import pytest

from tests.conftest import settled, wait_until
from tests.metrics.conftest import Scraped


class Heard(Scraped):
    """A server that listens to StatsD, and its room."""

    def __init__(self, server: Any, clock: Any) -> None:
        super().__init__(server, clock)
        room = next(room for room in server.server.house.rooms if room.name == "metrics")
        self.statsd = room.statsd
        self.registry = server.server.house.core.registry

    def lines(self, outcome: str) -> float:
        """How many lines had this outcome so far."""
        return self.registry.get_sample_value("mamimon_statsd_lines_total", {"outcome": outcome}) or 0.0

    def stored(self, lines: int) -> None:
        """Wait for that many lines, then let the interval pass and wait for the storing."""
        wait_until(lambda: self.lines("taken") >= lines, what=f"{lines} lines")
        before = self.statsd_count()
        settled(self.clock)
        self.clock.advance(15)
        wait_until(lambda: self.statsd_count() > before, what="the storing")

    def statsd_count(self) -> int:
        """How often the series were stored."""
        found = self.query('max(count_over_time({job="statsd"}[1h]))')
        return int(float(found[0]["value"][1])) if found else 0


@pytest.fixture
def one(start: Callable[..., Any], clock: Any) -> Heard:
    """A server with StatsD on a free port."""
    return Heard(start(metrics={"statsd": "0"}), clock)


@pytest.mark.feature("M2")
def test_the_statsd_package(one: Heard) -> None:
    """Counters, gauges set and moved, timers and sets of the classic client, batched and not."""
    from statsd import StatsClient

    client = StatsClient("127.0.0.1", one.statsd.port, prefix="shop")
    client.incr("orders")
    client.incr("orders", 4)
    client.gauge("queue", 10)
    client.gauge("queue", 5, delta=True)
    client.gauge("queue", -3, delta=True)
    client.timing("took", 320)
    client.timing("took", 20)
    with client.pipeline() as pipe:
        pipe.set("users", "ann")
        pipe.set("users", "bob")
        pipe.set("users", "ann")
    one.stored(10)
    assert one.query("shop_orders")[0]["metric"] == {"__name__": "shop_orders", "job": "statsd"}
    assert one.value("shop_orders") == 5
    assert one.value("shop_queue") == 12
    assert one.value("shop_users") == 2
    assert one.value('shop_took_bucket{le="0.025"}') == 1
    assert one.value('shop_took_bucket{le="0.5"}') == 2
    assert one.value('shop_took_bucket{le="+Inf"}') == 2
    assert one.value("shop_took_sum") == pytest.approx(0.34)
    client.incr("orders")
    client.set("users", "eve")
    one.stored(12)
    assert one.value("shop_orders") == 6
    assert one.value("shop_users") == 1, "a set counts since the last storing"
    assert one.value("increase(shop_orders[1m])") > 0
    client.close()


@pytest.mark.feature("M2")
def test_the_datadog_package(one: Heard) -> None:
    """Tags become labels, histograms and distributions buckets; events are passed over."""
    from datadog.dogstatsd import DogStatsd

    client = DogStatsd("127.0.0.1", one.statsd.port, disable_buffering=True, disable_telemetry=True)
    client.increment("page.views", 3, tags=["env:prod", "page:/a"])
    client.gauge("load", 0.75, tags=["env:prod"])
    client.histogram("size", 3)
    client.distribution("latency", 0.2, tags=["env:prod"])
    client.set("users", "ann")
    client.event("deploy", "done")
    client.service_check("db", 0)
    one.stored(5)
    assert one.query("page_views")[0]["metric"] == {
        "__name__": "page_views",
        "env": "prod",
        "job": "statsd",
        "page": "/a",
    }
    assert one.value('page_views{env="prod"}') == 3
    assert one.value("load") == 0.75
    assert one.value('size_bucket{le="5"}') == 1
    assert one.value('histogram_quantile(0.5, latency_bucket{env="prod"})') == pytest.approx(0.175)
    wait_until(lambda: one.lines("ignored") == 2, what="the event and the check")


@pytest.mark.feature("M2")
def test_sample_rates(one: Heard) -> None:
    """A line that stands for ten counts ten times."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"hits:2|c|@0.1\ntook:50|ms|@0.5\n", ("127.0.0.1", one.statsd.port))
    one.stored(2)
    assert one.value("hits") == 20
    assert one.value("took_count") == 2
    assert one.value("took_sum") == pytest.approx(0.1)


@pytest.mark.feature("M2")
def test_bad_lines_and_limits(start: Callable[..., Any], clock: Any) -> None:
    """Malformed lines, other types of a known name and too many series are counted and cost nothing else."""
    one = Heard(start(metrics={"statsd": "127.0.0.1:0", "max_series_per_target": 3}), clock)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for text in (b"\xff:1|c", b"a", b"a:x|c", b"a:1|c\na:1|g", b"b:1|g", b"c:1|g", b"d:1|g", b"e:1|ms"):
            sender.sendto(text, ("127.0.0.1", one.statsd.port))
    wait_until(lambda: one.lines("over_limits") == 2, what="the last lines")
    assert one.lines("malformed") == 3
    assert one.lines("conflicting") == 1
    one.stored(3)
    assert {series["metric"]["__name__"] for series in one.query('{job="statsd"}')} == {"a", "b", "c"}


@pytest.mark.feature("M2")
def test_a_series_that_nothing_is_sent_to_ends(one: Heard) -> None:
    """After an hour of silence a series ends, others stay."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"old:1|c\nyoung:1|c", ("127.0.0.1", one.statsd.port))
        one.stored(2)
        one.clock.advance(1_800)
        sender.sendto(b"young:1|c", ("127.0.0.1", one.statsd.port))
        one.stored(3)
        assert one.value("old") == 1
    settled(one.clock)
    one.clock.advance(1_900)
    wait_until(lambda: one.query("young") and not one.query("old"), what="the end of the old series")
    assert one.value("young") == 2


@pytest.mark.feature("M2")
def test_off_by_default_and_a_taken_port_is_named(server: Any, start: Callable[..., Any], clock: Any) -> None:
    """Nothing listens unless it is set; a port that is taken stops the start with its name."""
    assert Heard(server, clock).statsd.port == 0
    server.stop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(Exception, match=rf"metrics\.statsd: cannot listen on 127\.0\.0\.1:{port}"):
            start(metrics={"statsd": str(port)})
