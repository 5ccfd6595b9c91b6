"""The logs pages under a person's hands: complete, zoom, open, filter, save, follow, patterns."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mamimon.logs.dates import iso
from tests.browser.axe import violations
from tests.conftest import wait_until

pytestmark = pytest.mark.browser


def put(server: Any, *documents: dict[str, Any], dataset: str = "mami-ai") -> None:
    """NDJSON through mamimon's own door."""
    body = "\n".join(map(json.dumps, documents))
    answer = server.client.post(f"/api/mamimon/logs?dataset={dataset}", content=body)
    assert answer.json()["refused"] == 0


@pytest.fixture
def site(start: Callable[..., Any]) -> Any:
    """A server with 300 lines of the last fifty minutes."""
    server = start(server={"self_log": False})
    now = server.server.clock.now()
    put(
        server,
        *(
            {
                "@timestamp": iso(now - 3000 + i * 10),
                "level": ("INFO", "INFO", "WARNING", "ERROR")[i % 4],
                "logger": "app.chat" if i % 2 else "app.api",
                "message": f"payment {i} refused" if i % 4 == 3 else f"POST /api/chat 200 in {i} ms",
                "request_id": f"req-{i // 3}",
                "host": f"web-{i % 2}",
                "user": {"plan": 'the "pro" plan' if i % 5 else "free"},
            }
            for i in range(300)
        ),
    )
    return server


@pytest.fixture
def page(browser: Any, site: Any) -> Iterator[Any]:
    """A page that may use the clipboard; the test fails where the browser reports an error."""
    context = browser.new_context(viewport={"width": 1360, "height": 900}, locale="en-GB")
    context.grant_permissions(["clipboard-read", "clipboard-write"], origin=site.url)
    one = context.new_page()
    problems: list[str] = []
    one.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    one.on("pageerror", lambda error: problems.append(str(error)))
    yield one
    context.close()
    assert problems == []


def rows(page: Any) -> int:
    """How many lines the page shows."""
    return int(page.locator("#rows details.line").count())


@pytest.mark.feature("L4")
def test_the_box_completes_fields_and_values_by_keyboard(page: Any, site: Any) -> None:
    """Arrows choose, Enter takes, Escape closes, and a screen reader is told each step."""
    page.goto(f"{site.url}/logs")
    box = page.locator("input[name=q]")
    box.focus()
    page.keyboard.type("use")
    option = page.locator("[role=option]")
    option.first.wait_for()
    assert box.get_attribute("role") == "combobox"
    assert box.get_attribute("aria-expanded") == "true"
    assert page.locator(f"#{box.get_attribute('aria-controls')}").get_attribute("role") == "listbox"
    page.keyboard.press("ArrowDown")
    assert box.get_attribute("aria-activedescendant") == option.first.get_attribute("id")
    assert option.first.get_attribute("aria-selected") == "true"
    page.keyboard.press("Enter")
    assert box.input_value() == "user.plan:"
    page.wait_for_selector("[role=option]:has-text('pro')")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Tab")
    assert box.input_value() == r'user.plan:"the \"pro\" plan" '
    page.keyboard.type("AND lev")
    page.wait_for_selector("[role=option]:has-text('level')")
    page.keyboard.press("Escape")
    assert box.get_attribute("aria-expanded") == "false"
    page.keyboard.type("el:e")
    page.locator("[role=option]:has-text('ERROR')").click()
    assert box.input_value().endswith("level:ERROR ")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"/logs\?q=user"))
    assert rows(page) == 60
    assert page.locator("#rows details.line.ERROR").count() == 60


@pytest.mark.feature("L7")
def test_dragging_over_the_chart_zooms(page: Any, site: Any) -> None:
    """A brushed part of the histogram becomes the time of the search; zooming out shows more again."""
    page.goto(f"{site.url}/logs?q=payment&since=1h")
    page.wait_for_selector("figure.chart[data-points]")
    assert rows(page) == 75
    area = page.locator("figure.chart .u-over").bounding_box()
    page.mouse.move(area["x"] + area["width"] * 0.4, area["y"] + 20)
    page.mouse.down()
    page.mouse.move(area["x"] + area["width"] * 0.6, area["y"] + 20, steps=5)
    page.mouse.up()
    page.wait_for_url(re.compile(r"start=\d+"))
    some = rows(page)
    assert 5 < some < 30
    page.click("text=Zoom out")
    page.wait_for_load_state()
    assert rows(page) > some
    assert "q=payment" in page.url


