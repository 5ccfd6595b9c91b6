"""Every page opens in a real browser without an error, in both languages and themes, on a phone too."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.browser.axe import violations
from tests.browser.pages import DESKTOP, PHONE, paths
from tests.conftest import ROOT, Process, wait_until

pytestmark = [pytest.mark.browser, pytest.mark.feature("D6")]
VARIANTS = [
    ("en-GB", "light", DESKTOP),
    ("en-GB", "dark", PHONE),
    ("tr-TR", "dark", DESKTOP),
    ("tr-TR", "light", PHONE),
]
NAMES = ["desktop, light, English", "phone, dark, English", "desktop, dark, Turkish", "phone, light, Turkish"]
WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
TURKISH = {"Accept-Language": "tr"}
WRONG_WORDS = re.compile(r"\b(?:undefined|NaN|None(?! yet)|\[object \w+\])")
PROMETHEUS = """\
global: {scrape_interval: 1s, evaluation_interval: 1s}
rule_files: [rules.yml]
"""
RULES = """\
groups:
  - name: pages
    rules:
      - alert: TargetsWatched
        expr: mamimon_targets > 0
        labels: {severity: critical}
        annotations: {summary: "{{ $value }} targets are watched by a-host-with-a-long-name.example.com"}
"""
EVERY = [
    {"title": "Head", "kind": "row"},
    {"title": "A", "kind": "timeseries", "queries": [{"expr": "up"}], "log_scale": True, "crit": 2},
    {"title": "B", "kind": "stat", "queries": [{"expr": "up"}], "crit": 1, "width": 3},
    {"title": "C", "kind": "gauge", "queries": [{"expr": "vector(40)"}], "unit": "percent", "width": 3},
    {"title": "D", "kind": "bar", "queries": [{"expr": "up"}], "warn": 1},
    {"title": "E", "kind": "table", "queries": [{"expr": "up"}]},
    {"title": "F", "kind": "status", "queries": [{"expr": "up"}]},
    {"title": "G", "kind": "heatmap", "queries": [{"expr": "http_request_duration_seconds_bucket"}]},
    {"title": "H", "kind": "log_chart", "queries": [{"expr": "*"}]},
    {"title": "I", "kind": "text", "text": "# A\n[b](https://c.d)"},
    *({"title": kind, "kind": kind} for kind in ("logs", "log_top", "errors", "events", "checks", "alerts")),
    {"title": "Wrong", "kind": "stat", "queries": [{"expr": "sum(("}]},
]
ROUTES = """\
route: {receiver: nobody, group_by: [alertname], group_wait: 0s}
receivers: [{name: nobody}]
"""
ERROR = {
    "event_id": "c0ffee00c0ffee00c0ffee00c0ffee00",
    "level": "error",
    "release": "4.2.1",
    "user": {"id": "u1"},
    "tags": {"request_id": "req-8f31"},
    "request": {"url": "http://localhost/api/chat", "method": "POST", "headers": {"Accept": "*/*"}},
    "breadcrumbs": [{"category": "query", "message": "SELECT 1", "timestamp": 1_795_000_000}],
    "exception": {
        "values": [
            {
                "type": "KeyError",
                "value": "'model'",
                "stacktrace": {
                    "frames": [
                        {
                            "function": "build_prompt",
                            "module": "app.prompt",
                            "filename": "app/prompt.py",
                            "lineno": 41,
                            "in_app": True,
                            "context_line": "    return options['model']",
                            "vars": {"options": "{'chat': 'c1'}"},
                        }
                    ]
                },
            }
        ]
    },
}


def seed(one: Process) -> list[str]:
    """Something of each signal, through the doors that applications use; the pages it makes."""
    with httpx.Client(base_url=one.url) as client:
        for i in range(30):
            event = {"event": ("login", "chat_start", "message_sent")[i % 3], "distinct_id": f"u{i % 7}"}
            client.post("/capture/", json=event | {"properties": {"chat_id": "c" * 60}}).raise_for_status()
            line = {
                "level": ("INFO", "ERROR")[i % 2],
                "logger": "app.chat",
                "message": "a " * 60 + f"line {i}",
                "request_id": "req-8f31",
                "exception": {"stacktrace": "Traceback\n  File x, line 1\nKeyError", "frames": [{"line": 1}]},
            }
            client.post("/es/logs-app/_doc", json=line).raise_for_status()
        key = httpx.URL(client.get("/api/mamimon/errors/dsn").json()["dsn"]).username
        client.post("/api/1/store/", params={"sentry_key": key}, json=ERROR).raise_for_status()
        outside = [{"labels": {"alertname": "FromOutside", "instance": "x" * 60}}]
        client.post("/alertmanager/api/v2/alerts", json=outside).raise_for_status()
        client.post("/checks/heartbeats", data={"name": "backup", "period": "60", "grace": "5"})
        client.post("/dashboards", data={"title": "A board", "copy": "error-rate"}, headers=TURKISH)
        client.put("/api/mamimon/dashboards/every", json={"title": "E", "panels": EVERY}).raise_for_status()
        wait_until(lambda: "/errors/1" in client.get("/errors").text, what="the issue")
        wait_until(lambda: "TargetsWatched" in client.get("/incidents").text, 60, "the incident")
        wait_until(lambda: "FromOutside" in client.get("/incidents").text, 60, "the other incident")
        found = re.search(r"/logs/line/[^\"?#]+", client.get("/logs").text)
        assert found
    return [
        found[0],
        "/requests/req-8f31",
        "/errors/1",
        "/incidents/1",
        "/incidents/2",
        "/logs?q=level:ERROR",
        "/logs?q=level:(",
        "/events?type=login",
        "/dashboards/a-board",
        "/dashboards/a-board/edit",
        "/dashboards/a-board/history",
        "/dashboards/a-board/share",
        "/dashboards/every",
        "/dashboards/every/edit",
        "/explore?q=level:ERROR",
        "/explore?q=rate(",
        "/graph?q=up&q=sum(rate(mamimon_series[1m]))",
        "/settings/alerts",
        "/alerts?matchers=alertname%3D%22TargetsWatched%22",
        "/login",
    ]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """One server for the module, with something of each signal in it."""
    folder = tmp_path_factory.mktemp("pages")
    (folder / "prometheus.yml").write_text(PROMETHEUS)
    (folder / "rules.yml").write_text(RULES)
    (folder / "alertmanager.yml").write_text(ROUTES)
    files = [f"--{name}-config={folder / name}.yml" for name in ("prometheus", "alertmanager")]
    one = Process(folder / "data", *files)
    one.pages = [*paths(), *seed(one)]  # type: ignore[attr-defined]
    yield one
    one.kill()


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """A server that has nothing yet."""
    one = Process(tmp_path_factory.mktemp("fresh") / "data")
    yield one
    one.kill()


@pytest.mark.parametrize(("locale", "theme", "size"), VARIANTS, ids=NAMES)
def test_pages_open_without_an_error(
    running: Process, browser: Any, locale: str, theme: str, size: dict[str, int]
) -> None:
    """Each page: no console error, failed request, sideways scroll or wrong word; one heading, a title."""
    pages = running.pages  # type: ignore[attr-defined]
    wrong = look(browser, running.url, pages, locale, theme, size)

    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(("locale", "theme", "size"), VARIANTS[:2], ids=NAMES[:2])
def test_pages_are_accessible(
    running: Process, browser: Any, locale: str, theme: str, size: dict[str, int]
) -> None:
    """axe-core finds no violation of WCAG 2.2 AA on any page, in either theme, on a desk and a phone."""
    context = browser.new_context(viewport=size, color_scheme=theme, locale=locale, reduced_motion="reduce")
    page = context.new_page()
    found: list[str] = []
    for path in running.pages:  # type: ignore[attr-defined]
        page.goto(running.url + path, wait_until="load")
        page.wait_for_timeout(50)
        page.wait_for_selector(".chart.loading", state="detached")
        found += [f"{path}: {one}" for one in violations(page, runOnly=WCAG)]
    context.close()
    assert not found, "\n".join(found)


@pytest.mark.parametrize(("locale", "theme", "size"), VARIANTS[3:], ids=NAMES[3:])
def test_pages_of_a_fresh_server(
    fresh: Process, browser: Any, locale: str, theme: str, size: dict[str, int]
) -> None:
    """The empty states hold to the same."""
    wrong = look(browser, fresh.url, [*paths(), "/settings/alerts"], locale, theme, size)

    assert not wrong, "\n".join(wrong)


def look(
    browser: Any, url: str, pages: list[str], locale: str, theme: str, size: dict[str, int]
) -> list[str]:
    """Open each page and say what is wrong with it."""
    context = browser.new_context(viewport=size, color_scheme=theme, locale=locale)
    page = context.new_page()
    heard: list[str] = []
    page.on("console", lambda one: heard.append(one.text) if one.type in {"error", "warning"} else None)
    page.on("pageerror", lambda error: heard.append(str(error)))
    page.on("response", lambda one: heard.append(f"{one.status} {one.url}") if one.status >= 400 else None)
    # What a page still reads when it is left is aborted, which is no failure.
    page.on(
        "requestfailed",
        lambda one: heard.append(f"{one.failure} {one.url}") if one.failure != "net::ERR_ABORTED" else None,
    )
    wrong: list[str] = []
    for path in pages:
        heard.clear()
        page.goto(url + path, wait_until="load")
        page.evaluate("scrollTo(0, document.body.scrollHeight)")  # charts load when they are seen
        page.wait_for_timeout(50)
        page.wait_for_selector(".chart.loading", state="detached")
        for _ in range(20):  # a chart that was just drawn takes its frame's width a moment later
            if page.evaluate(FITS):
                break
            page.wait_for_timeout(100)
        wrong += [f"{path}: {one}" for one in [*heard, *_seen(page, locale[:2])]]
    context.close()
    return wrong


FITS = "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
SEEN = """() => ({
  wide: document.documentElement.scrollWidth - document.documentElement.clientWidth,
  language: document.documentElement.lang, title: document.title,
  text: (() => {  // a metric's own help is English in every language
    const foreign = [...document.querySelectorAll('td[lang=en]')];
    foreign.forEach((one) => { one.hidden = true; });
    const text = document.body.innerText;
    foreign.forEach((one) => { one.hidden = false; });
    return text;
  })(),
  headings: document.querySelectorAll('h1').length,
  plots: [...document.querySelectorAll('figure.chart')].filter((one) => {
    const plot = one.querySelector('canvas'); return plot && plot.clientHeight > one.clientHeight + 1;
  }).length,
})"""


def _seen(page: Any, language: str) -> list[str]:
    seen = page.evaluate(SEEN)
    wrong = []
    if seen["wide"] > 0:
        wrong.append(f"{seen['wide']} px wider than the screen")
    if seen["language"] != language:
        wrong.append(f"not in {language}")
    if seen["headings"] != 1:
        wrong.append(f"{seen['headings']} headings")
    if seen["title"] in {"", "mamimon · mamimon"}:
        wrong.append(f"the title is {seen['title']!r}")
    if seen["plots"]:
        wrong.append(f"{seen['plots']} plots are larger than their frame")
    if found := WRONG_WORDS.search(seen["text"]):
        wrong.append(f"it says {seen['text'][max(0, found.start() - 30) : found.end() + 10]!r}")
    if language == "tr":
        # What the server itself logged is English, wherever its lines and their patterns are shown.
        text = "\n".join(line for line in seen["text"].splitlines() if not LOGGED.search(line))
        wrong += [f"in English: {one!r}" for one in SENTENCES if one in text]
    return wrong


def _sentences() -> list[str]:
    """English sentences that have a Turkish text, long enough not to be met by chance."""
    from babel.messages.pofile import read_po

    found = []
    for path in sorted(Path(ROOT / "web/locales/tr").glob("*.po")):
        with path.open(encoding="utf-8") as file:
            ids = [one.id if isinstance(one.id, str) else one.id[0] for one in read_po(file) if one.id]
        found += [one for one in ids if len(one) > 12 and " " in one and "%(" not in one]
    return found


SENTENCES = _sentences()
LOGGED = re.compile(r"\bcheck [\w.-]+ \([\w.-]+\) is ")


@pytest.mark.feature("D1")
def test_charts_of_a_dashboard_draw_and_stay_live(running: Process, browser: Any) -> None:
    """The system dashboard draws mamimon's own series, and a chart reads its data again by itself."""
    page = browser.new_page(viewport=DESKTOP)
    page.clock.install()
    page.goto(running.url + "/dashboards/system-metrics")
    page.wait_for_selector("figure.chart[data-points] canvas", timeout=60_000)
    with page.expect_response(lambda one: "/system-metrics/live?" in one.url, timeout=30_000) as again:
        page.clock.fast_forward(20_000)
    assert again.value.status == 200
    page.close()


