"""The graph page and its neighbours: every view, explain, exemplars, exports, metrics, cardinality."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest

from mamimon.clock import ManualClock
from mamimon.metrics.heat import query_of
from tests.browser.axe import violations
from tests.metrics.conftest import App, Body, Scraped

Start = Callable[..., Scraped]
PHONE = {"width": 360, "height": 740}
LATENCY = 'http_request_duration_seconds_bucket{job="app"}'
REQUESTS = 'http_requests_total{job="app"}'


@pytest.fixture
def busy(scraped: Start, app: App) -> Scraped:
    """A server with five minutes of an application's counters and latencies."""
    one = scraped(app.address)
    for _ in range(12):
        app.requests.labels("GET", "200").inc(30)
        app.requests.labels("POST", "500").inc(2)
        for value in (0.05, 0.2, 0.2, 0.7, 3.0):
            app.latency.observe(value)
        one.tick(30)
    return one


def link(*queries: tuple[str, str], **more: str) -> str:
    pairs = [(key, value) for text, view in queries for key, value in (("q", text), ("v", view))]
    return "/graph?" + urlencode([*pairs, ("since", "5m"), *more.items()])


class Watched:
    """A page that fails the test on errors of scripts or of the content security policy."""

    def __init__(self, browser: Any, url: str, viewport: dict[str, int] | None = None) -> None:
        self.page = browser.new_page(viewport=viewport or {"width": 1200, "height": 900})
        self.failures: list[str] = []
        self.page.on("pageerror", lambda error: self.failures.append(str(error)))
        self.page.on("console", lambda one: self.failures.append(one.text) if one.type == "error" else None)
        self.page.goto(url)

    def close(self) -> None:
        assert not self.failures
        self.page.close()


@pytest.mark.browser
@pytest.mark.feature("M8")
def test_every_view_draws_and_is_in_the_link(busy: Scraped, browser: Any) -> None:
    """Lines, stacked, heat map and table draw; choosing another view asks for a link that holds it."""
    rate = "sum by (method) (rate(http_requests_total[1m]))"
    asked = link((rate, "line"), (rate, "stack"), (LATENCY, "heat"), ("up", "table"))
    watched = Watched(browser, busy.server.url + asked, PHONE)
    page = watched.page
    for kind in ("line", "stack", "heat"):
        page.locator(f"figure.chart[data-kind={kind}]").scroll_into_view_if_needed()
        page.wait_for_selector(f"figure.chart[data-kind={kind}][data-points] canvas")
    assert page.locator("figure.chart").count() == 3
    assert page.locator(".result").nth(3).locator("td", has_text='job="app"').count() == 1
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    heat = page.locator("figure.chart[data-kind=heat]")
    heat.locator(".u-over").hover()
    assert "0.5" in heat.locator("table").inner_text(timeout=5000) or heat.locator("table").count() == 1
    page.locator(".query select").first.select_option("table")
    page.wait_for_url("**v=table&q=**")
    given = parse_qsl(urlsplit(page.url).query)
    assert [value for key, value in given if key == "v"] == ["table", "stack", "heat", "table"]
    assert page.locator("figure.chart").count() == 2
    watched.close()


@pytest.mark.browser
@pytest.mark.feature("M8")
def test_explain_shows_the_tree_with_series_and_time(busy: Scraped, browser: Any) -> None:
    """Explain lists each part of the query with how many series it gave and what it took."""
    watched = Watched(browser, busy.server.url + link((f"sum(rate({REQUESTS}[1m])) / 2", "line")))
    page = watched.page
    page.locator("input[name=explain]").check()
    page.wait_for_url("**explain=1**")
    nodes = page.locator(".tree .node")
    texts = [one.replace("\n", " ") for one in nodes.all_inner_texts()]
    assert nodes.locator("code").all_inner_texts() == [
        f"sum(rate({REQUESTS}[1m])) / 2",
        f"sum(rate({REQUESTS}[1m]))",
        f"rate({REQUESTS}[1m])",
        f"{REQUESTS}[1m]",
        "2",
    ]
    assert "1 series" in texts[1]
    assert "2 series" in texts[3]
    assert all(" ms" in one for one in texts)
    watched.close()


@pytest.mark.browser
@pytest.mark.feature("M8")
def test_exemplars_are_dots_that_open_the_request(scraped: Start, body: Body, browser: Any) -> None:
    """An exemplar stands at its time and value, says its labels, and leads to its request by keyboard."""
    one = scraped(body.address)
    for i in range(8):
        body.openmetrics(f'# TYPE x counter\nx_total {i * 30} # {{request_id="req-{i}"}} 1.5\n# EOF\n')
        one.tick(30)
    watched = Watched(browser, one.server.url + link(("rate(x_total[1m])", "line"), exemplars="1"))
    page = watched.page
    page.wait_for_selector("a.exemplar")
    dot = page.locator("a.exemplar").last
    assert "request_id=req-" in str(dot.get_attribute("aria-label"))
    dot.focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/requests/req-**")
    watched.close()


