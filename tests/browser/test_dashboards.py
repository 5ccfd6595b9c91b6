"""Dashboards in a real browser: editing in place by mouse and keyboard, choices, and what is taken away."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.browser.pages import DESKTOP
from tests.conftest import Process, wait_until

pytestmark = [pytest.mark.browser, pytest.mark.feature("D2")]
PANELS = [
    {"title": "One", "kind": "stat", "queries": [{"expr": "sum(up)"}], "width": 3, "height": 4},
    {"title": "Two", "kind": "timeseries", "queries": [{"expr": "up"}], "width": 6, "height": 6},
    {"title": "Three", "kind": "text", "text": "# Hello\n**there** <script>alert(1)</script>", "width": 3},
]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """A server that scrapes itself each second."""
    folder = tmp_path_factory.mktemp("boards")
    (folder / "prometheus.yml").write_text("global: {scrape_interval: 1s}\n", encoding="utf-8")
    one = Process(folder / "data", "--prometheus-config", str(folder / "prometheus.yml"))
    with httpx.Client(base_url=one.url) as client:
        wait_until(lambda: client.get("/api/v1/query?query=up").json()["data"]["result"], 60, "a scrape")
    yield one
    one.kill()


@pytest.fixture
def client(running: Process) -> Iterator[httpx.Client]:
    """Asks the server."""
    with httpx.Client(base_url=running.url, timeout=30) as one:
        yield one


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A page that fails the test on an error of its scripts."""
    heard: list[str] = []
    one = browser.new_page(viewport=DESKTOP)
    one.on("pageerror", lambda error: heard.append(str(error)))
    one.on("dialog", lambda dialog: dialog.accept())
    yield one
    one.close()
    assert not heard


def _board(client: httpx.Client, slug: str, **more: Any) -> None:
    body = {"title": slug.title(), "panels": PANELS, **more}
    client.put(f"/api/mamimon/dashboards/{slug}", json=body).raise_for_status()


def _titles(page: Any) -> list[str]:
    found: list[str] = page.locator("#editor section h2").all_inner_texts()
    return found