@pytest.mark.feature("D1")
def test_the_overview_is_live(running: Process, browser: Any) -> None:
    """The overview's numbers are replaced by the server's stream without a reload."""
    page = browser.new_page(viewport=DESKTOP)
    page.goto(running.url + "/")
    page.evaluate("document.querySelector('[sse-swap=stats]').dataset.before = '1';"
                  "document.querySelector('[sse-swap=stats]').innerHTML = 'old'")  # fmt: skip
    wait_until(lambda: "old" not in page.inner_text("[sse-swap=stats]"), 60, "the stream")
    assert page.locator("[sse-swap=stats] .stat").count() == 4
    page.close()


@pytest.mark.feature("D2")
def test_a_dashboard_of_ones_own_in_a_few_clicks(running: Process, browser: Any) -> None:
    """A person makes a dashboard, gives it two panels by form, sees them drawn, and deletes it."""
    page = browser.new_page(viewport=DESKTOP)
    page.on("dialog", lambda dialog: dialog.accept())
    page.goto(running.url + "/dashboards")
    page.fill("input[name=title]", "My board")
    page.click("text=Make a dashboard")
    form = page.locator("#panel-dialog")
    page.click("#add-panel")
    form.locator("input[name=title]").fill("Targets up")
    form.locator("select[name=kind]").select_option("stat")
    form.locator("textarea[name=queries]").fill("sum(up)")
    form.locator("button.p").click()
    page.click("#add-panel")
    form.locator("input[name=title]").fill("Memory")
    form.locator("textarea[name=queries]").fill("system_memory_usage_percent | {{job}}")
    form.locator("select[name=unit]").select_option("percent")
    form.locator("button.p").click()
    page.click("#done")
    page.wait_for_url("**/dashboards/my-board")
    page.wait_for_selector("figure.chart[data-points] canvas", timeout=60_000)
    assert page.locator(".stat").first.inner_text() == "1"
    page.goto(page.url + "/edit")
    page.click("text=Delete dashboard")
    page.wait_for_url("**/dashboards")
    assert page.locator("text=My board").count() == 0
    page.close()