@pytest.mark.browser
@pytest.mark.feature("M8")
def test_csv_png_and_share_link(busy: Scraped, browser: Any, tmp_path: Path) -> None:
    """The numbers come as CSV, the picture as PNG, and the link keeps everything with fixed times."""
    watched = Watched(browser, busy.server.url + link((REQUESTS, "line"), exemplars="1"))
    page = watched.page
    page.wait_for_selector("figure.chart[data-points] canvas")
    with page.expect_download() as found:
        page.get_by_text("CSV").click()
    found.value.save_as(tmp_path / "query.csv")
    rows = list(csv.reader(io.StringIO((tmp_path / "query.csv").read_text(encoding="utf-8"))))
    assert rows[0][0] == "time"
    assert any('method="GET"' in name for name in rows[0])
    assert rows[-1][rows[0].index(next(one for one in rows[0] if "GET" in one))] == "360.0"
    with page.expect_download() as found:
        page.get_by_text("PNG").click()
    found.value.save_as(tmp_path / "query.png")
    assert (tmp_path / "query.png").read_bytes().startswith(b"\x89PNG")
    shared = str(page.locator("[data-copy-link]").get_attribute("href"))
    given = dict(parse_qsl(urlsplit(shared).query))
    assert given["q"] == REQUESTS
    assert given["exemplars"] == "1"
    assert float(given["end"]) - float(given["start"]) == pytest.approx(300, abs=2)
    page.goto(busy.server.url + shared)
    page.wait_for_selector("figure.chart[data-points] canvas")
    watched.close()


@pytest.mark.browser
@pytest.mark.feature("M8")
def test_errors_stand_at_their_place(busy: Scraped, browser: Any) -> None:
    """A mistake is marked in the query, an execution error is told beside the other queries' charts."""
    watched = Watched(browser, busy.server.url + link(("sum(up) + foo{", "line"), ("up", "line")))
    page = watched.page
    assert "parse error" in page.locator(".error-box").inner_text()
    assert page.locator(".flaw").inner_text().startswith("sum(up) + foo{")
    assert page.locator(".flaw mark").count() == 1
    page.wait_for_selector("figure.chart[data-points] canvas")
    watched.close()


@pytest.mark.browser
@pytest.mark.feature("M8")
def test_completion_is_a_combobox(busy: Scraped, browser: Any) -> None:
    """The list under the box is announced, followed by arrows, offers keywords and durations, and closes."""
    watched = Watched(browser, busy.server.url + "/graph")
    page = watched.page
    box = page.get_by_role("combobox", name="PromQL query")
    box.press_sequentially("http_req")
    page.wait_for_selector(".complete")
    assert box.get_attribute("aria-expanded") == "true"
    first = box.get_attribute("aria-activedescendant")
    box.press("ArrowDown")
    assert box.get_attribute("aria-activedescendant") != first
    chosen = page.locator(f"#{box.get_attribute('aria-activedescendant')}")
    assert chosen.get_attribute("aria-selected") == "true"
    box.press("Escape")
    assert box.get_attribute("aria-expanded") == "false"
    box.fill("")
    box.press_sequentially("rate(up[5")
    page.wait_for_selector(".complete li:has-text('5m')")
    box.press("Tab")
    assert box.input_value() == "rate(up[5m]"
    box.fill("")
    box.press_sequentially("histogram_q")
    note = page.locator(".complete li small").first
    note.wait_for()
    assert "φ-quantile" in note.inner_text()
    watched.close()


@pytest.mark.feature("M8")
def test_heat_maps_of_classic_and_native_histograms(busy: Scraped) -> None:
    """Counts of each bucket by step: classic ones apart from those below, native ones by their bounds."""
    params = {"query": LATENCY, "since": "5m"}
    found = busy.server.client.get("/api/mamimon/heatmap", params=params).json()
    assert found["error"] == ""
    assert found["upper"] == [0.1, 0.5, 1.0, None]
    assert found["lower"] == [0.0, 0.1, 0.5, 1.0]
    last = [row[-1] for row in found["counts"]]
    assert last[1] == pytest.approx(2 * last[0], rel=1e-6)
    assert last[3] == pytest.approx(last[0], rel=1e-6)
    wrong = busy.server.client.get("/api/mamimon/heatmap", params={"query": "sum(", "since": "5m"}).json()
    assert "parse error" in wrong["error"]
    assert query_of("x_bucket", 30) == "sum by (le) (increase(x_bucket[60s]))"
    assert query_of("sum(rate(x[5m]))", 30) == "sum(rate(x[5m]))"


