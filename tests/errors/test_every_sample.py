"""Every sample there is has its page: opened, complete, without a missing value shown as a word."""

from __future__ import annotations

import gzip
import html
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mamimon.errors.pages import PAGE
from mamimon.errors.wire.envelope import parse_envelope
from mamimon.http import decompress
from tests.errors.test_doors import dsn_of, envelope, issues, item, post

pytestmark = pytest.mark.feature("E5")
MISSING = re.compile(r"\b(None|undefined|NaN|Undefined)\b|\[object \w+\]")
CORPUS = Path(__file__).parent / "corpus"


def texts(value: Any) -> Iterator[str]:
    """Every text of a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, one in value.items():
            yield key
            yield from texts(one)
    elif isinstance(value, list):
        for one in value:
            yield from texts(one)


def missing(page: str, event: Any) -> list[str]:
    """Words for a missing value on a page that are not the event's own."""
    seen = html.unescape(re.sub(r"<[^>]*>", " ", page))
    own = {one.strip() for one in texts(event) if MISSING.search(one)}
    lines = {line.strip() for one in own for line in one.splitlines() if MISSING.search(line)}
    for one in sorted(own | lines, key=len, reverse=True):
        seen = seen.replace(one, " ").replace(json.dumps(one, ensure_ascii=False)[1:-1], " ")
    return [seen[max(0, found.start() - 60) : found.end() + 20] for found in MISSING.finditer(seen)]


def samples(folder: Path) -> Iterator[tuple[str, dict[str, Any], bytes]]:
    """Name, request and body of each sample."""
    for path in sorted(folder.rglob("*.body")):
        yield path.stem, json.loads(path.with_suffix(".json").read_text()), path.read_bytes()


def test_every_sample_of_real_clients(server: Any, material: Path) -> None:
    """Each event that clients sent to the material's recorder has its page, its JSON and its Markdown."""
    key = dsn_of(server)[1]
    opened = 0
    for name, request, body in samples(material / "sentry"):
        headers = {one.lower(): value for one, value in request["headers"]}
        kept = {k: v for k, v in headers.items() if k in {"content-encoding", "content-type"}}
        kept["X-Sentry-Auth"] = f"Sentry sentry_key={key}"
        store = "/store/" in request["path"]
        path = "/api/1/store/" if store else "/api/1/envelope/"
        answer = server.client.post(path, content=body, headers=kept)
        assert answer.status_code == 200, f"{name}: {answer.text}"
        for sent in events_of(body, headers.get("content-encoding", ""), store):
            where = server.client.get(f"/api/mamimon/errors/events/{sent}").json()
            url = f"/errors/{where['issue']}/events/{sent}"
            assert_whole(server, url, name)
            assert server.client.get(f"{url}.md").text.startswith("# ")
            opened += 1

    assert opened >= 40


def events_of(body: bytes, encoding: str, store: bool) -> list[str]:
    """The ids of the error events in a body."""
    plain = decompress(body, encoding, 1 << 26)
    if store:
        payload = json.loads(plain)
        return [payload["event_id"]] if payload.get("type") != "transaction" else []
    parsed = parse_envelope([plain], lambda _: 1 << 26)
    found = []
    for one in parsed.items:
        if one.type == "event":
            payload = json.loads(bytes(one.payload))
            found.append((payload.get("event_id") or parsed.header["event_id"]).replace("-", ""))
    return found


def test_every_issue_of_the_corpus(server: Any) -> None:
    """Each issue that the labelled corpus makes has its page, and is in the list."""
    for path in sorted(CORPUS.glob("*.json.gz")):
        rows = [json.loads(line)["event"] for line in gzip.decompress(path.read_bytes()).splitlines()]
        for start in range(0, len(rows), 60):
            items = [item({**row, "timestamp": None}) for row in rows[start : start + 60]]
            assert post(server, envelope(*items)).status_code == 200
    found = issues(server, limit=500)
    for one in found:
        assert_whole(server, one["url"], one["title"])
    numbers = range(1, len(found) // PAGE + 2)
    pages = [server.client.get(f"/errors?page={page}&status=all").text for page in numbers]

    assert len(found) > 100
    assert all(f'href="{one["url"]}"' in "".join(pages) for one in found)
    assert [missing(page, [one["title"] for one in found]) for page in pages] == [[]] * len(pages)


def assert_whole(server: Any, url: str, name: str) -> None:
    """The page opens and shows no word for a missing value."""
    page = server.client.get(url)
    assert page.status_code == 200, f"{name}: {url}"
    issue = int(url.split("/")[2])
    detail = server.client.get(f"/api/mamimon/errors/issues/{issue}").json()
    at = url.split("/events/")
    own = server.client.get(f"/api/mamimon/errors/issues/{issue}/events/{at[1]}").json() if at[1:] else None
    similar = [one["title"] for one in issues(server, limit=500)] if MISSING.search(page.text) else []
    wrong = missing(page.text, [detail, own, similar])
    assert not wrong, f"{name}: {url}: {wrong}"
