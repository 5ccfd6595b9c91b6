"""When counters began: said by OpenMetrics, protobuf and remote write 2.0, used by rate() where it is on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.conftest import wait_until
from tests.metrics.conftest import Body, Scraped
from tests.metrics.messages import delimited
from tests.metrics.test_native_histograms import PROTOBUF, family
from tests.metrics.test_remote_write import V2, M, post

ON = {"start_timestamps": True}


@pytest.mark.feature("M1")
def test_created_series_say_when_their_counter_began(
    scraped: Callable[..., Scraped], body: Body, clock: Any
) -> None:
    """With the setting `_created` is no series of its own, and one scrape is enough for an increase."""
    began = clock.now() + 5
    body.openmetrics(
        f'# TYPE a counter\na_total{{x="1"}} 30\na_created{{x="1"}} {began}\n'
        f'# TYPE h histogram\nh_bucket{{le="+Inf"}} 4\nh_count 4\nh_sum 8\nh_created {began}\n# EOF\n'
    )
    one = scraped(body.address, metrics=ON)
    assert one.tick(15)["health"] == "up"
    assert one.query('{__name__=~".*_created",job="app"}') == []
    assert one.value('start_timestamp(a_total{x="1"})') == pytest.approx(began)
    assert one.value("start_timestamp(h_count)") == pytest.approx(began)
    assert one.value("increase(a_total[1m])") == pytest.approx(30)
    assert one.value("increase(h_sum[1m])") == pytest.approx(8)


@pytest.mark.feature("M1")
def test_without_the_setting_created_is_a_series(
    scraped: Callable[..., Scraped], body: Body, clock: Any
) -> None:
    """By default `_created` is kept as Prometheus keeps it, and start_timestamp() is empty."""
    body.openmetrics(f"# TYPE a counter\na_total 30\na_created {clock.now()}\n# EOF\n")
    one = scraped(body.address)
    one.tick()
    assert len(one.query("a_created")) == 1
    assert one.query("start_timestamp(a_total)") == []
    assert one.query("increase(a_total[1m])") == []


@pytest.mark.feature("M1")
def test_the_protobuf_format_says_it_too(scraped: Callable[..., Scraped], body: Body, clock: Any) -> None:
    """A histogram's created timestamp is the zero before its first sample."""
    exposed = family(buckets=False)
    exposed.metric[0].histogram.created_timestamp.seconds = int(clock.now()) + 5
    body.raw, body.content_type = delimited(exposed), PROTOBUF
    one = scraped(body.address, extra="    scrape_native_histograms: true\n", metrics=ON)
    one.tick(15)
    assert one.value("histogram_count(increase(latency[1m]))") == pytest.approx(6)


@pytest.mark.feature("M2")
def test_remote_write_2_starts_survive_sealing_and_restart(start: Callable[..., Any], clock: Any) -> None:
    """A reset that only the start timestamp tells of counts, after a restart and in a sealed chunk too."""
    server = start(metrics=ON)
    now = int(clock.now() * 1000)
    message = M["Request"](symbols=["", "__name__", "c_total", "job", "x"])
    series = message.timeseries.add(labels_refs=[1, 2, 3, 4])
    for at, value, began in ((-90_000, 10, -120_000), (-60_000, 20, -120_000), (-30_000, 30, -40_000)):
        series.samples.add(value=value, timestamp=now + at, start_timestamp=now + began)
    assert post(server, message, V2).status_code == 204

    def check(one: Any, seconds_ago: float) -> None:
        asked = Scraped(one, clock)
        at = clock.now() - seconds_ago
        (found,) = asked.query("start_timestamp(c_total)", time=at)
        assert float(found["value"][1]) == pytest.approx(now / 1000 - 40)
        (found,) = asked.query("resets(c_total[5m])", time=at)
        assert found["value"][1] == "1"

    check(server, 0)
    server.stop()
    server = start(metrics=ON)
    check(server, 0)
    clock.advance(3 * 3600)
    room = next(room for room in server.server.house.rooms if room.name == "metrics")
    wait_until(lambda: room.store.figures()["chunks"], what="a sealed chunk")
    check(server, 3 * 3600)
    server.stop()
    check(start(metrics=ON), 3 * 3600)