def _saved(client: httpx.Client, slug: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = client.get(f"/api/mamimon/dashboards/{slug}").json()["panels"]
    return found


def test_moving_and_sizing_by_mouse_and_undo(running: Process, client: httpx.Client, page: Any) -> None:
    """A panel is dragged to another place and sized by its corner; both are undone, redone and saved."""
    _board(client, "mouse")
    page.goto(running.url + "/dashboards/mouse/edit")
    assert _titles(page) == ["One", "Two", "Three"]
    page.drag_and_drop("section[data-index='2'] header h2", "section[data-index='0'] header h2")
    wait_until(lambda: _titles(page) == ["Three", "One", "Two"], 60, "the new order")
    grip = page.locator("section[data-index='1'] [data-grip]")
    box = grip.bounding_box()
    page.mouse.move(box["x"] + 5, box["y"] + 5)
    page.mouse.down()
    page.mouse.move(box["x"] + 300, box["y"] + 80, steps=4)
    page.mouse.up()
    wait_until(lambda: page.locator("section[data-index='1'].w6.t6").count(), 60, "the new size")
    page.click("#undo")
    wait_until(lambda: page.locator("section[data-index='1'].w3.t4").count(), 60, "the old size")
    page.click("#undo")
    wait_until(lambda: _titles(page) == ["One", "Two", "Three"], 60, "the old order")
    assert page.locator("#undo").is_disabled()
    page.click("#redo")
    wait_until(lambda: _titles(page) == ["Three", "One", "Two"], 60, "the order again")
    page.click("#save")
    wait_until(lambda: [one["title"] for one in _saved(client, "mouse")] == ["Three", "One", "Two"], 60, "it")
    wait_until(lambda: page.locator("#edit-state").inner_text() == "saved", what="the word of it")


def test_editing_by_keyboard(running: Process, client: httpx.Client, page: Any) -> None:
    """Arrows move a panel, Shift and arrows size it, Enter edits it, Delete removes it, Ctrl+S saves."""
    _board(client, "keys")
    page.goto(running.url + "/dashboards/keys/edit")
    page.focus("section[data-index='0']")
    page.keyboard.press("ArrowRight")
    wait_until(lambda: _titles(page) == ["Two", "One", "Three"], 60, "the new order")
    wait_until(lambda: page.evaluate("document.activeElement.dataset.index") == "1", 60, "the focus")
    page.keyboard.press("Shift+ArrowRight")
    wait_until(lambda: page.locator("section[data-index='1'].w4").count(), 60, "wider")
    wait_until(lambda: page.evaluate("document.activeElement.dataset.index") == "1", 60, "the focus")
    page.keyboard.press("Shift+ArrowDown")
    wait_until(lambda: page.locator("section[data-index='1'].t5").count(), 60, "taller")
    wait_until(lambda: page.evaluate("document.activeElement.dataset.index") == "1", 60, "the focus")
    page.keyboard.press("Enter")
    page.locator("#panel-dialog input[name=title]").fill("Uno")
    page.keyboard.press("Enter")
    wait_until(lambda: _titles(page) == ["Two", "Uno", "Three"], 60, "the new title")
    page.focus("section[data-index='2']")
    page.keyboard.press("Delete")
    wait_until(lambda: _titles(page) == ["Two", "Uno"], 60, "one less")
    page.keyboard.press("Control+s")
    wait_until(lambda: [(p["title"], p.get("width", 6), p.get("height")) for p in _saved(client, "keys")]
               == [("Two", 6, 6), ("Uno", 4, 5)], 20, "the saved panels")  # fmt: skip


def test_a_panel_is_previewed_while_it_is_written(running: Process, client: httpx.Client, page: Any) -> None:
    """The dialog draws what the form says, shows the query's mistake, and hides fields without use."""
    _board(client, "preview")
    page.goto(running.url + "/dashboards/preview/edit")
    page.click("section[data-index='0'] [data-do=edit]")
    dialog = page.locator("#panel-dialog")
    wait_until(lambda: dialog.locator(".look .stat").first.inner_text() == "1", 60, "the number")
    dialog.locator("textarea[name=queries]").fill("sum(up) * 41 + 1")
    wait_until(lambda: dialog.locator(".look .stat").first.inner_text() == "42", 60, "the new number")
    dialog.locator("textarea[name=queries]").fill("sum((")
    wait_until(lambda: dialog.locator(".look .error-box").count(), 60, "the mistake")
    dialog.locator("select[name=kind]").select_option("timeseries")
    dialog.locator("textarea[name=queries]").fill("up")
    dialog.locator(".look figure.chart canvas").wait_for(timeout=60_000)
    assert not dialog.locator("textarea[name=text]").is_visible()
    dialog.locator("select[name=kind]").select_option("text")
    wait_until(lambda: dialog.locator("textarea[name=text]").is_visible(), 60, "the text")
    assert not dialog.locator("textarea[name=queries]").is_visible()
    dialog.locator("[data-close]").click()
    assert page.locator("#save").is_disabled()


def test_two_people_do_not_overwrite_each_other(running: Process, client: httpx.Client, page: Any) -> None:
    """What somebody else saved meanwhile is not lost: the second save says so."""
    _board(client, "both")
    page.goto(running.url + "/dashboards/both/edit")
    _board(client, "both", about="changed by somebody else")
    page.click("section[data-index='0'] [data-do=remove]")
    wait_until(lambda: _titles(page) == ["Two", "Three"], 60, "one less")
    page.click("#save")
    wait_until(lambda: "somebody saved" in page.locator("#edit-state").inner_text(), 60, "the conflict")
    assert len(_saved(client, "both")) == 3


def test_versions_differ_and_are_restored(running: Process, client: httpx.Client, page: Any) -> None:
    """The history shows what a save changed; an old version comes back as a new one."""
    _board(client, "past")
    _board(client, "past", about="a new purpose")
    page.goto(running.url + "/dashboards/past/edit")
    page.click("text=Versions")
    assert 'about": "a new purpose' in page.locator(".diff .added").first.inner_text()
    page.click("button:has-text('Restore')")
    page.wait_for_url("**/dashboards/past")
    assert "about" not in client.get("/api/mamimon/dashboards/past").json()
    page.goto(running.url + "/dashboards/past/history")
    assert page.locator("main tbody tr").count() == 3


def test_variables_chain_and_panels_repeat(running: Process, client: httpx.Client, page: Any) -> None:
    """A variable of the editor chooses among what the other leaves; a panel repeats for several values."""
    _board(client, "choices", variables=[
        {"name": "job", "label": "Job", "metric": "up", "value_of": "job"},
        {"name": "size", "label": "Size", "kind": "list", "values": ["1", "2", "3"], "multi": True},
    ])  # fmt: skip
    page.goto(running.url + "/dashboards/choices/edit")
    page.click("#open-settings")
    page.click("#add-variable")
    row = page.locator("#variables fieldset").last
    row.locator("[name=name]").fill("host")
    row.locator("[name=label]").fill("Host")
    row.locator("[name=metric]").fill('up{job=~"$job"}')
    row.locator("[name=value_of]").fill("instance")
    row.locator("[name=all]").uncheck()
    page.locator("#settings-dialog button.p").click()
    page.click("section[data-index='0'] [data-do=edit]")
    dialog = page.locator("#panel-dialog")
    dialog.locator("input[name=title]").fill("Times $size on $host")
    dialog.locator("textarea[name=queries]").fill('sum(up{instance="$host"}) * $size')
    dialog.locator("select[name=repeat]").select_option("size")
    dialog.locator("button.p").click()
    repeated = page.locator("#editor section[data-index='0']")
    wait_until(lambda: repeated.count() == 3, 60, "three panels")
    page.click("#done")
    page.wait_for_url("**/dashboards/choices")
    host = page.locator("select[name=var-host] option").first.get_attribute("value")
    assert host
    assert page.locator("section[data-index='0'] .stat").all_inner_texts() == ["1", "2", "3"]
    assert page.locator("section[data-index='0'] h2").first.inner_text() == f"Times 1 on {host}"
    page.locator("details.multi summary").click()
    page.check("details.multi input[value='3']")
    page.check("details.multi input[value='2']")
    page.click("details.multi button")
    page.wait_for_url("**var-size=2&var-size=3**")
    assert page.locator("section[data-index='0'] .stat").all_inner_texts() == ["2", "3"]


def test_text_panels_are_safe_and_pictures_and_tables_can_be_taken(
    running: Process, client: httpx.Client, page: Any, tmp_path: Path
) -> None:
    """Markdown runs nothing; a chart is saved as PNG and CSV, and fills the screen until Escape."""
    _board(client, "away")
    page.goto(running.url + "/dashboards/away")
    page.wait_for_selector("section[data-key='1'] figure.chart[data-points] canvas", timeout=60_000)
    assert page.locator(".text h3").inner_text() == "Hello"
    assert "<script>" in page.locator(".text").inner_text()
    panel = page.locator("section[data-key='1']")
    panel.locator("summary").click()
    with page.expect_download() as picture:
        panel.locator("[data-png]").click()
    picture.value.save_as(tmp_path / "one.png")
    assert (tmp_path / "one.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    panel.locator("summary").click()
    with page.expect_download() as table:
        panel.locator("a[download]").click()
    table.value.save_as(tmp_path / "one.csv")
    assert (tmp_path / "one.csv").read_text().splitlines()[0].startswith("time,")
    panel.locator("summary").click()
    panel.locator("[data-full]").click()
    assert panel.bounding_box()["width"] == DESKTOP["width"]
    page.keyboard.press("Escape")
    assert panel.bounding_box()["width"] < DESKTOP["width"]


def test_a_shared_link_shows_only_the_dashboard(
    running: Process, client: httpx.Client, browser: Any, page: Any
) -> None:
    """Whoever has the link sees live panels without menus; taken back, it shows nothing."""
    _board(client, "shown")
    page.goto(running.url + "/dashboards/shown")
    page.click("summary:has-text('Share')")
    page.click("text=Link for others")
    page.click("text=Make a link")
    link = page.input_value("#link")
    other = browser.new_page(viewport=DESKTOP)
    other.goto(link if link.startswith("http") else running.url + link)
    other.wait_for_selector("figure.chart[data-points] canvas", timeout=60_000)
    assert other.locator(".stat").first.inner_text() == "1"
    assert other.locator("nav, main form, details").count() == 0
    page.click("text=Take back")
    assert other.reload().status == 404
    other.close()


def test_a_lost_server_is_said_and_found_again(running: Process, client: httpx.Client, page: Any) -> None:
    """While the server does not answer the page keeps its numbers and says that it tries again."""
    _board(client, "lost", refresh_s=5)
    page.clock.install()
    page.goto(running.url + "/dashboards/lost")
    page.wait_for_selector("figure.chart[data-points] canvas", timeout=60_000)
    page.route("**/live?**", lambda route: route.abort())
    page.clock.fast_forward(6_000)
    wait_until(lambda: page.get_attribute("#live-state", "data-state") == "lost", 60, "lost")
    assert page.locator(".stat").first.inner_text() == "1"
    page.unroute("**/live?**")
    page.clock.fast_forward(11_000)
    wait_until(lambda: page.get_attribute("#live-state", "data-state") == "live", 60, "live again")


def test_a_time_is_asked_for_in_words_and_by_brush(
    running: Process, client: httpx.Client, browser: Any, page: Any
) -> None:
    """`now-1d/d` is a day of the browser's own zone; dragging over a chart shows that part of it."""
    _board(client, "times", variables=[{"name": "job", "metric": "up", "value_of": "job"}])
    context = browser.new_context(viewport=DESKTOP, timezone_id="Europe/Istanbul")
    there = context.new_page()
    there.goto(running.url + "/dashboards/times?var-job=mamimon")
    there.locator("details.times summary").click()
    there.fill("input[name=start]:visible", "now-1d/d")
    there.fill("input[name=end]:visible", "now-1d/d")
    there.click("details.times button")
    there.wait_for_url("**tz=Europe%2FIstanbul**")
    assert "var-job=mamimon" in there.url
    live = there.get_attribute(".board", "data-live")
    found = httpx.URL(live).params
    assert float(found["end"]) - float(found["start"]) == 86_400
    assert float(found["start"]) % 86_400 == 21 * 3600
    context.close()

    page.goto(running.url + "/dashboards/times?since=5m")
    page.wait_for_selector("figure.chart[data-points] canvas", timeout=60_000)
    box = page.locator("figure.chart .u-over").bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.9, box["y"] + 20, steps=4)
    page.mouse.up()
    page.wait_for_url("**start=*")
    assert page.locator(".choices a.btn").count() == 1


def test_a_dashboard_goes_out_as_pdf(running: Process, client: httpx.Client, browser: Any, page: Any) -> None:
    """ "Print" opens a page in the size of A4 landscape with every panel drawn, light, and prints it."""
    tall = [{**PANELS[1], "title": f"Chart {i}"} for i in range(12)]
    _board(client, "paper", panels=[*PANELS, *tall])
    context = browser.new_context(viewport=DESKTOP, color_scheme="dark")
    context.add_init_script("window.print = () => { window.printed = (window.printed || 0) + 1; }")
    there = context.new_page()
    there.goto(running.url + "/dashboards/paper?since=5m")
    there.click("summary:has-text('Share')")
    with context.expect_page() as opened:
        there.click("text=Print or save as PDF")
    paper = opened.value
    wait_until(lambda: paper.evaluate("window.printed"), 60, "the printing")
    assert paper.locator("figure.chart[data-points] canvas").count() == 13
    assert paper.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(251, 251, 250)"
    body = paper.pdf(prefer_css_page_size=True, print_background=True)
    context.close()
    assert body.startswith(b"%PDF-")
    sizes = re.findall(rb"/MediaBox \[0 0 ([\d.]+) ([\d.]+)\]", body)
    assert {(round(float(wide)), round(float(high))) for wide, high in sizes} == {(842, 595)}
    assert 2 <= len(sizes) <= 5
    assert body.count(b"/Subtype /Image") >= 13


def test_a_folder_of_files_is_shown_and_copied(browser: Any, tmp_path: Path) -> None:
    """A YAML file is a dashboard that is not edited in place but copied; a changed file arrives by itself."""
    folder = tmp_path / "boards"
    folder.mkdir()
    text = "title: Team\npanels: [{title: Seven, kind: stat, queries: [{expr: vector(7)}]}]\n"
    (folder / "team.yaml").write_text(text, encoding="utf-8")
    server = Process(tmp_path / "data", env={"MAMIMON_DASHBOARDS__FOLDER": str(folder)})
    page = browser.new_page(viewport=DESKTOP)
    try:
        page.goto(server.url + "/dashboards")
        page.click("main >> text=Team")
        assert page.locator(".stat").inner_text() == "7"
        assert page.locator("a:text-is('Edit')").count() == 0
        (folder / "team.yaml").write_text(text.replace("vector(7)", "vector(8)"), encoding="utf-8")

        def changed() -> bool:
            page.reload()
            return bool(page.locator(".stat").inner_text() == "8")

        wait_until(changed, 60, "the changed file")
        page.click("button:text-is('Copy')")
        page.wait_for_url("**/dashboards/team-2/edit")
        (folder / "team.yaml").write_text("title: [", encoding="utf-8")

        def told() -> bool:
            page.goto(server.url + "/dashboards")
            return "team.yaml" in page.inner_text("main")

        wait_until(told, 60, "the problem of the file")
    finally:
        page.close()
        server.kill()


def test_named_people_by_the_settings_dialog(browser: Any, tmp_path: Path) -> None:
    """An editor names who may see and who may change; the others' pages say so, with nothing to click."""
    server = Process(tmp_path / "data")
    contexts = {}
    try:
        with httpx.Client(base_url=server.url, timeout=30) as one:
            for name, role in (("ada", "admin"), ("efe", "editor"), ("oya", "editor"), ("vera", "viewer")):
                body = {"name": name, "role": role, "password": f"a long password of {name}"}
                auth = None if name == "ada" else ("ada", "a long password of ada")
                one.post("/api/mamimon/users", json=body, auth=auth).raise_for_status()
                token = base64.b64encode(f"{name}:a long password of {name}".encode()).decode()
                headers = {"Authorization": f"Basic {token}"}
                contexts[name] = browser.new_context(viewport=DESKTOP, extra_http_headers=headers)
        pages = {name: context.new_page() for name, context in contexts.items()}
        efe = pages["efe"]
        efe.goto(server.url + "/dashboards")
        efe.fill("input[name=title]", "Ours")
        efe.click("text=Make a dashboard")
        efe.wait_for_url("**/edit*")
        efe.wait_for_load_state("load")  # the button is there before its script
        efe.click("#open-settings")
        efe.fill("#settings-dialog input[name=viewers]", "vera")
        efe.fill("#settings-dialog input[name=editors]", "efe")
        efe.click("#settings-dialog button.p")
        efe.click("#done")
        efe.wait_for_url("**/dashboards/ours")
        address = server.url + "/dashboards/ours"
        assert {name: page.goto(address).status for name, page in pages.items()} == {
            "ada": 200, "efe": 200, "oya": 403, "vera": 200,
        }  # fmt: skip
        assert "for other people" in pages["oya"].inner_text("main")
        assert pages["vera"].locator("a:text-is('Edit')").count() == 0
        pages["oya"].goto(server.url + "/dashboards")
        assert "Ours" not in pages["oya"].inner_text("main")
        pages["ada"].click("a:text-is('Edit')")
        pages["ada"].wait_for_url("**/dashboards/ours/edit")
    finally:
        for context in contexts.values():
            context.close()
        server.kill()


def test_a_link_with_a_variable_is_clicked(running: Process, client: httpx.Client, page: Any) -> None:
    """A dashboard's link goes where the picked value says."""
    links = [{"title": "Details of $job", "url": "/dashboards/target?var-job=$job"}]
    variables = [{"name": "job", "metric": "up", "value_of": "job", "all": False}]
    _board(client, "leads", links=links, variables=variables)
    _board(client, "target", variables=[{"name": "job", "metric": "up", "value_of": "job"}])
    page.goto(running.url + "/dashboards/leads?var-job=mamimon")
    page.click("text=Details of mamimon")
    page.wait_for_url("**/dashboards/target?var-job=mamimon")
    assert page.input_value("select[name=var-job]") == "mamimon"