@pytest.mark.feature("L7")
def test_a_finger_and_a_clock_choose_the_time_too(browser: Any, site: Any) -> None:
    """On a phone a stroke over the chart zooms; From and To are in the reader's time zone."""
    context = browser.new_context(
        viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True, timezone_id="Asia/Tokyo"
    )
    page = context.new_page()
    page.goto(f"{site.url}/logs?q=payment&since=1h&cols=host")
    page.wait_for_selector("figure.chart[data-points]")
    page.wait_for_selector("#total:has-text('of 75')")
    area = page.locator("figure.chart .u-over").bounding_box()
    touch = context.new_cdp_session(page)
    for kind, part in (("Start", 0.4), ("Move", 0.5), ("Move", 0.6), ("End", 0.6)):
        at = {"x": area["x"] + area["width"] * part, "y": area["y"] + 20}
        points = [] if kind == "End" else [at]
        touch.send("Input.dispatchTouchEvent", {"type": f"touch{kind}", "touchPoints": points})
    page.wait_for_url(re.compile(r"start=\d+"))
    assert 5 < rows(page) < 30
    page.click(".times summary")
    begins = page.locator("input[name=start][type=datetime-local]").input_value()
    seconds = dt.datetime.fromisoformat(f"{begins}+09:00").timestamp()
    assert f"start={seconds:.0f}" in page.url
    page.fill("input[name=start][type=datetime-local]", "2001-02-03T04:05:06")
    page.fill("input[name=end][type=datetime-local]", "2001-02-03T05:00:00")
    page.click(".times button")
    page.wait_for_url(re.compile("start=981140706&end=981144000"))
    assert "q=payment" in page.url and "cols=host" in page.url
    assert rows(page) == 0
    context.close()


@pytest.mark.feature("L7")
def test_a_page_without_lines_shows_the_way_to_the_last_one(page: Any, site: Any) -> None:
    """An empty time says when the last line came that matches, and leads there."""
    now = site.server.clock.now()
    page.goto(f"{site.url}/logs?q=%22payment+3+refused%22&start={now - 60:.0f}&end={now:.0f}")
    page.click("a:has-text('Show it')")
    page.wait_for_url(re.compile(r"/logs\?q="))
    assert rows(page) == 1
    page.goto(f"{site.url}/logs?q=never-said&since=1h")
    page.wait_for_selector("text=No older line matches either.")


@pytest.mark.feature("L7")
def test_an_open_line_filters_copies_and_gives_columns(page: Any, site: Any) -> None:
    """Each field can be filtered for and out, copied, or made a column, whose place is in the address."""
    page.goto(f"{site.url}/logs?level=ERROR")
    line = page.locator("#rows details.line").nth(2)
    line.locator("summary").first.click()
    field = line.locator("tr", has_text="request_id")
    value = field.locator("td").first.inner_text()
    field.locator("button[data-act=copy]").click()
    page.wait_for_selector("button[data-copied]")
    assert page.evaluate("navigator.clipboard.readText()") == value
    line.locator("button[data-act=json]").click()
    page.wait_for_selector("button[data-act=json][data-copied]")
    assert json.loads(page.evaluate("navigator.clipboard.readText()"))["request_id"] == value
    line.locator("tr", has_text="user.plan").locator("[data-act=for]").click()
    page.wait_for_url(re.compile("user.plan"))
    assert rows(page) == 60
    page.locator("#rows summary").first.click()
    page.locator("tr", has_text="host").first.locator("[data-act=out]").click()
    page.wait_for_url(re.compile("NOT"))
    assert rows(page) == 0
    page.goto(f"{site.url}/logs?level=ERROR")
    page.locator("#rows summary").first.click()
    page.locator("tr", has_text="request_id").first.locator("[data-act=column]").click()
    page.wait_for_url(re.compile("cols=request_id"))
    assert page.locator("#rows summary").first.locator(".cell").inner_text().startswith("req-")
    assert "level=ERROR" in page.url
    page.click("text=request_id ×")
    page.wait_for_url(lambda url: "cols" not in url)


