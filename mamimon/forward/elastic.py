"""The client side of Elasticsearch and OpenSearch: `_bulk` with per-item answers, the index template.

Documents go out with op type `create` and their own id, so one that was sent before is answered
409 and counts as delivered: a batch may be repeated after any failure.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import msgspec

from mamimon.forward.model import Document

if TYPE_CHECKING:
    import httpx

_TRY_AGAIN = {408, 429, 500, 502, 503, 504}
TEMPLATE_NAME = "mamimon-logs"


class Away(Exception):  # noqa: N818 - a state of the target, not a mistake of ours
    """The target cannot take documents now; `retry_after_s` is its own wish."""

    def __init__(self, reason: str, retry_after_s: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after_s = retry_after_s


class TooLarge(Exception):  # noqa: N818 - an answer, not a mistake of ours
    """The target takes only smaller requests."""


class _Error(msgspec.Struct):
    type: str = ""
    reason: str = ""


class _Result(msgspec.Struct):
    status: int
    error: _Error | str | None = None


class _Answer(msgspec.Struct):
    items: list[dict[str, _Result]]


class Outcome(msgspec.Struct):
    """What became of a request: delivered count, what to repeat, what was refused and why."""

    delivered: int
    again: list[Document]
    dead: list[tuple[Document, str]]


def template(retention_days: int) -> dict[str, Any]:
    """The index template for `logs-<dataset>-YYYY.MM.DD`.

    Its priority is above Elasticsearch's own `logs-*-*`, which would turn each day into a data stream.
    """
    text = {"type": "text", "fields": {"keyword": {"type": "keyword", "ignore_above": 1024}}}
    keyword = {"type": "keyword", "ignore_above": 1024}
    fields = ("level", "logger", "request_id", "trace_id", "span_id", "service", "host", "environment")
    return {
        "index_patterns": ["logs-*-*.*.*"],
        "priority": 200,
        "template": {
            "settings": {"index": {"number_of_shards": 1, "auto_expand_replicas": "0-1"}},
            "mappings": {
                "dynamic_templates": [{"text": {"match_mapping_type": "string", "mapping": text}}],
                "properties": {
                    "@timestamp": {"type": "date"},
                    "message": {"type": "text"},
                    **dict.fromkeys(fields, keyword),
                },
            },
        },
        "_meta": {"made_by": "mamimon", "retention_days": retention_days},
    }


class ElasticTarget:
    """One Elasticsearch; `name` is its address without secrets."""

    def __init__(self, url: str, username: str = "", password: str = "", timeout_s: float = 30.0) -> None:
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
        self.name = f"{parts.scheme}://{host}{parts.path}".rstrip("/")
        user = username or unquote(parts.username or "")
        self._auth = (user, password or unquote(parts.password or "")) if user else None
        self._timeout_s = timeout_s
        self._client: httpx.AsyncClient | None = None

    async def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    async def _ask(
        self, method: str, path: str, body: bytes | None = None, kind: str = "application/json"
    ) -> httpx.Response:
        import httpx

        if self._client is None:
            self._client = httpx.AsyncClient(timeout=self._timeout_s, auth=self._auth, trust_env=False)
        try:
            answer = await self._client.request(
                method, self.name + path, content=body, headers={"Content-Type": kind}
            )
        except httpx.HTTPError as error:
            raise Away(str(error) or type(error).__name__) from None
        if answer.status_code in _TRY_AGAIN:
            raise Away(f"HTTP {answer.status_code}", _retry_after(answer.headers.get("retry-after", "")))
        if answer.status_code in {401, 403}:
            raise Away(f"HTTP {answer.status_code}: check forward.elasticsearch_username and _password", 60.0)
        return answer

    async def put_template(self, retention_days: int) -> str:
        """Put the index template where there is none of its name; returns what was done, for the log."""
        path = f"/_index_template/{TEMPLATE_NAME}"
        found = await self._ask("GET", path)
        if found.status_code == 200:
            return "the index template is there already"
        body = json.dumps(template(retention_days)).encode()
        answer = await self._ask("PUT", path, body)
        if answer.status_code >= 300:
            return f"the index template was refused (HTTP {answer.status_code}): {answer.text[:300]}"
        return "the index template is put"

    async def bulk(self, documents: list[Document]) -> Outcome:
        """Send documents. Raises `Away` where none was taken, `TooLarge` where the request was refused."""
        lines: list[bytes] = []
        for doc in documents:
            lines.append(msgspec.json.encode({"create": {"_index": doc.index, "_id": doc.id}}))
            lines.append(doc.raw)
        lines.append(b"")
        answer = await self._ask("POST", "/_bulk", b"\n".join(lines), "application/x-ndjson")
        if answer.status_code == 413:
            raise TooLarge
        if answer.status_code != 200:
            raise Away(f"HTTP {answer.status_code}: {answer.text[:200]}", 30.0)
        try:
            items = msgspec.json.decode(answer.content, type=_Answer).items
        except msgspec.DecodeError:
            raise Away("the answer to _bulk is not Elasticsearch's", 30.0) from None
        if len(items) != len(documents):
            raise Away(f"{len(documents)} documents were answered by {len(items)} items", 30.0)
        return _sort(documents, [next(iter(item.values())) for item in items])


def _sort(documents: list[Document], results: list[_Result]) -> Outcome:
    outcome = Outcome(0, [], [])
    for doc, result in zip(documents, results, strict=True):
        if result.status < 300 or result.status == 409:
            outcome.delivered += 1
        elif result.status in _TRY_AGAIN:
            outcome.again.append(doc)
        else:
            error = result.error
            reason = f"{error.type}: {error.reason}" if isinstance(error, _Error) else str(error)
            outcome.dead.append((doc, f"{result.status} {reason}"))
    return outcome


def _retry_after(text: str) -> float | None:
    return min(float(text), 300.0) if text.isdigit() else None
