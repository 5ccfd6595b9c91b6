"""Every page in the states that it has beside the good one: loading, failing, partial, stale, forbidden.

The empty state is `test_pages.py`'s fresh server.
"""

from __future__ import annotations

import base64
import json
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.browser.pages import DESKTOP, PHONE, paths
from tests.conftest import Process, wait_until

pytestmark = [pytest.mark.browser, pytest.mark.feature("D6")]
# What pages read after they are there.
DATA = "**/{live?*,chart?*,log-chart?*,heatmap?*,facets?*,histogram?*}"
WIDE = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
PANELS = [
    {"title": "Fine", "kind": "stat", "queries": [{"expr": "sum(up)"}], "width": 3},
    {"title": "Wrong", "kind": "stat", "queries": [{"expr": "sum(("}], "width": 3},
    {"title": "Wrong lines", "kind": "timeseries", "queries": [{"expr": "sum(("}]},
    {"title": "Lines", "kind": "timeseries", "queries": [{"expr": "up"}]},
]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """A server that scrapes itself."""
    folder = tmp_path_factory.mktemp("states")
    (folder / "prometheus.yml").write_text("global: {scrape_interval: 1s}\n", encoding="utf-8")
    one = Process(folder / "data", "--prometheus-config", str(folder / "prometheus.yml"))
    _make(one)
    yield one
    one.kill()


def _make(one: Process) -> None:
    with httpx.Client(base_url=one.url, timeout=30) as client:
        body = {"title": "Partial", "panels": PANELS, "refresh_s": 5}
        client.put("/api/mamimon/dashboards/partial", json=body).raise_for_status()
        wait_until(lambda: client.get("/api/v1/query?query=up").json()["data"]["result"], 60, "a scrape")


@pytest.fixture(params=[(DESKTOP, "light"), (PHONE, "dark")], ids=["desktop, light", "phone, dark"])
def page(request: pytest.FixtureRequest, browser: Any) -> Iterator[Any]:
    """A page in one of two looks; an error of its scripts fails the test."""
    size, theme = request.param
    context = browser.new_context(viewport=size, color_scheme=theme, locale="en-GB")
    one = context.new_page()
    heard: list[str] = []
    one.on("pageerror", lambda error: heard.append(str(error)))
    yield one
    context.close()
    assert not heard


def test_pages_while_their_data_is_on_its_way(running: Process, page: Any) -> None:
    """Before any data is there a page has its heading and its frames, and nothing is too wide."""
    held: list[str] = []
    page.route(DATA, lambda route: held.append(route.request.url))  # and never goes on
    for path in [*paths(), "/dashboards/partial"]:
        page.goto(running.url + path, wait_until="load")
        page.wait_for_timeout(30)
        assert page.locator("h1").count() == 1, path
        assert page.evaluate(WIDE) <= 0, path
        for figure in page.locator("figure.chart.loading").all()[:1]:
            assert figure.bounding_box()["height"] >= 60, path
    assert held


def test_pages_whose_data_fails_say_so(running: Process, page: Any) -> None:
    """Where the server refuses an answer, the place of the chart says why; the rest of the page stands."""
    refusal = json.dumps({"error": "the disk is full", "status": 503})
    page.route(DATA, lambda route: route.fulfill(status=503, body=refusal, content_type="application/json"))
    said = 0
    for path in [*paths(), "/dashboards/partial"]:
        page.goto(running.url + path, wait_until="load")
        page.evaluate("scrollTo(0, document.body.scrollHeight)")
        page.wait_for_timeout(50)
        page.wait_for_selector(".chart.loading", state="detached")
        messages = page.locator("figure.chart .message").all_inner_texts()
        assert all("the disk is full" in one for one in messages), (path, messages)
        said += len(messages)
        assert page.evaluate(WIDE) <= 0, path
    assert said >= 10


def test_a_dashboard_of_which_a_part_fails(running: Process, page: Any) -> None:
    """Two panels with a wrong query say it in their own place; the others show their data."""
    page.goto(running.url + "/dashboards/partial")
    page.locator("figure.chart[data-points]").wait_for(timeout=30_000)
    assert page.locator(".stat").all_inner_texts() == ["1"]
    wait_until(lambda: page.locator("figure.chart .message").count() == 1, 20, "the mistake in the chart")
    assert "parse error" in page.inner_text("figure.chart .message")
    assert "parse error" in page.inner_text(".error-box")


LIVE = ["/", "/dashboards/partial"]


