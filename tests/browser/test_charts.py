"""What a chart of a dashboard shows besides its lines: scale, limits, single series, exemplars, marks."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import httpx
import pytest

from mamimon.client.wsgi import WSGIMiddleware
from tests.browser.pages import DESKTOP
from tests.conftest import Process, wait_until

pytestmark = [pytest.mark.browser, pytest.mark.feature("D2")]
# The rows of a chart, from the top, in which each colour of a style is met in the middle column.
ROWS = """(figure, names) => {
  const canvas = figure.querySelector("canvas"), context = canvas.getContext("2d"), found = {};
  const style = getComputedStyle(document.documentElement);
  const data = context.getImageData(0, 0, canvas.width, canvas.height).data;
  for (const name of names) {
    const hex = name[0] === "#" ? name : style.getPropertyValue("--" + name).trim();
    const wanted = [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16)), rows = [];
    const met = (at) => data[at + 3] > 128 && wanted.every((value, i) => Math.abs(data[at + i] - value) < 24);
    for (let y = 0; y < canvas.height; y += 1)
      for (let x = Math.round(canvas.width * 0.4); x < canvas.width * 0.6; x += 1)
        if (met(4 * (y * canvas.width + x))) { rows.push(y); break; }
    found[name] = rows.length ? rows.reduce((a, b) => a + b) / rows.length : null;
  }
  return found;
}"""


class Quiet(WSGIRequestHandler):
    """Writes no access log."""

    def log_message(self, *_: Any) -> None:
        return


@pytest.fixture(scope="module")
def application() -> Iterator[str]:
    """An application behind the client's middleware, asked all the time; its host and port."""

    def answer(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"ok"]

    server = make_server("127.0.0.1", 0, WSGIMiddleware(answer), handler_class=Quiet)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address, done = f"127.0.0.1:{server.server_port}", threading.Event()

    def ask() -> None:
        with httpx.Client(base_url=f"http://{address}", timeout=30) as client:
            number = 0
            while not done.wait(0.3):
                number += 1
                client.get("/chat", headers={"X-Request-Id": f"req-{number}"})

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    yield address
    done.set()
    asking.join(10)
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, application: str) -> Iterator[Process]:
    """A server that scrapes the application each second."""
    folder = tmp_path_factory.mktemp("charts")
    job = f"[{{job_name: shop, static_configs: [{{targets: ['{application}']}}]}}]"
    (folder / "prometheus.yml").write_text(
        f"global: {{scrape_interval: 1s}}\nscrape_configs: {job}\n", encoding="utf-8"
    )
    one = Process(folder / "data", "--prometheus-config", str(folder / "prometheus.yml"))
    yield one
    one.kill()


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A page that fails the test on an error of its scripts."""
    heard: list[str] = []
    one = browser.new_page(viewport=DESKTOP, color_scheme="light")
    one.on("pageerror", lambda error: heard.append(str(error)))
    yield one
    one.close()
    assert not heard


def _board(running: Process, slug: str, *panels: dict[str, Any], **more: Any) -> None:
    body = {"title": slug.title(), "panels": list(panels), "refresh_s": 0, **more}
    httpx.put(f"{running.url}/api/mamimon/dashboards/{slug}", json=body).raise_for_status()


def test_scales_limits_and_looks(running: Process, page: Any) -> None:
    """Equal ratios are equally far on a logarithmic axis; limits stand at their values; looks are right."""
    three = [{"expr": f"vector({value})", "legend": f"v{value}"} for value in (1, 100, 10_000)]
    looks = [{"of": "v100", "colour": "#aa00aa"}, {"match": "regex", "of": "^v10000$", "name": "most"}]
    right = [{"match": "query", "of": "3", "right": True, "unit": "percent"}]
    chart = {"kind": "timeseries", "queries": three, "width": 4, "height": 9}
    _board(
        running, "scales",
        {"title": "Even", **chart},
        {"title": "Log", **chart, "log_scale": True, "warn": 10, "crit": 1000, "overrides": looks},
        {"title": "Right", **chart, "overrides": right},
    )  # fmt: skip
    page.goto(running.url + "/dashboards/scales?since=5m")
    wait_until(lambda: page.locator("figure.chart[data-points]").count() == 3, 60, "the charts")
    figures = page.locator("figure.chart")

    def rows(place: int, *names: str) -> dict[str, float]:
        found: dict[str, float] = figures.nth(place).evaluate(ROWS, list(names))
        return found

    even = wait_until(lambda: (found := rows(0, "c1", "c2", "c3"))["c2"] and found, 20, "the lines")
    assert even["c2"] - even["c3"] > 50
    log = rows(1, "c1", "#aa00aa", "c3", "warn", "crit")
    assert abs((log["c1"] - log["#aa00aa"]) - (log["#aa00aa"] - log["c3"])) < 6
    assert abs(log["warn"] - (log["c1"] + log["#aa00aa"]) / 2) < 6
    assert abs(log["crit"] - (log["#aa00aa"] + log["c3"]) / 2) < 6
    assert page.locator("section[data-key='1'] .legend").inner_text().split() == ["v1", "v100", "most"]
    second = page.locator("section[data-key='1'] .legend span").nth(1)
    assert second.evaluate("(one) => getComputedStyle(one, '::before').backgroundColor") == "rgb(170, 0, 170)"
    assert figures.nth(0).locator(".u-axis").count() == 2
    assert figures.nth(2).locator(".u-axis").count() == 3
    own = rows(2, "c1", "c2", "c3")
    assert own["c1"] - own["c3"] > 50
    assert own["c2"] is None  # at the top of its own axis, just behind the other at the top of its
    assert "10,000 %" in figures.nth(2).locator("table").inner_text()


@pytest.mark.feature("D1", "M8")
def test_an_exemplar_opens_its_request(running: Process, page: Any) -> None:
    """Dots on the answers of API Performance are single requests; a click opens the request's page."""
    asked = {"query": "histogram_quantile(0.5, rate(http_request_duration_seconds_bucket{job='shop'}[1m]))"}
    with httpx.Client(base_url=running.url, timeout=30) as client:
        wait_until(lambda: client.get("/api/v1/query", params=asked).json()["data"]["result"], 60, "answers")
    page.goto(running.url + "/dashboards/api-performance?since=5m")
    dot = page.locator("section:has(h2:text-is('Response time')) a.exemplar").last
    dot.wait_for(timeout=60_000)
    assert "request_id=req-" in str(dot.get_attribute("aria-label"))
    dot.dispatch_event("click")
    page.wait_for_url("**/requests/req-*")
    assert "req-" in page.inner_text("main")


