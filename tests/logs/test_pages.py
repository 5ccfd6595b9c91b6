"""The logs page in a real browser: search, facets, live tail with pause, permalink, request view."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from mamimon.logs.dates import iso
from tests.conftest import wait_until


def send(server: Any, *documents: dict[str, Any]) -> None:
    """NDJSON through mamimon's own door."""

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
    assert text.count('<li class="moment log') == 3
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


@pytest.mark.feature("L4")
def test_completion_offers_fields_and_values(start: Callable[..., Any]) -> None:
    """Fields that lines have and the commonest values of one are offered, also of rare lines and patterns."""
    server = start(server={"self_log": False})
    some(server)
    send(server, {"message": "rare", "http": {"route": "/a b"}, "tags": ["x1", "x2"]})

    def offers(**params: str) -> list[str]:
        answer = server.client.get("/api/mamimon/logs/complete", params=params)
        return [one["text"] for one in answer.json()["offers"]]

    assert offers(prefix="req") == ["request_id"]
    assert "http.route" in offers(prefix="rou")
    assert offers(field="level", prefix="err") == ["ERROR"]
    assert offers(field="http.route") == ["/a b"]
    assert sorted(offers(field="tags", prefix="x")) == ["x1", "x2"]
    assert offers(field="logger", prefix="app.c") == ["app.chat"]
    assert offers(field="dataset", prefix="mami") == ["mami-ai"]
    assert len(offers(field="pattern", prefix="KeyError")) == 1
    assert len(offers(field="request_id", prefix="req-")) == 20
    assert offers(field='no:"thing', prefix='x"') == []


