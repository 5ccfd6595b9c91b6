"""The metrics pages in a real browser, and the command that asks from a terminal."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.conftest import wait_until
from tests.metrics.conftest import App, Body, Scraped

Start = Callable[..., Scraped]
PHONE = {"width": 360, "height": 740}


@pytest.mark.browser
@pytest.mark.feature("M8")
def test_graph_draws_several_queries_and_shows_an_error(scraped: Start, app: App, browser: Any) -> None:
    """Each query of the link has its chart and values, a wrong one says what is wrong, nothing overflows."""
    one = scraped(app.address)
    for _ in range(4):
        app.requests.labels("GET", "200").inc(30)
        one.tick()
    queries = ["rate(http_requests_total{job='app'}[1m])", "up", "rate(x["]
    link = "/graph?" + urlencode([*(("q", text) for text in queries), ("since", "5m")])
    page = browser.new_page(viewport=PHONE)
    failures: list[str] = []
    page.on("pageerror", lambda error: failures.append(str(error)))
    page.on("console", lambda said: failures.append(said.text) if said.type == "error" else None)
    page.goto(one.server.url + link)
    page.wait_for_selector("figure.chart[data-points] canvas")
    page.locator("figure.chart").nth(1).scroll_into_view_if_needed()  # charts draw when they are seen
    page.locator("figure.chart[data-points] canvas").nth(1).wait_for()
    assert page.locator("figure.chart canvas").count() == 2
    assert page.locator("td", has_text="http_requests_total").count() == 0
    row = page.locator("details.values tr", has_text='method="GET"').inner_text()
    assert float(row.split()[-1]) == pytest.approx(2.0)
    assert "parse error" in page.locator(".error-box").inner_text()
    assert page.locator(".query input").evaluate_all("all => all.map((one) => one.value)") == queries
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    assert not failures
    page.close()


@pytest.mark.browser
@pytest.mark.feature("M8")
def test_graph_completes_metrics_functions_labels_and_values(scraped: Start, app: App, browser: Any) -> None:
    """Typing offers functions with their help, metrics, labels and label values, taken by Tab."""
    one = scraped(app.address)
    app.requests.labels("GET", "200").inc()
    one.tick()
    page = browser.new_page()
    page.goto(one.server.url + "/graph")
    box = page.locator(".query .q")
    for typed, offered in (
        ("rat", "rate"),
        ("http_requests_t", "http_requests_total"),
        ("{meth", "method"),
        ("", "GET"),
    ):
        box.press_sequentially(typed)
        page.wait_for_selector(f".complete li:first-child:has-text('{offered}')")
        box.press("Tab")
    assert box.input_value() == 'rate(http_requests_total{method="GET"'
    box.press_sequentially("}[5m])")
    box.press("Enter")
    page.wait_for_url("**/graph?q=rate**")
    assert page.locator(".query .q").input_value() == 'rate(http_requests_total{method="GET"}[5m])'
    page.close()


@pytest.mark.browser
@pytest.mark.feature("M8")
def test_targets_page_filters_and_refreshes(scraped: Start, app: App, body: Body, browser: Any) -> None:
    """Targets show state, error, samples and times; the filter narrows them; the page follows by itself."""
    body.text = "broken {\n"
    one = scraped(app.address, body.address)
    one.tick()
    page = browser.new_page(viewport=PHONE)
    page.goto(one.server.url + "/targets?q=app")
    page.wait_for_selector(f"tr:has-text('{body.address}') .pill.crit")
    assert page.locator("table.targets tbody tr").count() == 2
    assert "line 1" in page.locator(f"tr:has-text('{body.address}') .crit-text").inner_text()
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    body.text = "fine 1\n"
    one.tick()
    page.wait_for_selector(f"tr:has-text('{body.address}') .pill.ok", timeout=60_000)
    page.select_option("select[name=state]", "down")
    page.wait_for_url("**state=down**")
    assert page.locator("table.targets tbody tr").count() == 0
    page.close()


@pytest.mark.browser
@pytest.mark.feature("M8")
def test_what_is_down_stands_first_and_fits_a_phone(scraped: Start, app: App, browser: Any) -> None:
    """Jobs with a target that is down come first, what is no target is named with its job, no row is cut."""
    more = (
        "  - job_name: zoo\n    static_configs: [{targets: ['127.0.0.1:9', 'late:1']}]\n"
        "    relabel_configs: [{source_labels: [__address__], regex: late.*, "
        "target_label: __scrape_timeout__, replacement: 9h}]\n"
    )
    one = scraped(app.address, extra=more)
    one.tick()
    wait_until(lambda: one.target("zoo").get("health") == "down", what="the target that is down")
    page = browser.new_page(viewport=PHONE)
    page.goto(one.server.url + "/targets")
    assert page.locator("#targets h2").all_inner_texts() == ["zoo", "app", "mamimon"]
    assert "zoo: target 'late:1': scrape timeout cannot be greater" in page.locator(".error-box").inner_text()
    cut = page.locator("table.targets td").evaluate_all(
        "all => all.filter((td) => td.getBoundingClientRect().right > innerWidth - 13).length"
    )
    assert cut == 0
    page.close()


@pytest.mark.feature("M8")
def test_without_targets_the_page_says_how_to_add_one(server: Any) -> None:
    """Without a prometheus.yml the targets page shows the file and the command."""
    text = server.client.get("/targets").text
    assert "scrape_configs:" in text
    assert "mamimon serve --prometheus-config prometheus.yml" in text
    turkish = server.client.get("/targets", headers={"Accept-Language": "tr"}).text
    assert "Kendi hedefinizi toplayın" in turkish


@pytest.mark.feature("M4")
def test_query_command(scraped: Start, app: App) -> None:
    """`mamimon query` prints a line a series, JSON on demand, and the server's reason for a mistake."""
    one = scraped(app.address)
    app.requests.labels("GET", "200").inc(5)
    one.tick()

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "mamimon", "query", *arguments, "--url", one.server.url],
            capture_output=True,
            text=True,
            timeout=60,
        )

    plain = run("sum by (method) (http_requests_total{job='app'})")
    assert (plain.returncode, plain.stdout) == (0, '{method="GET"} 5\n')
    raw = json.loads(run("http_requests_total{job='app'}", "--json").stdout)
    assert raw["result"][0]["value"][1] == "5"
    assert run("1 + 1").stdout == "2\n"
    wrong = run("rate(x[")
    assert wrong.returncode == 1
    assert "parse error" in wrong.stderr
    assert run("nothing_here").returncode == 1
    assert run("up", "--since", "soon").returncode == 2


@pytest.mark.feature("M8")
def test_graph_of_a_young_server_opens_on_its_few_minutes(scraped: Start, app: App) -> None:
    """Without a chosen time range the graph shows five minutes while there is no more, later an hour."""
    one = scraped(app.address)
    one.tick()
    page = one.server.client.get("/graph", params={"q": "up"}).text
    assert '<option value="5m" selected>' in page
    assert "since=5m" in page
    one.tick(1000)
    assert '<option value="1h" selected>' in one.server.client.get("/graph").text
    assert '<option value="6h" selected>' in one.server.client.get("/graph", params={"since": "6h"}).text