def test_looks_are_written_in_the_editor(running: Process, page: Any) -> None:
    """One line a series in the panel's dialog: drawn at once, saved, and written the same again."""
    queries = [{"expr": "vector(1)", "legend": "one"}, {"expr": "vector(2)", "legend": "two"}]
    _board(running, "written", {"title": "A", "kind": "timeseries", "queries": queries})
    page.goto(running.url + "/dashboards/written/edit")
    page.click("section[data-index='0'] [data-do=edit]")
    dialog = page.locator("#panel-dialog")
    lines = "one | percent | crit | right | as First\n/^tw/ | #aa00aa\n#2 | negative"
    dialog.locator("textarea[name=overrides]").fill(lines)
    dialog.locator("input[name=exemplars]").check()
    wait_until(lambda: "First" in dialog.locator(".look").inner_text(), 20, "the preview")
    dialog.locator("button.p").click()
    page.click("#done")
    page.wait_for_url("**/dashboards/written")
    saved = httpx.get(f"{running.url}/api/mamimon/dashboards/written").json()["panels"][0]
    assert saved["overrides"] == [
        {"of": "one", "name": "First", "unit": "percent", "colour": "crit", "right": True},
        {"of": "^tw", "match": "regex", "colour": "#aa00aa"},
        {"of": "2", "match": "query", "negative": True},
    ]
    assert saved["exemplars"] is True
    page.goto(running.url + "/dashboards/written/edit")
    page.click("section[data-index='0'] [data-do=edit]")
    assert dialog.locator("textarea[name=overrides]").input_value() == lines


def test_deploys_and_alerts_are_marked_on_charts(running: Process, page: Any) -> None:
    """A deploy and an alert stand in the chart as lines whose names the tip tells."""
    _board(
        running,
        "marked",
        {"title": "A", "kind": "timeseries", "queries": [{"expr": "vector(1)"}], "width": 12},
    )
    httpx.post(f"{running.url}/api/mamimon/deploys", json={"version": "9.4.2"}).raise_for_status()
    alert = [{"labels": {"alertname": "DoorsOpen"}}]
    httpx.post(f"{running.url}/alertmanager/api/v2/alerts", json=alert).raise_for_status()

    def marked() -> bool:
        found = httpx.get(f"{running.url}/dashboards/marked/live?keys=0&since=7m").json()["marks"]
        return any("DoorsOpen" in one["label"] for one in found)

    wait_until(marked, 60, "the incident")
    page.goto(running.url + "/dashboards/marked?since=7m")
    figure = page.locator("figure.chart[data-points]")
    figure.wait_for(timeout=60_000)
    box = figure.locator(".u-over").bounding_box()

    def told() -> bool:
        said = ""
        for back in range(0, 200, 4):  # they are a moment old
            page.mouse.move(box["x"] + box["width"] - 1 - back, box["y"] + 40)
            said += figure.locator(".tip").inner_text()
        return "9.4.2" in said and "DoorsOpen" in said

    wait_until(told, 60, "the marks in the tip")