def test_pages_outlive_their_server(browser: Any, tmp_path: Path) -> None:
    """When the server stops, numbers stay and pages say since when; when it is back, they go on alone."""
    (tmp_path / "prometheus.yml").write_text("global: {scrape_interval: 1s}\n", encoding="utf-8")
    arguments = ["--prometheus-config", str(tmp_path / "prometheus.yml")]
    server = Process(tmp_path / "data", *arguments)
    context = browser.new_context(viewport=DESKTOP, locale="en-GB")
    pages = {path: context.new_page() for path in LIVE}
    graph, checks = context.new_page(), context.new_page()
    graph.clock.install()
    checks.clock.install()
    try:
        _make(server)
        for path, page in {**pages, "/graph?q=up": graph}.items():
            page.goto(server.url + path)
            page.locator("figure.chart[data-points]").first.wait_for(timeout=30_000)
        checks.goto(server.url + "/checks")
        server.kill()
        _until_stale(graph, 1)
        _until_away(checks, 1)
        away = "getComputedStyle(document.getElementById('checks'), '::before').content"
        assert "reconnecting, last heard at" in checks.evaluate(away)
        assert graph.locator("figure.chart.stale canvas").count() == 1
        stale = "getComputedStyle(document.querySelector('figure.stale'), '::after').content"
        assert "reconnecting" in graph.evaluate(stale)
        for page in pages.values():
            wait_until(
                lambda page=page: page.get_attribute("#live-state", "data-state") == "lost", 60, "lost"
            )
            shown = page.evaluate(
                "getComputedStyle(document.getElementById('live-state'), '::after').content"
            )
            assert "reconnecting, last heard at" in shown
            assert re.search(r"\d\d:\d\d:\d\d", str(page.get_attribute("#live-state", "data-at")))
            assert page.locator(".stat").count()
            assert page.locator("figure.chart canvas").count()
            page.evaluate("document.querySelector('.stat').textContent = 'old'")
        server = Process(tmp_path / "data", *arguments, "--port", str(httpx.URL(server.url).port))
        for page in pages.values():
            wait_until(
                lambda page=page: page.get_attribute("#live-state", "data-state") == "live", 90, "live"
            )
            wait_until(lambda page=page: page.locator(".stat").first.inner_text() != "old", 60, "new numbers")
        _until_stale(graph, 0)
        _until_away(checks, 0)
        assert checks.locator("#checks").inner_text()
        assert graph.locator("figure.chart .message").count() == 0
    finally:
        context.close()
        server.kill()


def _until_stale(page: Any, count: int) -> None:
    """Let a page's own time pass until so many charts say that they are old."""

    def reached() -> bool:
        page.clock.fast_forward(16_000)
        return bool(page.locator("figure.chart.stale").count() == count)

    wait_until(reached, 60, "the charts")


def _until_away(page: Any, count: int) -> None:
    """Let a page's own time pass until so many of its parts say that they have no answer."""

    def reached() -> bool:
        page.clock.fast_forward(16_000)
        return bool(page.locator("#checks[data-away]").count() == count)

    wait_until(reached, 60, "the part")


@pytest.mark.parametrize("path", LIVE)
def test_a_server_that_hangs_counts_as_lost(running: Process, browser: Any, path: str) -> None:
    """A server that takes what is asked and never answers is noticed as well."""
    page = browser.new_page(viewport=DESKTOP, locale="en-GB")
    page.clock.install()
    page.goto(running.url + path)
    page.locator("figure.chart[data-points]").first.wait_for(timeout=30_000)
    running.popen.send_signal(signal.SIGSTOP)
    try:

        def lost() -> bool:
            page.clock.fast_forward(6_000)
            return bool(page.get_attribute("#live-state", "data-state") == "lost")

        wait_until(lost, 60, "the state")
    finally:
        running.popen.send_signal(signal.SIGCONT)

    def live() -> bool:
        page.clock.fast_forward(6_000)
        return bool(page.get_attribute("#live-state", "data-state") == "live")

    wait_until(live, 60, "the state")
    page.close()


def test_tabs_nobody_looks_at_hold_no_connection(running: Process, browser: Any) -> None:
    """More tabs of the overview than a browser has connections: only one in sight keeps its stream."""
    context = browser.new_context(viewport=DESKTOP)
    context.add_init_script("Object.defineProperty(document, 'hidden', { get: () => window.away === true })")
    turn = "(away) => { window.away = away; document.dispatchEvent(new Event('visibilitychange')); }"
    for _ in range(8):
        page = context.new_page()
        page.goto(running.url + "/", timeout=30_000)
        page.evaluate(turn, True)
    page.evaluate("document.querySelector('[sse-swap=stats]').textContent = 'old'")
    page.evaluate(turn, False)
    wait_until(lambda: page.locator("[sse-swap=stats] .stat").count() == 4, 60, "the stream again")
    context.close()


def test_pages_of_somebody_who_may_not(browser: Any, tmp_path: Any) -> None:
    """A viewer's pages are whole, offer nothing that is refused, and forbidden ones say who can help."""
    server = Process(tmp_path / "data")
    try:
        with httpx.Client(base_url=server.url, timeout=30) as client:
            for name, role in (("ada", "admin"), ("vera", "viewer")):
                body = {"name": name, "role": role, "password": f"a long password of {name}"}
                auth = ("ada", "a long password of ada") if role != "admin" else None
                client.post("/api/mamimon/users", json=body, auth=auth).raise_for_status()
        token = base64.b64encode(b"vera:a long password of vera").decode()
        context = browser.new_context(
            viewport=PHONE, locale="en-GB", extra_http_headers={"Authorization": f"Basic {token}"}
        )
        page = context.new_page()
        seen = {path: page.goto(server.url + path).status for path in paths()}
        refused = {path for path, status in seen.items() if status == 403}
        assert set(seen.values()) == {200, 403}
        assert all(path.startswith("/settings") for path in refused), refused
        page.goto(server.url + sorted(refused)[0])
        assert "may not open this page" in page.inner_text("main")
        assert "administrator" in page.inner_text("main")
        assert page.evaluate(WIDE) <= 0
        page.goto(server.url + "/dashboards")
        assert page.locator("main form").count() == 0
        page.goto(server.url + "/dashboards/api-performance")
        assert page.locator("main form[method=post]").count() == 0
        context.close()
    finally:
        server.kill()