@pytest.mark.feature("L7")
def test_older_lines_come_below_and_facets_narrow(page: Any, site: Any) -> None:
    """The button brings the next page under the first; a click on a count narrows the search."""
    page.goto(f"{site.url}/logs?since=1h")
    assert rows(page) == 100
    page.click("text=Show older lines")
    wait_until(lambda: page.locator("#rows details.line").count() == 200, what="200 lines")
    page.click("text=Show older lines")
    wait_until(lambda: page.locator("#rows details.line").count() == 300, what="300 lines")
    assert page.locator("text=Show older lines").count() == 0
    ids = page.eval_on_selector_all("#rows details.line", "all => all.map(one => one.dataset.id)")
    assert len(set(ids)) == 300
    # What such a line is made of comes when it is opened.
    last = page.locator("#rows details.line").last
    assert last.locator(".fields").count() == 0
    last.locator("summary").click()
    last.locator("tr:has-text('request_id') [data-act=for]").wait_for()
    assert "req-0" in last.locator(".fields").inner_text()
    page.click("#facets a.facet:has-text('web-1')")
    page.wait_for_url(re.compile("host"))
    assert rows(page) == 100
    assert page.locator("input[name=q]").input_value() == 'host:"web-1"'


@pytest.mark.feature("L7")
def test_a_search_is_saved_opened_and_deleted(page: Any, site: Any) -> None:
    """A search gets a name, opens by it with all that was chosen, and goes away again."""
    page.goto(f"{site.url}/logs?q=payment&cols=host&since=6h")
    page.click("summary:has-text('Saved searches')")
    page.fill("input[name=name]", "Refused <b>payments</b>")
    page.click("button:has-text('Save')")
    page.wait_for_load_state()
    page.goto(f"{site.url}/logs")
    page.click("summary:has-text('Saved searches')")
    page.click("a:has-text('Refused <b>payments</b>')")
    page.wait_for_url(re.compile("q=payment"))
    assert "cols=host" in page.url and "since=6h" in page.url
    page.click("summary:has-text('Saved searches')")
    page.click("button[aria-label^='Delete']")
    page.wait_for_load_state()
    assert page.locator("a:has-text('Refused')").count() == 0


@pytest.mark.feature("L6")
def test_live_tail_pauses_counts_and_goes_on(page: Any, site: Any) -> None:
    """While paused nothing moves and what waits is counted; going on shows it; the rate is told."""
    page.goto(f"{site.url}/logs?q=news&cols=host")
    page.click("#live")
    page.wait_for_selector("#live[data-open]")
    metric = "mamimon_log_tail_watchers 1.0"
    wait_until(lambda: metric in site.client.get("/metrics").text, what="the watcher")
    put(site, {"message": "news 1", "host": "web-7"}, {"message": "olds"})
    page.wait_for_selector("#rows details.line:has-text('news 1')")
    assert page.locator("#rows .cell").first.inner_text() == "web-7"
    page.wait_for_selector("#live-rate:has-text('lines a second')")
    assert page.evaluate("document.getAnimations().length") == 0  # one a line took three quarters of the time
    page.click("#pause")
    put(site, {"message": "news 2"}, {"message": "news 3"})
    page.wait_for_selector("#live-rate:has-text('2 wait')")
    assert rows(page) == 1
    page.locator("#rows summary").first.click()
    assert "web-7" in page.locator("#rows .fields").first.inner_text()
    page.click("#pause")
    page.wait_for_selector("#rows details.line:has-text('news 3')")
    assert rows(page) == 3
    page.click("#live")
    assert not page.locator("#pause").is_visible()
    wait_until(lambda: metric not in site.client.get("/metrics").text, what="the watcher's leaving")


@pytest.mark.feature("L6")
def test_live_tail_shows_what_came_while_nobody_listened(page: Any, site: Any) -> None:
    """Lines between the page and its stream, and those of a lost connection, are shown once, in order."""
    page.goto(f"{site.url}/logs?q=news")
    put(site, {"message": "news 1"})
    page.click("#live")
    page.wait_for_selector("#rows details.line:has-text('news 1')")
    # A browser lets the stream go while nobody looks.
    turn = "(gone) => { Object.defineProperty(document, 'hidden', { value: gone, configurable: true });"
    turn += " document.dispatchEvent(new Event('visibilitychange')); }"
    page.evaluate(turn, True)
    metric = "mamimon_log_tail_watchers 1.0"
    wait_until(lambda: metric not in site.client.get("/metrics").text, what="the watcher's leaving")
    put(site, {"message": "news 2"}, {"message": "news 3"})
    page.evaluate(turn, False)
    page.wait_for_selector("#rows details.line:has-text('news 3')")
    wait_until(lambda: metric in site.client.get("/metrics").text, what="the watcher")
    put(site, {"message": "news 4"})
    page.wait_for_selector("#rows details.line:has-text('news 4')")
    texts = page.locator("#rows .text").all_inner_texts()
    assert texts == [f"news {i}" for i in (4, 3, 2, 1)]