@pytest.mark.feature("D5")
def test_from_a_chart_to_what_else_was_at_that_time(running: Process, page: Any) -> None:
    """A chart's menu leads to logs of the same window and labels, errors and changes; the logs lead back."""
    with httpx.Client(base_url=running.url, timeout=30) as client:
        for service in ("shop", "other"):
            line = {"level": "INFO", "service": service, "message": f"a line of {service}"}
            client.post(f"/es/logs-{service}/_doc", json=line).raise_for_status()
        key = client.get("/api/mamimon/errors/dsn").json()["dsn"].split("//")[1].split("@")[0]
        event = {"exception": {"values": [{"type": "JumpError", "value": "x"}]}}
        client.post("/api/1/store/", params={"sentry_key": key}, json=event).raise_for_status()
    variables = [{"name": "job", "metric": "up", "value_of": "job"}]
    chart = {"title": "A", "kind": "timeseries", "queries": [{"expr": 'up{job=~"$job"}'}]}
    _board(running, "jump", chart, variables=variables)
    here = running.url + "/dashboards/jump?var-job=shop&since=15m"

    def leave_by(text: str) -> None:
        page.goto(here)
        page.click("section[data-key='0'] summary")
        page.click(f"section[data-key='0'] >> text={text}")

    leave_by("Logs of this time")
    page.wait_for_url("**/logs?q=service**since=15m")
    wait_until(lambda: page.reload() and "a line of shop" in page.inner_text("#rows"), 60, "the line")
    assert "a line of other" not in page.inner_text("#rows")
    page.click(".tools >> text=What changed")
    page.wait_for_url("**/changes?since=15m")
    leave_by("Errors of this time")
    page.wait_for_url("**/errors?query=lastSeen**")
    wait_until(lambda: page.reload() and "JumpError" in page.inner_text("main"), 60, "the error")
    leave_by("What changed")
    page.wait_for_url("**/changes?since=15m")


@pytest.mark.feature("D6")
def test_pages_by_keyboard(running: Process, page: Any) -> None:
    """`/` searches, `t` picks a time, `?` helps, `g d` goes to dashboards; Tab reaches what is there."""
    page.goto(running.url + "/logs")
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.name") == "q"
    page.keyboard.press("Escape")
    page.keyboard.press("t")
    assert page.evaluate("document.activeElement.name") == "since"
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("?")
    page.locator("#keys[open]").wait_for()
    page.keyboard.press("Escape")
    page.keyboard.press("g")
    page.keyboard.press("d")
    page.wait_for_url("**/dashboards")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    seen: list[str] = []
    for _ in range(60):
        page.keyboard.press("Tab")
        seen.append(
            page.evaluate("document.activeElement.getAttribute('href') || document.activeElement.name")
        )
    assert {"/", "/dashboards/api-performance", "title"} <= set(seen)


def test_one_cursor_for_all_charts(running: Process, page: Any) -> None:
    """Where the mouse is in one chart, every chart of the page tells its values of that time."""
    chart = {"title": "A", "kind": "timeseries", "queries": [{"expr": "vector(41)"}]}
    _board(running, "cursor", chart, {**chart, "title": "B", "queries": [{"expr": "vector(42)"}]})
    page.goto(running.url + "/dashboards/cursor?since=5m")
    wait_until(lambda: page.locator("figure.chart[data-points]").count() == 2, 60, "the charts")
    figures = page.locator("figure.chart")
    box = figures.nth(0).locator(".u-over").bounding_box()

    def told() -> bool:
        page.mouse.move(box["x"] + box["width"] * 0.4, box["y"] + 30)
        page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + 40)
        tips = [figures.nth(i).locator(".tip").inner_text().split("\n") for i in range(2)]
        return tips[0][0] == tips[1][0] != "" and "41" in tips[0][-1] and "42" in tips[1][-1]

    wait_until(told, 30, "both tips")