@pytest.mark.feature("M8")
def test_heat_map_of_a_native_histogram(server: Any, clock: ManualClock) -> None:
    """A native histogram pushed by remote write is drawn by its own buckets."""
    import numpy as np

    from mamimon.metrics.heat import heat_of
    from mamimon.metrics.histogram import Histogram
    from mamimon.metrics.model import QueryResult

    one = Histogram(schema=0, count=6, sum=9, zero_threshold=0.001, zero_count=1, positive={0: 2, 1: 3})
    other = Histogram(schema=1, count=4, sum=9, positive={1: 1, 2: 3})
    table = np.array([[one, None], [None, other]], dtype=object)
    found = heat_of(
        QueryResult(
            kind="matrix",
            times=np.array([1000, 2000]),
            labels=[{"a": "1"}, {"a": "2"}],
            values=np.full((2, 2), np.nan),
            present=np.array([[True, False], [False, True]]),
            histograms=table,
        )
    )
    assert found.times == [1.0, 2.0]
    assert found.upper[-2:] == [1.0, 2.0]
    assert [row[0] for row in found.counts] == [1, 2, 3]
    assert [row[1] for row in found.counts] == [0, 0, 4]


@pytest.mark.browser
@pytest.mark.feature("M8")
def test_metric_explorer_leads_to_a_first_query(busy: Scraped, browser: Any) -> None:
    """Every metric stands with type, help and series; a click asks what fits its type."""
    watched = Watched(browser, busy.server.url + "/graph/metrics?q=http_request", PHONE)
    page = watched.page
    row = page.locator("tr", has_text="http_requests_total")
    assert "counter" in row.inner_text()
    assert "equests" in row.inner_text()
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    row.locator("a").click()
    page.wait_for_url("**/graph?q=rate**")
    assert page.locator(".query .q").input_value() == "rate(http_requests_total[5m])"
    page.goto(busy.server.url + "/graph/metrics?type=histogram")
    page.get_by_role("link", name="http_request_duration_seconds_bucket").click()
    page.wait_for_selector("figure.chart[data-kind=heat][data-points]")
    watched.close()


@pytest.mark.browser
@pytest.mark.feature("M8")
def test_cardinality_page(busy: Scraped, browser: Any) -> None:
    """The largest metrics, labels and values stand with their numbers, and the series of each day."""
    watched = Watched(browser, busy.server.url + "/cardinality", PHONE)
    page = watched.page
    assert page.locator("section", has_text="Metrics with most series").locator("tr").count() >= 10
    assert page.locator("tr", has_text='job="app"').count() == 1
    growth = page.locator("section", has_text="Growth by day").locator("tbody tr")
    assert growth.count() == 1
    assert int(growth.locator("td").nth(1).inner_text().replace(",", "")) > 10
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    watched.close()


@pytest.mark.feature("M8")
def test_targets_are_grouped_by_job(busy: Scraped) -> None:
    """Each job stands with how many of its targets are up; the filter takes one job."""
    text = busy.server.client.get("/targets").text
    assert '<h2 class="mono">app</h2>' in text
    assert '<h2 class="mono">mamimon</h2>' in text
    assert "1 of 1 UP" in text
    only = busy.server.client.get("/targets", params={"pool": "app"}).text
    assert '<h2 class="mono">mamimon</h2>' not in only


@pytest.mark.browser
@pytest.mark.feature("D6")
def test_the_metrics_pages_are_accessible(busy: Scraped, browser: Any) -> None:
    """axe-core finds nothing on any page of the room, light on a desktop and dark on a phone."""
    paths = (
        link(
            ("up", "table"),
            (REQUESTS, "line"),
            ("{__name__=~'h.+'}", "stack"),
            (LATENCY, "heat"),
            explain="1",
        ),
        link(("rate(", "line")),
        "/graph",
        "/graph/metrics",
        "/targets",
        "/cardinality",
        "/changes?since=2m",
    )
    found = []
    for theme, width in (("light", 1360), ("dark", 360)):
        context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=theme)
        page = context.new_page()
        for path in paths:
            page.goto(busy.server.url + path)
            page.evaluate("scrollTo(0, document.body.scrollHeight)")
            page.wait_for_load_state("networkidle")
            found += [f"{theme} {path}: {one}" for one in violations(page)]
            assert page.evaluate("document.documentElement.scrollWidth") <= width, path
        context.close()
    assert not found, "\n".join(found)