@pytest.mark.feature("L6")
def test_a_stream_faster_than_anybody_reads_stays_bounded(page: Any, site: Any) -> None:
    """Of thousands of lines the page keeps the newest, in order, and says that others came too fast."""
    page.goto(f"{site.url}/logs?q=flood")
    page.click("#live")
    page.wait_for_selector("#live[data-open]")
    for start in range(0, 4000, 1000):
        put(site, *({"message": f"flood {i:04}"} for i in range(start, start + 1000)))
    page.wait_for_selector("#rows details.line:has-text('flood 3999')")
    texts = page.locator("#rows .text").all_inner_texts()
    assert len(texts) <= 500
    assert texts == sorted(texts, reverse=True)
    page.wait_for_selector("#live-rate:has-text('came too fast to be shown')")


@pytest.mark.feature("L7")
def test_a_line_in_context_and_lines_as_files(page: Any, site: Any, tmp_path: Path) -> None:
    """A line's own page marks it among its source's; exports arrive as files with the search's lines."""
    page.goto(f"{site.url}/logs?q=payment")
    page.locator("#rows summary").nth(20).click()
    page.locator("#rows details[open] a:has-text('In context')").click()
    page.wait_for_url(re.compile("/logs/line/"))
    assert page.locator("details.here[open]").count() == 1
    assert page.locator(".pill:has-text('host:web-1')").count() == 1
    assert "web-0" not in page.content()
    page.goto(f"{site.url}/logs?q=payment")
    for name, count in (("NDJSON", 75), ("CSV", 76)):
        with page.expect_download() as download:
            page.click(f"a:has-text('{name}')")
        path = tmp_path / name
        download.value.save_as(path)
        assert len(path.read_text().splitlines()) == count


@pytest.mark.feature("L8")
def test_a_pattern_becomes_a_filter_and_an_alert(page: Any, site: Any) -> None:
    """From the list to one pattern, its lines, its rule, and back to those that are not watched."""
    page.goto(f"{site.url}/logs/patterns?since=1h")
    assert page.locator("table a.mono").count() == 3
    page.click("a:has-text('New in this time')")
    page.wait_for_url(re.compile("view=new"))
    page.select_option("select[name=level]", "ERROR")
    page.wait_for_url(re.compile("level=ERROR"))
    assert page.locator("table a.mono").inner_text() == "payment • refused"
    page.click("table a.mono")
    page.wait_for_selector("figure.chart[data-points]")
    page.click("button:has-text('Watch for alerts')")
    page.wait_for_selector("pre#rule")
    rule = page.locator("pre#rule").inner_text()
    page.click("button:has-text('Copy')")
    page.wait_for_selector("[data-copied]")
    assert page.evaluate("navigator.clipboard.readText()").strip() == rule.strip()
    page.click("a:has-text('Show lines')")
    page.wait_for_url(re.compile("q=pattern"))
    assert rows(page) == 75
    page.click("nav a:has-text('Patterns')")
    page.wait_for_load_state()
    assert page.locator(".patterns tbody tr").count() == 1
    assert page.locator(".pill:has-text('watched')").count() == 1


@pytest.mark.feature("D6")
@pytest.mark.parametrize(("theme", "width"), [("light", 1360), ("dark", 360)])
def test_the_logs_pages_are_accessible(browser: Any, site: Any, theme: str, width: int) -> None:
    """axe-core finds no violation on any logs page, opened lines and lists included."""
    hit = site.client.get("/api/mamimon/logs/search?q=payment&size=1").json()["hits"][0]
    context = browser.new_context(
        viewport={"width": width, "height": 800}, color_scheme=theme, reduced_motion="reduce"
    )
    page = context.new_page()
    found: list[str] = []
    for path in (
        "/logs?q=payment&cols=host,request_id&since=1h",
        "/logs?q=nothing-like-it",
        "/logs?q=(broken",
        f"/logs/line/{hit['id']}",
        "/logs/patterns?since=1h",
        f"/logs/patterns/{hit['pattern']}",
        f"/requests/{hit['document']['request_id']}",
        "/requests/nothing",
    ):
        page.goto(site.url + path)
        page.wait_for_load_state("networkidle")
        if path.startswith("/logs?q=payment"):
            page.locator("#rows summary").first.click()
            page.click("summary:has-text('Saved searches')")
            page.click("summary:has-text('How to search')")
            page.locator("input[name=q]").focus()
            page.keyboard.type(" lev")
            page.locator("[role=option]").first.wait_for()
            page.keyboard.press("ArrowDown")
        found += [f"{path}: {one}" for one in violations(page)]
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path
    context.close()
    assert not found, "\n".join(found)
