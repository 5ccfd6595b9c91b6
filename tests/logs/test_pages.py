"""The logs page in a real browser: search, facets, live tail with pause, permalink, request view."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from mamimon.logs.dates import iso
from tests.conftest import wait_until


def send(server: Any, *documents: dict[str, Any]) -> None:
    """NDJSON through mamimon's own door."""
    import json

    body = "\n".join(json.dumps(one) for one in documents)
    answer = server.client.post("/api/mamimon/logs?dataset=mami-ai", content=body)
    assert answer.json()["refused"] == 0


def some(server: Any, count: int = 120) -> None:
    """Lines of the last hour."""
    now = server.server.clock.now()
    send(
        server,
        *(
            {
                "@timestamp": iso(now - 3000 + i * 20),
                "level": ("INFO", "INFO", "WARNING", "ERROR")[i % 4],
                "logger": "app.chat" if i % 2 else "app.api",
                "message": f"KeyError in build_prompt {i}" if i % 4 == 3 else f"POST /api/chat 200 in {i} ms",
                "request_id": f"req-{i // 3}",
            }
            for i in range(count)
        ),
    )


def watchers(server: Any) -> float:
    """How many live tails mamimon says are open."""
    text = server.client.get("/metrics").text
    return float(
        next(line for line in text.splitlines() if line.startswith("mamimon_log_tail_watchers")).split()[1]
    )


@pytest.mark.browser
@pytest.mark.feature("L6")
def test_the_page_searches_and_follows_live(start: Callable[..., Any], browser: Any) -> None:
    """The page shows, filters and counts lines; live tail brings a new line at once and pause stops it."""
    server = start(server={"self_log": False})
    some(server)
    page = browser.new_page(viewport={"width": 1360, "height": 900})
    problems: list[str] = []
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto(f"{server.url}/logs?q=KeyError")
    assert page.locator("#rows details.line").count() == 30
    assert page.locator("#rows mark").first.inner_text() == "KeyError"
    page.wait_for_selector("#facets a.facet")
    assert "ERROR" in page.locator("#facets").inner_text()
    page.wait_for_selector("figure.chart[data-points]")
    page.locator("#rows details.line summary").first.click()
    assert "request_id" in page.locator("#rows .fields").first.inner_text()
    page.click("#live")
    page.wait_for_selector("#live[data-open]")
    wait_until(lambda: watchers(server), what="the watcher")
    send(server, {"level": "ERROR", "message": "KeyError <b>just now</b>"}, {"message": "not wanted"})
    page.wait_for_selector("text=KeyError <b>just now</b>")
    assert page.locator("#rows details.line").count() == 31
    page.click("#live")
    wait_until(lambda: not watchers(server), what="the watcher's leaving")
    send(server, {"level": "ERROR", "message": "KeyError after the pause"})
    assert page.locator("text=after the pause").count() == 0
    page.goto(f"{server.url}/logs?q=(broken")
    assert "column" in page.locator(".error-box").inner_text()
    assert problems == []
    page.close()


@pytest.mark.browser
@pytest.mark.feature("L7")
def test_a_phone_shows_the_page_without_sideways_scrolling(start: Callable[..., Any], browser: Any) -> None:
    """At 360 pixels nothing is wider than the screen, in Turkish too."""
    server = start()
    some(server)
    page = browser.new_page(viewport={"width": 360, "height": 740}, locale="tr-TR")
    page.goto(f"{server.url}/logs")
    page.wait_for_selector("#facets a.facet")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert "Nasıl aranır" in page.content()
    page.close()


@pytest.mark.feature("L9")
def test_a_line_has_a_permalink_and_a_request_a_page(start: Callable[..., Any]) -> None:
    """A line's own page shows its neighbours; a request's page shows all its lines in order."""
    server = start(server={"self_log": False})
    some(server)
    hit = server.client.get("/api/mamimon/logs/search?q=request_id:req-15&since=2h").json()["hits"]
    assert len(hit) == 3
    text = server.client.get(f"/logs/line/{hit[1]['id']}").text
    assert text.count("<details") == 41
    assert text.count(" open") == 1
    text = server.client.get("/requests/req-15").text
    assert text.count("<details") == 3
    assert text.index("200 in 45 ms") < text.index("200 in 46 ms")
    assert server.client.get("/logs/line/nothing").status_code == 404


@pytest.mark.feature("L7")
def test_export_histogram_and_facets(start: Callable[..., Any]) -> None:
    """Lines leave as NDJSON and CSV; the histogram and the facets count each line once."""
    server = start(server={"self_log": False})
    some(server)
    get = server.client.get
    assert len(get("/api/mamimon/logs/export?since=2h").text.splitlines()) == 120
    rows = get("/api/mamimon/logs/export?since=2h&format=csv&q=KeyError").text.splitlines()
    assert len(rows) == 31
    chart = get("/api/mamimon/logs/histogram?since=2h").json()
    assert sum(sum(one["values"]) for one in chart["series"]) == 120 == chart["total"]
    facet = get("/api/mamimon/logs/facet?since=2h&field=level&q=POST").json()
    assert facet["values"] == [{"value": "INFO", "count": 60}, {"value": "WARNING", "count": 30}]
    bad = get("/api/mamimon/logs/search?q=(")
    assert bad.status_code == 400
    assert "column" in bad.json()["error"]
