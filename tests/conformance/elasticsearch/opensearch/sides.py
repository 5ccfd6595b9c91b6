"""The two that are compared: an OpenSearch node and mamimon, given the same documents and mappings."""

from __future__ import annotations

import asyncio
import re
import socket
import subprocess
from pathlib import Path
from typing import Any

import httpx
import msgspec

from mamimon.clock import ManualClock
from mamimon.config import Settings
from mamimon.logs.dates import iso
from mamimon.server.run import Server
from tests.conformance.elasticsearch.opensearch.documents import Shop
from tests.conformance.elasticsearch.opensearch.requests import Request
from tests.conftest import Running, peer, wait_until
from tests.logs.test_query_fuzz import sealed

NOW = 1_795_867_200.0
"""2026-11-28T12:00:00Z, at which the documents end and mamimon's clock stands."""
_PAGES = 4
_NOW = re.compile(r'(?<=["\s])now(?=([-+/])|["\]])')
WORDS = {"analysis": {"analyzer": {"default": {"type": "pattern", "pattern": r"[^\p{L}\p{N}_]+"}}}}
"""Text is cut into words as mamimon cuts it; the standard analyzer keeps `a.b` and `3:4` whole."""


class Reply(msgspec.Struct):
    """An answer: its status and its body as JSON, or as text where it is none."""

    status: int
    body: Any


class Side:
    """The door of either."""

    def __init__(self, url: str) -> None:
        self.client = httpx.Client(base_url=url, timeout=180)

    def send(
        self, method: str, path: str, params: dict[str, str] | None = None, content: bytes = b""
    ) -> Reply:
        """One request."""
        kind = {
            "content-type": "application/x-ndjson"
            if "bulk" in path or "msearch" in path
            else "application/json"
        }
        answer = self.client.request(method, path.lstrip("/"), params=params, content=content, headers=kind)
        try:
            return Reply(answer.status_code, answer.json())
        except ValueError:
            return Reply(answer.status_code, answer.text)

    def anchored(self, content: bytes) -> bytes:
        """A body as this side must be asked."""
        return content

    def ask(self, request: Request) -> list[Reply]:
        """The answers of a request: several where it goes on page by page."""
        content = self.anchored(request.content())
        params = {k: self.anchored(v.encode()).decode() for k, v in request.params.items()}
        replies = [self.send(request.method, request.path, params, content)]
        while request.follow and len(replies) < _PAGES and replies[-1].status == 200:
            body = replies[-1].body
            hits = body["hits"]["hits"]
            if request.follow == "scroll":
                more = {"scroll": "1m", "scroll_id": body["_scroll_id"]}
                if not hits:
                    break
                replies.append(self.send("POST", "/_search/scroll", None, msgspec.json.encode(more)))
                continue
            if request.follow == "search_after":
                if not hits:
                    break
                asked = {**request.body, "search_after": hits[-1]["sort"]}
            else:
                after = body["aggregations"]["c"].get("after_key")
                if after is None:
                    break
                one = request.body["aggs"]["c"]
                spec = {**one, "composite": {**one["composite"], "after": after}}
                asked = {**request.body, "aggs": {"c": spec}}
            content = self.anchored(msgspec.json.encode(asked))
            replies.append(self.send(request.method, request.path, request.params, content))
        return replies

    def fill(self, shop: Shop) -> None:
        """Index every document."""
        for start in range(0, len(shop.documents), 1000):
            lines: list[Any] = []
            for one in shop.documents[start : start + 1000]:
                lines += [{"create": {"_index": one.index, "_id": one.id}}, one.body]
            content = b"".join(msgspec.json.encode(line) + b"\n" for line in lines)
            reply = self.send("POST", "/_bulk", {"refresh": "true"}, content)
            assert reply.status == 200 and not reply.body["errors"], str(reply.body)[:1000]


class OpenSearch(Side):
    """A node of its own."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        with (folder / "out.log").open("wb") as log:
            self.popen = subprocess.Popen(
                [peer("opensearch"), str(port), str(folder)], stdout=log, stderr=log
            )
        super().__init__(f"http://127.0.0.1:{port}/")
        wait_until(self._ready, timeout_s=240, what="OpenSearch")

    def _ready(self) -> bool:
        assert self.popen.poll() is None, "OpenSearch did not start"
        try:
            return self.client.get("_cluster/health").status_code == 200
        except httpx.TransportError:
            return False

    def anchored(self, content: bytes) -> bytes:
        """Its clock cannot be stopped, so date math starts from the moment by name."""
        moment = iso(NOW)
        return _NOW.sub(lambda found: moment + ("||" if found[1] else ""), content.decode()).encode()

    def take(self, mappings: dict[str, Any]) -> None:
        """Make the indices with the mappings that mamimon inferred."""
        for index, one in mappings.items():
            settings = {"number_of_shards": 1, "number_of_replicas": 0, **WORDS}
            content = msgspec.json.encode({"settings": settings, **one})
            reply = self.send("PUT", f"/{index}", None, content)
            assert reply.status == 200, reply.body

    def stop(self) -> None:
        """End it."""
        self.client.close()
        self.popen.terminate()
        self.popen.wait(60)


class Mamimon(Side):
    """A server of ours in this process, whose time stands still."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "data"
        self._start()

    def _start(self) -> None:
        settings = Settings()
        settings.server.port = 0
        settings.server.self_log = False
        settings.logs.block_rows = 64
        settings.logs.query_timeout_s = 120
        settings.metrics.scrape_self = False
        settings.alerts.builtin_rules = False
        self.server = Running(Server(settings, self._folder, ManualClock(NOW)))
        super().__init__(f"{self.server.url}/es/")

    def seal(self) -> None:
        """Go on over sealed days, as the server makes of each once it is over and quiet."""
        self.stop()
        asyncio.run(sealed(self._folder / "logs"))
        self._start()

    def stop(self) -> None:
        """End it."""
        self.client.close()
        self.server.stop()
