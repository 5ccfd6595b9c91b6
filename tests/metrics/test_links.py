"""Links from Prometheus' pages and queries of several lines."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl

import pytest

from mamimon.metrics.links import asked_for, one_line

MULTI = "sum # of all\nby (job) (\n  up{a=\"#1\",\n b='x#'}\n)"
ONE = "sum by (job) ( up{a=\"#1\", b='x#'} )"


@pytest.mark.feature("M8")
@pytest.mark.parametrize(
    ("query", "asked", "window"),
    [
        ("g0.expr=up&g0.tab=1&g0.range_input=2h", [("up", "table")], {"since": "2h"}),
        ("g1.expr=b&g1.stacked=1&g0.expr=a&g0.tab=0", [("a", "line"), ("b", "stack")], {}),
        ("g0.expr=a&g0.display_mode=heatmap&g0.tab=graph", [("a", "heat")], {}),
        ("g10.expr=z&g9.expr=y&g2.expr=&g0.step_input=5", [("y", "line"), ("z", "line")], {}),
        (
            "g0.expr=a&g0.range_input=30m&g0.end_input=2026-11-28 10:00:00",
            [("a", "line")],
            {"start": "1795858200.000", "end": "1795860000.000"},
        ),
        ("g0.expr=a&g0.range_input=30m&g0.end_input=soon", [("a", "line")], {"since": "30m"}),
        ("expr=a&gx.expr=b&g0.exprs=c", [], {}),
    ],
)
def test_links_of_prometheus(query: str, asked: Any, window: Any) -> None:
    """Queries in the order of their numbers, each as it was shown, and the window of the first."""
    assert asked_for(parse_qsl(query, keep_blank_values=True)) == (asked, window)


@pytest.mark.feature("M8")
def test_a_query_of_several_lines_fits_a_field() -> None:
    """Lines become blanks and comments go, but not what only looks like one in a text."""
    assert one_line(MULTI) == ONE
    assert one_line("# nothing\n\n") == ""
    assert one_line("a\r\n+ b") == "a + b"
    assert one_line(r'up{a="\"#",b=`#`} # c') == r'up{a="\"#",b=`#`}'


@pytest.mark.feature("M8")
def test_where_prometheus_3_has_its_graphs(server: Any) -> None:
    """`/query?g0.expr=…` leads to the same query on our page, also one of several lines."""
    moved = server.client.get("/query", params={"g0.expr": MULTI, "g0.tab": "1"})
    assert moved.status_code == 302
    page = server.client.get(moved.headers["location"]).text
    assert 'value="sum by (job) ( up{a=&#34;#1&#34;, b=&#39;x#&#39;} )"' in page
    assert '<option value="table" selected>' in page


@pytest.mark.browser
@pytest.mark.feature("M8")
def test_a_pasted_query_of_several_lines(server: Any, browser: Any) -> None:
    """Pasting joins the lines with blanks; on a phone the field has the whole width."""
    page = browser.new_page(viewport={"width": 360, "height": 740})
    page.goto(server.url + "/graph")
    box = page.locator(".query .q")
    box.evaluate(
        """(box, text) => {
          const data = new DataTransfer();
          data.setData("text/plain", text);
          box.focus();
          const init = { clipboardData: data, bubbles: true, cancelable: true };
          box.dispatchEvent(new ClipboardEvent("paste", init));
        }""",
        MULTI,
    )
    assert box.input_value() == ONE
    assert box.bounding_box()["width"] > 300
    page.goto(server.url + "/cardinality")
    tab = page.locator(".tabs [aria-current]").bounding_box()
    assert tab["x"] + tab["width"] <= 361, "the tab of this page is in view"
    page.close()
