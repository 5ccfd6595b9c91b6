"""Whole requests by chance: searches with all that a body may hold, counts, scrolls, and mistakes."""

# ruff: noqa: E501 (tables of what is drawn from)
from __future__ import annotations

import json
import random
from typing import Any

import msgspec

from tests.conformance.elasticsearch.opensearch.aggregations import Aggregations
from tests.conformance.elasticsearch.opensearch.documents import Shop
from tests.conformance.elasticsearch.opensearch.mistakes import MISTAKES
from tests.conformance.elasticsearch.opensearch.queries import Queries

SORTS = (
    "@timestamp",
    "took",
    "status",
    "service.keyword",
    "host.keyword",
    "due",
    "ok",
    "sizes",
    "client",
    "seq",
)


class Request(msgspec.Struct):
    """One request; `follow` names how its answers go on: search_after, scroll or composite."""

    kind: str
    method: str
    path: str
    body: Any = None
    params: dict[str, str] = {}
    follow: str = ""

    def content(self) -> bytes:
        """The body as it is sent."""
        if self.body is None:
            return b""
        if isinstance(self.body, list):
            return "".join(json.dumps(line) + "\n" for line in self.body).encode()
        return self.body.encode() if isinstance(self.body, str) else json.dumps(self.body).encode()

    def __str__(self) -> str:
        return f"{self.kind}: {self.method} {self.path} {self.params or ''} {self.content().decode()}"


