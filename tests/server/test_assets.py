"""Pages and what they are made of go out compressed, and are asked for again at the cost of a 304."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from mamimon.server.assets import assets

pytestmark = pytest.mark.feature("D6")


@pytest.mark.parametrize("coding", ["br", "gzip", "identity"])
def test_assets_come_in_the_form_that_is_taken(server: Any, coding: str) -> None:
    """A file is the same in every coding; asked again with its tag it is not sent again."""
    answer = server.client.get("/static/charts.js", headers={"Accept-Encoding": coding})
    assert answer.content == assets()["charts.js"].plain
    assert answer.headers.get("content-encoding", "identity") == coding
    assert answer.headers["content-type"].startswith("text/javascript")
    tag = {"Accept-Encoding": coding, "If-None-Match": answer.headers["etag"]}
    again = server.client.get("/static/charts.js", headers=tag)
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize(
    "path", ["none.js", "../templates/base.html", "%2e%2e/templates/base.html", "vendor", ""]
)
def test_only_the_files_of_the_folder_are_there(server: Any, path: str) -> None:
    """Any other path answers 404."""
    raw = httpx.Client(base_url=server.url).build_request("GET", "/")
    raw.url = httpx.URL(server.url, raw_path=b"/static/" + path.encode())
    assert server.client.send(raw).status_code == 404


def test_pages_are_compressed_and_answers_of_the_api_are_not(server: Any) -> None:
    """HTML is gzipped where the browser takes it; JSON, which programs ask for all day, is left alone."""
    page = server.client.get("/dashboards", headers={"Accept": "text/html", "Accept-Encoding": "gzip"})
    assert page.headers["content-encoding"] == "gzip"
    assert page.text == server.client.get("/dashboards", headers={"Accept-Encoding": "identity"}).text
    assert "content-encoding" not in server.client.get("/api/mamimon/dashboards").headers
