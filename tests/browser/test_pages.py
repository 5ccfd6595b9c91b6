"""Every page opens in a real browser without an error, in both languages and themes, on a phone too."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.browser.pages import DESKTOP, PHONE, paths
from tests.conftest import Process, wait_until

pytestmark = [pytest.mark.browser, pytest.mark.feature("D6")]
VARIANTS = [
    ("en-GB", "light", DESKTOP),
    ("tr-TR", "dark", PHONE),
]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """One server for the module, with something of each signal in it."""
    import httpx

    one = Process(tmp_path_factory.mktemp("pages") / "data")
    with httpx.Client(base_url=one.url) as client:
        for i in range(30):
            event = {"event": ("login", "chat_start", "message_sent")[i % 3], "distinct_id": f"u{i % 7}"}
            client.post("/capture/", json=event).raise_for_status()
            line = {
                "level": ("INFO", "ERROR")[i % 2],
                "logger": "app.chat",
                "message": "a " * 60 + f"line {i}",
            }
            client.post("/es/logs-app/_doc", json=line)
    yield one
    one.kill()


@pytest.mark.parametrize(("locale", "theme", "size"), VARIANTS, ids=["desktop, English", "phone, Turkish"])
def test_pages_open_without_an_error(
    running: Process, browser: Any, locale: str, theme: str, size: dict[str, int]
) -> None:
    """No page has a console error, a failed request or a horizontal scroll, and each is in its language."""
    context = browser.new_context(viewport=size, color_scheme=theme, locale=locale)
    wrong: list[str] = []
    for path in paths():
        wrong += [f"{path}: {one}" for one in _open(context, running.url + path, locale[:2])]
    context.close()

    assert not wrong, "\n".join(wrong)


def _open(context: Any, url: str, language: str) -> list[str]:
    page = context.new_page()
    wrong: list[str] = []
    page.on("console", lambda one: wrong.append(one.text) if one.type in {"error", "warning"} else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("response", lambda one: wrong.append(f"{one.status} {one.url}") if one.status >= 400 else None)
    page.on("requestfailed", lambda one: wrong.append(f"failed {one.url} {one.failure}"))
    page.goto(url, wait_until="load")
    page.wait_for_timeout(150)
    wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    if wide > 0:
        wrong.append(f"{wide} px wider than the screen")
    if page.evaluate("document.documentElement.lang") != language:
        wrong.append(f"not in {language}")
    found = list(wrong)  # the overview's stream ends with the page, which is no failure
    page.close()
    return found


@pytest.mark.feature("D1")
def test_charts_of_a_dashboard_draw_and_stay_live(running: Process, browser: Any) -> None:
    """The system dashboard draws mamimon's own series, and a chart reads its data again by itself."""
    page = browser.new_page(viewport=DESKTOP)
    page.goto(running.url + "/dashboards/system-metrics")
    page.wait_for_selector("figure.chart[data-points] canvas", timeout=20_000)
    with page.expect_response(lambda one: "/api/mamimon/chart" in one.url, timeout=30_000) as again:
        pass
    assert again.value.status == 200
    page.close()


@pytest.mark.feature("D1")
def test_the_overview_is_live(running: Process, browser: Any) -> None:
    """The overview's numbers are replaced by the server's stream without a reload."""
    page = browser.new_page(viewport=DESKTOP)
    page.goto(running.url + "/")
    page.evaluate("document.querySelector('[sse-swap=stats]').dataset.before = '1';"
                  "document.querySelector('[sse-swap=stats]').innerHTML = 'old'")  # fmt: skip
    wait_until(lambda: "old" not in page.inner_text("[sse-swap=stats]"), 15, "the stream")
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
    form = page.locator("#new-panel")
    form.locator("input[name=title]").fill("Targets up")
    form.locator("select[name=kind]").select_option("stat")
    form.locator("textarea[name=queries]").fill("sum(up)")
    form.locator("button").click()
    form = page.locator("#new-panel")
    form.locator("input[name=title]").fill("Memory")
    form.locator("textarea[name=queries]").fill("system_memory_usage_percent | {{job}}")
    form.locator("select[name=unit]").select_option("percent")
    form.locator("button").click()
    page.click("text=Show dashboard")
    page.wait_for_selector("figure.chart[data-points] canvas", timeout=20_000)
    assert page.locator(".stat").first.inner_text() == "1"
    page.goto(page.url + "/edit")
    page.click("text=Delete dashboard")
    page.wait_for_url("**/dashboards")
    assert page.locator("text=My board").count() == 0
    page.close()
