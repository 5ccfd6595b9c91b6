"""Dashboards as viewers meet them: shared answers, permissions, links, files of a folder, tables."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mamimon.dashboards.cache import SharedAnswers
from mamimon.dashboards.lean import lean
from mamimon.dashboards.markdown import to_html
from tests.conftest import Endless, settled, wait_until

pytestmark = pytest.mark.feature("D2")
HTML = {"Accept": "text/html"}
EVERY = [
    {"title": "Head", "kind": "row"},
    {"title": "Lines", "kind": "timeseries", "queries": [{"expr": "up"}]},
    {"title": "Heat", "kind": "heatmap", "queries": [{"expr": "http_request_duration_seconds_bucket"}]},
    {"title": "Stat", "kind": "stat", "queries": [{"expr": "sum(up)"}], "texts": {"1": "fine"}},
    {"title": "Mean", "kind": "stat", "queries": [{"expr": "vector(3)"}], "calc": "mean"},
    {"title": "Gauge", "kind": "gauge", "queries": [{"expr": "vector(40)"}], "unit": "percent", "crit": 30},
    {"title": "Bar", "kind": "bar", "queries": [{"expr": "up", "legend": "{{job}}"}]},
    {"title": "Table", "kind": "table", "queries": [{"expr": "up"}, {"expr": "up * 2", "legend": "twice"}]},
    {
        "title": "States",
        "kind": "status",
        "queries": [{"expr": "up", "legend": "{{job}}"}],
        "below": True,
        "crit": 0,
    },
    {"title": "Lines of logs", "kind": "logs", "queries": [{"expr": "level:ERROR"}]},
    {"title": "Levels", "kind": "log_chart", "queries": [{"expr": ""}]},
    {"title": "Top", "kind": "log_top", "queries": [{"expr": "*"}], "field": "path"},
    {"title": "Errors", "kind": "errors"},
    {"title": "Events", "kind": "events", "queries": [{"expr": "login"}]},
    {"title": "Checks", "kind": "checks"},
    {"title": "Alerts", "kind": "alerts"},
    {"title": "Text", "kind": "text", "text": "**bold**"},
]


def _put(server: Any, slug: str, **body: Any) -> None:
    answer = server.client.put(f"/api/mamimon/dashboards/{slug}", json={"title": slug, **body})
    assert answer.status_code == 200, answer.text


def _live(server: Any, slug: str, *keys: int | str) -> dict[str, Any]:
    answer = server.client.get(
        f"/dashboards/{slug}/live", params={"keys": ",".join(map(str, keys)), "since": "1h"}
    )
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json()
    return found


def test_every_kind_of_panel_shows_and_goes_out_as_csv(server: Any) -> None:
    """Each kind has a body or a chart without an error, live as well, and a table of what it shows."""
    wait_until(lambda: server.client.get("/api/v1/query?query=up").json()["data"]["result"])
    line = {"level": "ERROR", "path": "=cmd()", "message": "model is away"}
    assert server.client.post("/es/logs-app/_doc", json=line).status_code == 201
    _put(server, "every", panels=EVERY)
    page = server.client.get("/dashboards/every?since=1h", headers=HTML).text
    assert "error-box" not in page
    assert "model is away" in page
    assert ">fine<" in page
    assert "crit-text" in page
    assert "<b>bold</b>" in page
    panels = _live(server, "every", *range(len(EVERY)))["panels"]
    for index, one in enumerate(EVERY):
        if one["kind"] in {"row"}:
            continue
        found = panels[str(index)]
        assert not found.get("chart", {}).get("error"), (one, found)
        table = server.client.get(f"/dashboards/every/csv/{index}?since=1h")
        assert table.status_code == 200, table.text
        assert next(csv.reader(io.StringIO(table.text)))
    rows = list(csv.reader(io.StringIO(server.client.get("/dashboards/every/csv/7?since=1h").text)))
    assert rows[0] == ["instance", "job", "value", "twice"]
    assert rows[1][2:] == ["1.0", "2.0"]
    top = server.client.get("/dashboards/every/csv/11?since=1h").text
    assert "'=cmd()" in top
    assert server.client.get("/dashboards/every/csv/99").status_code == 404


def test_viewers_share_answers_until_the_next_refresh(server: Any, clock: Any) -> None:
    """Panels asked again within the refresh are not evaluated again; after it, or saved anew, they are."""
    wait_until(lambda: server.client.get("/api/v1/query?query=up").json()["data"]["result"])
    panels = [{"title": "A", "kind": "stat", "queries": [{"expr": "sum(up)"}]}] * 3
    _put(server, "busy", panels=panels, refresh_s=10)
    boards = next(room for room in server.server.house.rooms if room.name == "dashboards").boards
    first = _live(server, "busy", 0, 1, 2)
    made = boards.answers.made
    assert [_live(server, "busy", 0, 1, 2) for _ in range(5)] == [first] * 5
    assert boards.answers.made == made
    _put(server, "busy", panels=[{**panels[0], "texts": {"1": "one"}}], refresh_s=10)
    assert ">one<" in _live(server, "busy", 0)["panels"]["0"]["html"]
    made = boards.answers.made
    settled(clock)
    clock.advance(10)
    _live(server, "busy", 0)
    assert boards.answers.made > made


async def test_a_shared_answer_survives_those_who_leave() -> None:
    """One answer is made for all who wait; who leaves does not take it away, a failure is not kept."""
    answers, asked, ready = SharedAnswers(most=2), 0, asyncio.Event()

    async def make() -> int:
        nonlocal asked
        asked += 1
        await ready.wait()
        return asked

    first = asyncio.create_task(answers.get("a", 0, 10, make))
    others = [asyncio.create_task(answers.get("a", 0, 10, make)) for _ in range(5)]
    await asyncio.sleep(0)
    first.cancel()
    ready.set()
    assert await asyncio.gather(*others) == [1] * 5
    assert await answers.get("a", 9, 10, make) == 1
    assert await answers.get("a", 9, 10, make, fresh=True) == 2
    assert await answers.get("a", 10, 10, make) == 3

    ready.clear()
    leaving = [asyncio.create_task(answers.get("a", 20, 10, make)) for _ in range(2)]
    await asyncio.sleep(0)
    for one in leaving:
        one.cancel()
    await asyncio.wait(leaving)
    ready.set()
    assert asked == 4
    assert await answers.get("a", 20, 10, make) == 5  # what nobody waited for was given up

    async def fail() -> int:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await answers.get("b", 0, 10, fail)
    assert await answers.get("b", 0, 10, make) == 6


def test_links_and_titles_hold_what_is_picked(server: Any) -> None:
    """`$name` in a link is the picked value, quoted for an address; in a title it is as it is."""
    links = [{"title": "Run book of $app", "url": "https://wiki.example.com/?q=$app"}]
    variables = [{"name": "app", "kind": "list", "values": ["a b", "c"], "all": False}]
    panels = [{"title": "Of $app", "kind": "text", "text": "**$app**"}]
    _put(server, "linked", links=links, variables=variables, panels=panels)
    page = server.client.get("/dashboards/linked?var-app=a%20b", headers=HTML).text
    assert '<a href="https://wiki.example.com/?q=a%20b" rel="noreferrer">Run book of a b</a>' in page
    assert ">Of a b</h2>" in page
    assert "<b>a b</b>" in page
    assert ">Of c</h2>" in server.client.get("/dashboards/linked?var-app=c", headers=HTML).text


def test_deploys_are_marked(server: Any) -> None:
    """A deploy of the window is in the answer of the panels, for the charts to draw."""
    _put(server, "marked", panels=[{"title": "A", "kind": "timeseries", "queries": [{"expr": "up"}]}])
    assert server.client.post("/api/mamimon/deploys", json={"version": "1.4.2"}).status_code == 201
    assert [one["label"] for one in _live(server, "marked", 0)["marks"]] == ["1.4.2"]
    _put(server, "marked", panels=[], marks=False)
    assert _live(server, "marked", 0)["marks"] == []


def test_only_named_people_see_and_change(server: Any) -> None:
    """Viewers and editors of a dashboard are named; others are refused, and administrators are not."""
    people = {"ada": "admin", "efe": "editor", "vera": "viewer", "oya": "editor"}
    for name, role in people.items():
        body = {"name": name, "role": role, "password": f"a long password of {name}"}
        made = server.client.post(
            "/api/mamimon/users", json=body, auth=None if name == "ada" else _auth("ada")
        )
        assert made.status_code < 300, made.text
    body = {"title": "Ours", "viewers": ["vera"], "editors": ["efe"], "panels": []}
    put = lambda who: server.client.put("/api/mamimon/dashboards/ours", json=body, auth=_auth(who))  # noqa: E731
    assert put("efe").status_code == 200
    seen = {who: server.client.get("/dashboards/ours", auth=_auth(who)).status_code for who in people}
    assert seen == {"ada": 200, "efe": 200, "vera": 200, "oya": 403}
    assert {who: put(who).status_code for who in people} == {"ada": 200, "efe": 200, "vera": 403, "oya": 403}
    listed = {
        who: "ours" in server.client.get("/api/mamimon/dashboards", auth=_auth(who)).text for who in people
    }
    assert listed == {"ada": True, "efe": True, "vera": True, "oya": False}
    for path in ("live?keys=0", "csv/0", "edit", "history", "share"):
        assert server.client.get(f"/dashboards/ours/{path}", auth=_auth("oya")).status_code == 403, path
    assert "Edit" not in server.client.get("/dashboards/ours", auth=_auth("vera")).text
    # The link opens it for everybody, and nothing else.
    made = server.client.post(
        "/dashboards/ours/share", data={"days": "1", "query": "since=6h"}, auth=_auth("efe")
    )
    token = made.text.split("/shared/")[1].split('"')[0]
    assert server.client.get(f"/shared/{token}").status_code == 200
    assert server.client.get(f"/shared/{token}/live?keys=0").status_code == 200
    assert server.client.get("/dashboards/ours").status_code == 401
    assert server.client.get(f"/shared/{'x' * 43}").status_code == 404


def _auth(name: str) -> tuple[str, str]:
    return name, f"a long password of {name}"


def test_a_link_ends_with_its_time(server: Any, clock: Any) -> None:
    """A link of a day shows nothing the day after; one for ever does."""
    links = {}
    for days in ("1", ""):
        page = server.client.post("/dashboards/api-performance/share", data={"days": days, "query": ""}).text
        links[days] = page.split("/shared/")[1].split('"')[0]
    assert server.client.post("/dashboards/api-performance/share", data={"days": "2"}).status_code == 400
    settled(clock)
    clock.advance(86_401)
    assert server.client.get(f"/shared/{links['1']}").status_code == 404
    assert server.client.get(f"/shared/{links['']}").status_code == 200


def test_a_folder_of_files_is_read_and_read_again(
    start: Callable[..., Any], tmp_path: Path, clock: Any
) -> None:
    """Files of ours and of Grafana are read; a change arrives by itself, a mistake keeps the old one."""
    folder = tmp_path / "boards"
    folder.mkdir()
    (folder / "team.yaml").write_text(
        "title: Team\npanels: [{title: Up, kind: stat, queries: [{expr: up}]}]\n"
    )
    (folder / "taken.json").write_text(json.dumps({"slug": "api-performance", "title": "Mine"}))
    grafana = {"title": "G", "schemaVersion": 39, "panels": [{"type": "stat", "targets": [{"expr": "up"}]}]}
    (folder / "from grafana.json").write_text(json.dumps(grafana))
    server = start(dashboards={"folder": str(folder)})
    origins = {one["slug"]: one["origin"] for one in server.client.get("/api/mamimon/dashboards").json()}
    assert (origins["team"], origins["from-grafana"]) == ("file", "file")
    page = server.client.get("/dashboards", headers=HTML).text
    assert "taken.json" in page
    assert server.client.put("/api/mamimon/dashboards/team", json={"title": "x"}).status_code == 409
    (folder / "team.yaml").write_text("title: Team two\npanels: []\n")
    (folder / "from grafana.json").write_text("{")
    _look_again(
        server, clock, lambda: server.client.get("/api/mamimon/dashboards/team").json()["title"] == "Team two"
    )
    assert server.client.get("/api/mamimon/dashboards/from-grafana").status_code == 200
    assert "from grafana.json" in server.client.get("/dashboards", headers=HTML).text
    (folder / "team.yaml").unlink()
    _look_again(server, clock, lambda: server.client.get("/api/mamimon/dashboards/team").status_code == 404)


def _look_again(server: Any, clock: Any, done: Callable[[], bool]) -> None:
    for path in (server.settings.dashboards.folder,):
        assert os.path.isdir(path)  # noqa: PTH112

    def moved() -> bool:
        settled(clock)
        clock.advance(5)
        return done()

    wait_until(moved, 60, "the folder to be read again")


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("# A", "<h3>A</h3>"),
        ("a\nb", "<p>a<br>b</p>"),
        ("- a\n- b\n\n1. c", "<ul><li>a</li><li>b</li></ul><ol><li>c</li></ol>"),
        ("`**x**` *y*", "<p><code>**x**</code> <i>y</i></p>"),
        ("[a](https://b.c/d_e_f)", '<p><a href="https://b.c/d_e_f" rel="noreferrer">a</a></p>'),
        ("[a](javascript:alert)", "<p>[a](javascript:alert)</p>"),
        ("<img src=x onerror=y>", "<p>&lt;img src=x onerror=y&gt;</p>"),
        ('[a](https://b"onclick=c)', '<p><a href="https://b&quot;onclick=c" rel="noreferrer">a</a></p>'),
        ("```\n<b>\n```", "<pre>&lt;b&gt;</pre>"),
        ("\x000\x00 `c`", "<p>0 <code>c</code></p>"),
    ],
)
def test_markdown_is_safe(text: str, html: str) -> None:
    """Marks become tags, and nothing that was written becomes one."""
    assert to_html(text) == html


@pytest.mark.parametrize("coding", ["gzip", "identity"])
def test_the_head_of_a_page_does_not_wait_for_its_panels(
    server: Any, monkeypatch: pytest.MonkeyPatch, coding: str
) -> None:
    """What stands above the panels arrives while they are asked, compressed or not; then they come."""
    _put(server, "slow", panels=[{"title": "A", "kind": "stat", "queries": [{"expr": "vector(7)"}]}])
    boards = next(room for room in server.server.house.rooms if room.name == "dashboards").boards
    asked, gate = boards.bodies, threading.Event()

    async def held(*arguments: Any) -> Any:
        await asyncio.to_thread(gate.wait, 60)
        return await asked(*arguments)

    monkeypatch.setattr(boards, "bodies", held)
    headers = {**HTML, "Accept-Encoding": coding}
    with server.client.stream("GET", "/dashboards/slow", headers=headers) as answer:
        assert answer.headers.get("content-encoding", "identity") == coding
        texts = answer.iter_text()
        text = ""
        while "<h1>" not in text:
            text += next(texts)
        assert "panel-0" not in text
        gate.set()
        text += "".join(texts)
    assert '<span class="stat">7</span>' in text
    assert text.rstrip().endswith("</html>")


@pytest.mark.parametrize("asked", ["/dashboards/slow", "/dashboards/slow/live?keys=0"])
def test_panels_are_given_up_when_the_reader_leaves(
    server: Any, monkeypatch: pytest.MonkeyPatch, asked: str
) -> None:
    """Who closes the page takes the questions of its panels along, whether its head was out or not."""
    _put(server, "slow", panels=[{"title": "A", "kind": "stat", "queries": [{"expr": "vector(7)"}]}])
    boards = next(room for room in server.server.house.rooms if room.name == "dashboards").boards
    panel, bodies = Endless(), boards.bodies
    monkeypatch.setattr("mamimon.dashboards.boards.fill", panel.ask)
    monkeypatch.setattr(boards, "bodies", lambda opened, render: bodies(opened, render, 3600.0))
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as reader:
        reader.sendall(f"GET {asked} HTTP/1.1\r\nHost: {host}\r\nAccept: text/html\r\n\r\n".encode())
        assert panel.begun.wait(60)
        assert not panel.given_up.is_set()
    assert panel.given_up.wait(60)


def test_the_errors_of_a_window_are_those_of_it(server: Any) -> None:
    """A panel of errors shows what happened in the window, not since its beginning."""
    _put(server, "wrong", panels=[{"title": "E", "kind": "errors"}])
    key = server.client.get("/api/mamimon/errors/dsn").json()["dsn"].split("//")[1].split("@")[0]
    event = {"exception": {"values": [{"type": "KeyError", "value": "x"}]}}
    sent = server.client.post("/api/1/store/", params={"sentry_key": key}, json=event)
    assert sent.status_code == 200
    ask = lambda window: server.client.get(f"/dashboards/wrong?{window}", headers=HTML).text  # noqa: E731
    wait_until(lambda: "KeyError" in ask("since=1h"), 30, "the error")
    assert "KeyError" not in ask("start=2020-01-01&end=2020-01-02")


def test_charts_are_sent_with_six_digits() -> None:
    """Values are told to six significant digits in the shortest text; what is absent or not finite stays."""
    values = [
        1 / 3,
        0.30000000000000004,
        -123456789.123,
        5e-324,
        1.7976931348623157e308,
        0.0,
        None,
        2,
        1e-9 / 7,
    ]
    found = lean({"times": [], "series": [{"name": "a", "values": values}], "error": ""})["series"][0][
        "values"
    ]
    assert json.dumps(found[:3]) == "[0.333333, 0.3, -123457000.0]"
    assert found[5:8] == [0.0, None, 2.0]
    for old, new in zip(values, found, strict=True):
        assert old is None or new == pytest.approx(old, rel=1e-5, abs=1e-320)
    assert len(json.dumps(found[8])) <= 12
    odd = [float("inf"), float("nan"), 1.0]
    assert str(lean({"series": [{"values": odd}]})["series"][0]["values"]) == "[inf, nan, 1.0]"
    heat = {"times": [1], "counts": [[1]]}
    assert lean(heat) is heat