class Requests:
    """`request()` gives the next one."""

    def __init__(self, shop: Shop, seed: int) -> None:
        self.shop = shop
        self.rng = random.Random(seed)
        self.queries = Queries(shop, self.rng)
        self.aggregations = Aggregations(shop, self.rng, self.queries)

    def request(self) -> Request:
        """One of any kind."""
        kinds = {
            self.search: 34, self.aggregate: 34, self.uri: 6, self.count: 6, self.pages: 5, self.several: 3,
            self.scroll: 2, self.caps: 2, self.mistake: 5, self.composite: 3,
        }  # fmt: skip
        return self.rng.choices(list(kinds), list(kinds.values()))[0]()

    def index(self) -> str:
        """What is searched."""
        days = self.shop.indices
        return self.rng.choice(
            ("logs-shop-*,audit", "logs-shop-*,audit", "logs-*", "audit", "*", f"{days[1]},{days[2]}", "logs-*,-*.01",
             "_all")
        )  # fmt: skip

    def search(self) -> Request:
        """A page of hits."""
        return Request("search", "POST", f"/{self.index()}/_search", self.hits())

    def hits(self) -> dict[str, Any]:
        rng = self.rng
        body: dict[str, Any] = {"query": self.queries.query()} if rng.random() < 0.95 else {}
        body["sort"] = self.sort()
        if rng.random() < 0.7:
            body["size"] = rng.choice((0, 1, 5, 20, 100))
        if rng.random() < 0.3:
            body["from"] = rng.choice((1, 7, 50))
        if rng.random() < 0.5:
            body["track_total_hits"] = rng.choice((True, True, False, 10, 500))
        if rng.random() < 0.4:
            body["_source"] = rng.choice(
                (False, True, "service", ["service", "http"], ["http.*", "seq"], {"includes": ["*e*"], "excludes": ["message"]},
                 {"excludes": ["http.path", "t*"]}, {"includes": "level"}, ["nothing"], "*.method")
            )  # fmt: skip
        if rng.random() < 0.25:
            body["fields"] = rng.sample(
                ["service", "http.*", "took", "status", "host.keyword", "tags", "client", "ok", "sizes",
                 {"field": "@timestamp", "format": "epoch_millis"}, "@timestamp", "due",
                 {"field": "due", "format": "yyyy/MM/dd"}], rng.randrange(1, 4)
            )  # fmt: skip
        elif rng.random() < 0.2:
            body["docvalue_fields"] = rng.sample(
                ["service.keyword", "took", "status", "tags.keyword", "client", "ok", "sizes",
                 {"field": "@timestamp", "format": "epoch_millis"}, "@timestamp", "due",
                 {"field": "@timestamp", "format": "yyyy-MM-dd"}], rng.randrange(1, 4)
            )  # fmt: skip
        if rng.random() < 0.1:
            body["version"] = True
        if rng.random() < 0.1:
            body.update(track_scores=True, stats=["panel"], indices_boost=[{"audit": 2.0}])
        if rng.random() < 0.15:
            body["post_filter"] = self.queries.query(0)
        if rng.random() < 0.15:
            body["query"] = {"match": {"message": self.queries.words(2)}}
            if rng.random() < 0.4:
                body["query"] = {
                    "query_string": {"query": f"message:{self.queries.word()}", "analyze_wildcard": True}
                }
            own: dict[str, Any] = {"number_of_fragments": 0}
            if rng.random() < 0.2:
                own["highlight_query"] = {"match": {"message": self.queries.words(2)}}
            if rng.random() < 0.2:
                own.update(pre_tags=["[["], post_tags=["]]"])
            body["highlight"] = {"fields": {"message": own}}
            if rng.random() < 0.2:
                body["highlight"]["require_field_match"] = False
            if rng.random() < 0.1:
                body["highlight"]["tags_schema"] = "styled"
            if rng.random() < 0.5:
                body["highlight"].update(pre_tags=["@HIGHLIGHT@"], post_tags=["@/HIGHLIGHT@"])
        return body

    def sort(self) -> Any:
        """An order without ties: `seq` is unlike for any two documents."""
        rng = self.rng
        parts: list[Any] = []
        for field in rng.sample(SORTS, rng.choice((1, 1, 2))):
            if rng.random() < 0.3:
                parts.append(field)
                continue
            options: dict[str, Any] = {"order": rng.choice(("asc", "desc"))}
            if rng.random() < 0.3:
                options["missing"] = rng.choice(("_first", "_last"))
            if field == "sizes" and rng.random() < 0.5:
                # OpenSearch 2 fails where the first key is a sum or a mean.
                options["mode"] = rng.choice(("min", "max", "sum", "avg") if parts else ("min", "max"))
            if field in ("due", "ok") and rng.random() < 0.3:
                options["unmapped_type"] = "long"
            parts.append({field: options if rng.random() < 0.5 else options["order"]})
        return [*parts, {"seq": "asc"}]

    def aggregate(self) -> Request:
        rng = self.rng
        body: dict[str, Any] = {"size": 0, "aggs": self.aggregations.aggs()}
        if rng.random() < 0.6:
            body["query"] = self.queries.query(1)
        if rng.random() < 0.1:
            body.update(size=3, sort=self.sort())
        return Request("aggregate", "POST", f"/{self.index()}/_search", body)

    def composite(self) -> Request:
        made = self.aggregations.composite()
        if self.rng.random() < 0.5:
            made["aggs"] = self.aggregations.aggs(0)
        # A later page of buckets stops early, so its total is less there.
        body = {"size": 0, "track_total_hits": False, "aggs": {"c": made}}
        return Request("composite", "POST", "/logs-*/_search", body, follow="composite")

    def uri(self) -> Request:
        """A search by its address."""
        rng = self.rng
        params = {
            "q": self.queries.group(1),
            "sort": rng.choice(("seq", "seq:desc", "@timestamp:desc,seq:asc")),
        }
        if rng.random() < 0.6:
            params["size"] = str(rng.choice((0, 3, 20)))
        if rng.random() < 0.3:
            params["df"] = "message"
        if rng.random() < 0.3:
            params["default_operator"] = "AND"
        if rng.random() < 0.3:
            params["_source"] = rng.choice(("false", "service,seq", "http.*"))
        elif rng.random() < 0.2:
            params["_source_includes"] = "service,http"
            params["_source_excludes"] = "http.path"
        if rng.random() < 0.2:
            params["track_total_hits"] = rng.choice(("true", "false", "7"))
        if rng.random() < 0.1:
            params["rest_total_hits_as_int"] = "true"
            params.pop("track_total_hits", None)
        if rng.random() < 0.1:
            params["filter_path"] = rng.choice(
                ("hits.total", "hits.hits._id", "hits.hits._source.service,-hits.total")
            )
        return Request("uri", "GET", f"/{self.index()}/_search", params=params)

    def count(self) -> Request:
        if self.rng.random() < 0.3:
            return Request("count", "GET", f"/{self.index()}/_count", params={"q": self.queries.group(1)})
        return Request("count", "POST", f"/{self.index()}/_count", {"query": self.queries.query()})

    def pages(self) -> Request:
        body = self.hits()
        body.update(size=self.rng.choice((3, 20)), track_total_hits=True)
        body.pop("from", None)
        return Request("pages", "POST", f"/{self.index()}/_search", body, follow="search_after")

    def scroll(self) -> Request:
        body = {"query": self.queries.query(1), "sort": self.sort(), "size": self.rng.choice((50, 400))}
        return Request("scroll", "POST", "/logs-*/_search", body, {"scroll": "1m"}, follow="scroll")

    def several(self) -> Request:
        lines: list[Any] = []
        for _ in range(self.rng.randrange(1, 4)):
            kind = self.rng.random()
            if kind < 0.15:
                lines += [{"index": "nowhere"}, {"query": {"match_all": {}}}]
            elif kind < 0.3:
                lines += [{"index": "logs-*"}, {"query": {"no_such_query": {}}}]
            else:
                body = self.hits() if kind < 0.6 else {"size": 0, "aggs": self.aggregations.aggs()}
                lines += [{"index": self.index(), "ignore_unavailable": True}, body]
        return Request("several", "POST", "/_msearch", lines)

    def caps(self) -> Request:
        fields = self.rng.choice(("*", "@timestamp", "s*,took", "http.*", "nothing", "user*", "t*"))
        return Request("caps", "GET", f"/{self.index()}/_field_caps", params={"fields": fields})

    def mistake(self) -> Request:
        method, path, body, params = self.rng.choice(MISTAKES)
        return Request("mistake", method, path, body, params)