@pytest.mark.feature("L7")
def test_older_pages_hold_each_line_once(start: Callable[..., Any]) -> None:
    """Paging by cursor gives every line once and in order, where many have the same time and more come."""
    server = start(server={"self_log": False}, logs={"block_rows": 16})
    now = server.server.clock.now()
    send(server, *({"@timestamp": iso(now - 90_000 * (i % 2) - i // 40), "n": i} for i in range(200)))
    seen: list[int] = []
    before = ""
    while True:
        params = {"since": "7d", "size": 17, "before": before}
        page = server.client.get("/api/mamimon/logs/search", params=params).json()
        seen += [hit["document"]["n"] for hit in page["hits"]]
        if not page["next"]:
            break
        before = page["next"]
        send(server, {"message": "new meanwhile", "n": -1})
    assert sorted(seen) == list(range(200))
    assert server.client.get("/api/mamimon/logs/search?before=x").status_code == 400


@pytest.mark.feature("L7")
def test_export_streams_more_than_a_page(start: Callable[..., Any]) -> None:
    """An export holds more lines than one page, chosen columns in CSV, and no formula runs in a sheet."""
    server = start(server={"self_log": False})
    for start_at in range(0, 6000, 2000):
        send(server, *({"message": f"=1+{i}", "n": i} for i in range(start_at, start_at + 2000)))
    lines = server.client.get("/api/mamimon/logs/export?format=ndjson").text.splitlines()
    assert sorted(json.loads(line)["n"] for line in lines) == list(range(6000))
    rows = server.client.get("/api/mamimon/logs/export?format=csv&cols=n&size=4500").text.splitlines()
    assert rows[0] == "time,level,dataset,logger,message,n"
    assert len(rows) == 4501
    assert all(",'=1+" in row for row in rows[1:])
    assert server.client.get("/api/mamimon/logs/export?format=xml").status_code == 400
    assert server.client.get("/api/mamimon/logs/export?q=(").status_code == 400


@pytest.mark.feature("L7")
def test_the_context_of_a_line_is_its_own_source(start: Callable[..., Any]) -> None:
    """Around a line stand lines of the same dataset, host and service only."""
    server = start(server={"self_log": False})
    now = server.server.clock.now()
    send(
        server,
        *(
            {"@timestamp": iso(now - 60 + i / 10), "host": f"web-{i % 2}", "service": "a", "message": f"m{i}"}
            for i in range(100)
        ),
    )
    hit = server.client.get("/api/mamimon/logs/search?q=message:m50").json()["hits"][0]
    text = server.client.get(f"/logs/line/{hit['id']}").text
    assert text.count("<details class=") == 41
    assert "m30<" in text and "m70<" in text
    assert "m51<" not in text
    assert server.client.get(f"/logs/line/{hit['id']}?around=100").text.count("<details class=") == 50
    assert server.client.get(f"/api/mamimon/logs/lines/{hit['id']}").json()["document"]["message"] == "m50"


@pytest.mark.feature("L7")
def test_the_context_of_a_line_of_a_busy_source_is_next_to_it(start: Callable[..., Any]) -> None:
    """What follows a line is what came next, however many thousand lines of the source come after it."""
    server = start(server={"self_log": False})
    now = server.server.clock.now()
    for at in range(0, 4000, 2000):
        send(
            server,
            *(
                {"@timestamp": iso(now - 60 + i / 8000), "host": "web", "message": f"m{i}."}
                for i in range(at, at + 2000)
            ),
        )
    hit = server.client.get("/api/mamimon/logs/search?q=message:m50").json()["hits"][0]
    found = server.client.get(f"/api/mamimon/logs/lines/{hit['id']}/context?size=20").json()["hits"]
    assert [one["message"] for one in found] == [f"m{i}." for i in range(30, 71)]
    newest = server.client.get("/api/mamimon/logs/search?q=message:m3999").json()["hits"][0]
    found = server.client.get(f"/api/mamimon/logs/lines/{newest['id']}/context?size=2").json()["hits"]
    assert [one["message"] for one in found] == ["m3997.", "m3998.", "m3999."]


@pytest.mark.feature("L7")
def test_searches_are_saved_for_who_saved_them(start: Callable[..., Any]) -> None:
    """Without accounts a saved search is everybody's; with them each sees their own and everybody's."""
    import base64

    server = start()
    post = server.client.post
    query = {"name": "Errors of chat", "query": "q=level%3AERROR&cols=request_id"}
    answer = post("/logs/searches", data=query)
    assert answer.status_code == 303
    assert answer.headers["location"] == "/logs?q=level%3AERROR&cols=request_id"
    assert "Errors of chat" in server.client.get("/logs").text
    assert post("/logs/searches", data={"name": " ", "query": "q=x"}).status_code == 400
    for name in ("ada", "bob"):
        body = {"name": name, "password": f"{name} has a long password", "role": "admin"}
        if name == "bob":
            server.client.headers["Authorization"] = (
                "Basic " + base64.b64encode(b"ada:ada has a long password").decode()
            )
        made = post("/api/mamimon/users", json=body)
        assert made.status_code in {200, 201}, made.text
    assert post("/logs/searches", data={"name": "Mine alone", "query": "q=ada"}).status_code == 303
    text = server.client.get("/logs").text
    assert "Mine alone" in text and "Errors of chat" in text
    number = text.split("/logs/searches/")[1].split("/")[0]
    bob = {"Authorization": "Basic " + base64.b64encode(b"bob:bob has a long password").decode()}
    assert "Mine alone" not in server.client.get("/logs", headers=bob).text
    mine = max(int(part.split("/")[0]) for part in text.split("/logs/searches/")[1:] if part[0].isdigit())
    assert post(f"/logs/searches/{mine}/delete", data={}, headers=bob).status_code == 404
    assert post(f"/logs/searches/{number}/delete", data={"query": ""}).status_code == 303


@pytest.mark.feature("L7")
def test_counts_beside_a_search_say_what_they_counted(start: Callable[..., Any]) -> None:
    """Facets of more lines than are counted say so; levels are counted in all of them."""
    server = start(server={"self_log": False})
    for _ in range(3):
        send(server, *({"message": "hello", "level": "INFO", "n": i % 9} for i in range(1000)))
    text = server.client.get("/logs/facets?cols=n").text
    assert "3,000" in text
    sampled = [
        part.split("<")[0].strip()
        for part in text.split('<h2 class="mono">')[1:]
        if "of the newest 2,000" in part
    ]
    assert sampled == ["dataset", "n"]
    assert server.client.get("/logs/facets?q=hello").text.count("of the newest 2,000") == 2
    assert "of the newest" not in server.client.get("/logs/facets?q=nothing").text
