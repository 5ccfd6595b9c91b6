"""Aggregations by chance: each kind that the door answers, nested up to two deep."""

# ruff: noqa: E501 (tables of what is drawn from)
from __future__ import annotations

import random
from typing import Any

from mamimon.logs.dates import iso
from tests.conformance.elasticsearch.opensearch.documents import DAY_MS, Shop
from tests.conformance.elasticsearch.opensearch.queries import ZONES, Queries

Body = dict[str, Any]
TERMS = (
    "level.keyword", "service.keyword", "host.keyword", "user.keyword", "tags.keyword", "http.method.keyword",
    "http.path.keyword",
)  # fmt: skip
NUMBERS = ("took", "status", "http.bytes", "sizes", "seq")


class Aggregations:
    """`aggs()` gives the next ones."""

    def __init__(self, shop: Shop, rng: random.Random, queries: Queries) -> None:
        self.shop = shop
        self.rng = rng
        self.queries = queries

    def aggs(self, depth: int = 2) -> Body:
        """One or two aggregations, perhaps with others inside."""
        rng = self.rng
        made = {name: self.one(depth) for name in ("a", "b")[: rng.choice((1, 1, 2))]}
        if depth == 2 and "m" in made["a"].get("aggs", {}) and "date_histogram" in made["a"]:
            # A shard's empty histogram has no steps to take the most of.
            made["s"] = {
                rng.choice(("avg", "sum", "min", "max", "stats")) + "_bucket": {"buckets_path": "a>m"}
            }
        return made

    def one(self, depth: int) -> Body:
        """One of any kind."""
        rng = self.rng
        if rng.random() < (0.35 if depth == 2 else 0.6):
            return self.metric()
        made: Body = rng.choice(
            (self.date_histogram, self.date_histogram, self.terms, self.terms, self.histogram, self.range,
             self.date_range, self.filter, self.filters, self.missing, self.composite if depth == 2 else self.terms,
             self.rare_terms, self.multi_terms)
        )()  # fmt: skip
        # What is inside rare_terms is sometimes lost there.
        if depth and "rare_terms" not in made and rng.random() < 0.6:
            made["aggs"] = self.aggs(depth - 1)
        if (
            "date_histogram" in made
            and rng.random() < 0.2
            and not made["date_histogram"].get("min_doc_count")
        ):
            made["aggs"] = {**made.get("aggs", {}), "m": {rng.choice(("avg", "max")): {"field": "took"}}}
            made["aggs"]["p"] = self.pipeline()
        if rng.random() < 0.05:
            made["meta"] = {"panel": 7}
        if rng.random() < 0.1 and "terms" in made:
            made["aggs"] = {**made.get("aggs", {}), "m": {"max": {"field": rng.choice(NUMBERS)}}}
            made["terms"]["order"] = [{"m": rng.choice(("asc", "desc"))}, {"_key": "asc"}]
        return made

    def pipeline(self) -> Body:
        """Numbers of the steps around it; their scripts are a module that the peer does not have."""
        rng = self.rng
        body: Body = {"buckets_path": rng.choice(("_count", "m"))}
        kind = rng.choice(("derivative", "cumulative_sum", "serial_diff"))
        if kind == "serial_diff" and rng.random() < 0.5:
            body["lag"] = rng.choice((2, 5))
        if kind != "cumulative_sum" and rng.random() < 0.5:
            body["gap_policy"] = rng.choice(("skip", "insert_zeros"))
        return {kind: body}

    # --- metrics

    def metric(self) -> Body:
        rng = self.rng
        field = rng.choice((*NUMBERS, "took", "took"))
        kind = rng.choice(
            ("avg", "sum", "min", "max", "value_count", "stats", "extended_stats", "percentiles", "cardinality",
             "top_hits", "percentile_ranks")
        )  # fmt: skip
        if kind == "cardinality":
            return {kind: {"field": rng.choice((*TERMS, *NUMBERS, "client", "ok"))}}
        if kind == "value_count":
            return {kind: {"field": rng.choice((*TERMS, *NUMBERS, "@timestamp", "due", "ok"))}}
        if kind == "top_hits":
            return {kind: self.top_hits()}
        body: Body = {"field": field}
        if kind in {"min", "max", "avg", "stats"} and rng.random() < 0.25:
            body["field"] = rng.choice(("@timestamp", "due", "ok"))
        elif rng.random() < 0.15:
            body["missing"] = rng.choice((0, 17))
        if kind == "extended_stats" and rng.random() < 0.5:
            body["sigma"] = rng.choice((1, 3, 0.5))
        if kind == "percentiles":
            # Between the few values of a status a digest draws a line.
            body["field"] = rng.choice(("took", "http.bytes", "seq"))
        if kind == "percentiles" and rng.random() < 0.6:
            body["percents"] = rng.choice(([50], [5, 50, 99.9], [95, 25]))
        if kind == "percentile_ranks":
            body["values"] = [rng.randrange(0, 900), 500]
        if kind.startswith("percentile") and rng.random() < 0.2:
            body["keyed"] = False
        return {kind: body}

    def top_hits(self) -> Body:
        rng = self.rng
        body: Body = {
            "size": rng.randrange(1, 4),
            "sort": [{rng.choice(("seq", "@timestamp")): "desc"}, {"seq": "asc"}],
        }
        if rng.random() < 0.5:
            body["_source"] = rng.choice((False, ["service"], {"includes": ["http.*", "seq"]}))
        if rng.random() < 0.2:
            body["from"] = 1
        return body

    # --- buckets

    def date_histogram(self) -> Body:
        rng = self.rng
        field = rng.choice(("@timestamp", "@timestamp", "@timestamp", "due"))
        body: Body = {"field": field}
        if rng.random() < 0.5:
            body["fixed_interval"] = (
                rng.choice(("30m", "1h", "3h", "12h", "1d")) if field == "@timestamp" else "30d"
            )
        else:
            body["calendar_interval"] = (
                rng.choice(("hour", "1h", "day", "1d", "week", "month", "1M", "quarter", "year"))
                if field == "@timestamp"
                else rng.choice(("week", "1w", "month", "quarter", "1y"))
            )
        self.dated(body)
        if rng.random() < 0.5:
            body["min_doc_count"] = rng.choice((0, 0, 1, 2, 5))
        if rng.random() < 0.3 and body.get("min_doc_count", 0) == 0:
            low, high = (
                self.shop.now - rng.randrange(1, 5) * DAY_MS,
                self.shop.now + rng.randrange(0, 2) * DAY_MS,
            )
            body["extended_bounds"] = {"min": low, "max": high}
            if rng.random() < 0.3 and "format" not in body:
                body["extended_bounds"] = {"min": iso(low / 1000)[:10], "max": iso(high / 1000)[:10]}
            elif "format" in body:
                body.pop("extended_bounds")
        elif rng.random() < 0.2 and "format" not in body:
            body["hard_bounds"] = {"min": self.shop.now - 2 * DAY_MS, "max": self.shop.now - DAY_MS // 2}
        if rng.random() < 0.2:
            body["offset"] = rng.choice(("+1h", "-30m", "6h", "15m"))
        if rng.random() < 0.2:
            body["order"] = rng.choice(({"_key": "desc"}, {"_count": "desc"}, {"_count": "asc"}))
        if rng.random() < 0.1:
            body["keyed"] = True
        if rng.random() < 0.1 and "format" not in body:
            body["missing"] = iso((self.shop.now - DAY_MS) / 1000)
        return {"date_histogram": body}

    def dated(self, body: Body) -> None:
        """A time zone and a format."""
        rng = self.rng
        if rng.random() < 0.4:
            body["time_zone"] = rng.choice(ZONES)
        if rng.random() < 0.4:
            body["format"] = rng.choice(
                ("epoch_millis", "yyyy-MM-dd", "yyyy-MM-dd HH:mm", "strict_date_optional_time", "epoch_second",
                 "dd/MMM/yyyy", "yyyy-MM-dd'T'HH:mm:ssXXX")
            )  # fmt: skip

    def terms(self) -> Body:
        rng = self.rng
        field = rng.choice((*TERMS, *TERMS, "status", "ok", "client", "sizes", "took", "due", "_index"))
        # With few values a shard OpenSearch's counts would be approximate; ours are exact.
        body: Body = {"field": field, "shard_size": 10_000}
        if rng.random() < 0.6:
            body["size"] = rng.choice((1, 2, 3, 5, 50))
        if rng.random() < 0.4:
            body["order"] = rng.choice(
                (
                    {"_key": "asc"},
                    {"_key": "desc"},
                    {"_count": "asc"},
                    {"_count": "desc"},
                    [{"_count": "desc"}, {"_key": "desc"}],
                )
            )
        if rng.random() < 0.2 and field in TERMS:
            body["missing"] = rng.choice(("N/A", "zz"))
        if rng.random() < 0.2:
            body["min_doc_count"] = rng.choice((1, 3, 50))
        if rng.random() < 0.2 and field in TERMS:
            body[rng.choice(("include", "exclude"))] = rng.choice(
                ("[a-h].*", ".*e.*", ["chat", "web-1", "red", "GET"])
            )
        return {"terms": body}

    def rare_terms(self) -> Body:
        return {
            "rare_terms": {
                "field": self.rng.choice(("seq", "sizes", *TERMS)),
                "max_doc_count": self.rng.choice((1, 3, 40)),
            }
        }

    def multi_terms(self) -> Body:
        rng = self.rng
        fields = rng.sample(["level.keyword", "service.keyword", "host.keyword", "status", "ok"], 2)
        return {
            "multi_terms": {
                "terms": [{"field": one} for one in fields],
                "size": rng.choice((3, 10)),
                "shard_size": 1000,
            }
        }

    def histogram(self) -> Body:
        rng = self.rng
        body: Body = {
            "field": rng.choice(("took", "status", "http.bytes", "sizes")),
            "interval": rng.choice((50, 100, 250.5)),
        }
        if body["field"] == "http.bytes":
            body["interval"] = 5000
        if body["field"] == "sizes":
            body["interval"] = rng.choice((1, 5, 2.5))
        if rng.random() < 0.4:
            body["min_doc_count"] = rng.choice((0, 1, 3))
        if rng.random() < 0.2 and body.get("min_doc_count", 0) == 0:
            body["extended_bounds"] = rng.choice(({"min": -100, "max": 10}, {"min": -100}, {"max": 1500}))
        elif rng.random() < 0.15:
            body["hard_bounds"] = rng.choice(({"min": 100, "max": 5000}, {"min": 10}, {"max": 450}))
        if rng.random() < 0.2:
            body["offset"] = rng.choice((10, 0.5))
        if rng.random() < 0.2:
            body["order"] = rng.choice(({"_key": "desc"}, {"_count": "desc"}))
        if rng.random() < 0.1:
            body["keyed"] = True
        if rng.random() < 0.15:
            body["missing"] = 0
        return {"histogram": body}

    def range(self) -> Body:
        rng = self.rng
        field = rng.choice(("took", "status", "http.bytes"))
        cuts = sorted(rng.sample(range(0, 1000, 50), 2))
        ranges: list[Body] = [{"to": cuts[0]}, {"from": cuts[0], "to": cuts[1]}, {"from": cuts[1]}]
        if rng.random() < 0.3:
            ranges[1]["key"] = "middle"
        if rng.random() < 0.3:
            ranges.append({"from": 100.5, "to": 400})
        body: Body = {"field": field, "ranges": ranges}
        if rng.random() < 0.2:
            body["keyed"] = True
        return {"range": body}

    def date_range(self) -> Body:
        rng = self.rng
        body: Body = {"field": rng.choice(("@timestamp", "@timestamp", "due"))}
        cut = iso((self.shop.now - rng.random() * 3 * DAY_MS) / 1000)
        body["ranges"] = rng.choice(
            ([{"to": "now-1d/d"}, {"from": "now-1d/d"}], [{"from": cut[:10], "to": "now/d"}],
             [{"from": cut, "key": "later"}, {"to": cut}], [{"from": "now-10M/M", "to": "now-1M/M"}])
        )  # fmt: skip
        if rng.random() < 0.3:
            body["time_zone"] = rng.choice(ZONES)
        if rng.random() < 0.3:
            body["format"] = "yyyy-MM-dd"
            body["ranges"] = [{"from": cut[:10]}, {"to": cut[:10]}]
        if rng.random() < 0.1:
            body["keyed"] = True
        return {"date_range": body}

    def filter(self) -> Body:
        return {"filter": self.queries.query(1)}

    def filters(self) -> Body:
        rng = self.rng
        body: Body
        if rng.random() < 0.6:
            body = {"filters": {name: self.queries.query(0) for name in ("one", "two")}}
        else:
            body = {"filters": [self.queries.query(0) for _ in range(2)]}
        if rng.random() < 0.4:
            body["other_bucket"] = True
        elif rng.random() < 0.2:
            body["other_bucket_key"] = "rest"
        return {"filters": body}

    def missing(self) -> Body:
        return {"missing": {"field": self.rng.choice((*TERMS, *NUMBERS, "due", "client"))}}

    def composite(self) -> Body:
        rng = self.rng
        sources: list[Body] = []
        for name in ("one", "two")[: rng.choice((1, 2))]:
            spec: Body = rng.choice(
                ({"terms": {"field": rng.choice((*TERMS, "status", "ok"))}},
                 {"date_histogram": {"field": "@timestamp", "fixed_interval": "6h"}},
                 {"date_histogram": {"field": "@timestamp", "calendar_interval": "day", "time_zone": rng.choice(ZONES),
                                     **rng.choice(({}, {"format": "yyyy-MM-dd"}))}},
                 {"histogram": {"field": "took", "interval": 100}})
            )  # fmt: skip
            own = next(iter(spec.values()))
            if rng.random() < 0.4:
                own["order"] = "desc"
            if rng.random() < 0.3:
                own["missing_bucket"] = True
            sources.append({name: spec})
        return {"composite": {"size": rng.choice((2, 5, 30)), "sources": sources}}
