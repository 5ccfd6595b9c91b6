"""Requests to every endpoint of Prometheus' HTTP API: each mistake once, then a seeded mixture."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import quote

Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Ask:
    """One request."""

    path: str
    given: Pairs = ()
    method: str = "GET"
    form: bool = False
    headers: Pairs = field(default=())

    def __str__(self) -> str:
        where = " form" if self.form else ""
        return f"{self.method}{where} {self.path} {dict(self.given)} {dict(self.headers) or ''}"


QUERIES = (
    "world_load",
    'world_hits_total{code="200"}',
    "sum by (code) (world_hits_total)",
    "rate(world_hits_total[1m])",
    "rate(world_load[1m])",
    "histogram_quantile(0.9, rate(world_latency_bucket[5m]))",
    "histogram_quantile(2, world_load)",
    "topk(3, world_load)",
    "sort_desc(world_load)",
    "1",
    "vector(1) > bool 2",
    '"a text"',
    "time()",
    "world_load / 0",
    "-world_load ^ 0.5",
    "absent(nothing)",
    "nothing",
    "label_replace(world_load, 'x', '$1', 'path', '/(.*)')",
    "max_over_time(world_load[5m:1m])",
    "world_load @ end() offset 1m",
    "quantile(1.5, world_load)",
    "count_values('v', world_hits_total)",
    "timestamp(world_load)",
    "rate(world_latency_bucket[1m]) + ignoring(le) rate(world_latency_bucket[1m])",
)
BAD_QUERIES = (
    "",
    "sum(",
    "world_load{",
    "{}",
    '{a=""}',
    '{__name__=~"("}',
    "rate(world_load)",
    "world_load[5m]",
    "foo bar",
    "nofunc(1)",
    "1 + 'a'",
    "sum by (x",
    "world_load[0s]",
    "world_load offset",
    "ü",
    "world_load and 1",
    "world_load\n+\n)",
    "label_replace(world_load, 'a', '$1', 'path', '(')",
    "label_replace(world_load, '', '$1', 'path', '.*')",
    "world_hits_total + on(job) world_load",
    "count_values('', world_load)",
    "topk(world_load, 1)",
    "1 == 1",
    '{__name__="a",__name__="b"}',
)
SELECTORS = (
    "world_load",
    'world_hits_total{code=~"2.."}',
    '{job="world"}',
    "{job=~'wor.*',code!='200'}",
    "nothing",
    '{__name__=~"world_.*",le!=""}',
)
BAD_SELECTORS = ("{}", "", 'a{b=""}', "sum(a)", "a{", '{a=~"("}', "{a=~'.*'}", "a[5m]", "a offset 5m", "a+b")
TIMES = ("@0", "@-60", "@-90.5", "@-600", "@+60", "@rfc-120", "@-1200")
BAD_TIMES = (
    "x",
    "NaN",
    "Inf",
    "-Inf",
    "1e30",
    "2020-13-01T00:00:00Z",
    "2020-01-01",
    "now",
    "12:00",
    "0x10",
    "1_0",
)
ODD_TIMES = ("0", "-1", "1e9", "2001-02-03T04:05:06.789+02:00", "2001-02-03T04:05:06Z", "1.5", "+5")
STEPS = ("1d", "15", "15s", "1m", "0.5m", "90.5", "1h", "1m30s", "300")
BAD_STEPS = (
    "",
    "0",
    "-1",
    "0s",
    "x",
    "1e20",
    "NaN",
    "Inf",
    "1",
    "1s1m",
    "5",
    "0.000000001",
    "1.5s",
    "-5m",
    "1 m",
)
LIMITS = ("1", "2", "0", "3", "100", "+1", "001")
BAD_LIMITS = ("x", "-1", "1.5", "99999999999999999999", " 1", "1e3", "0x1")
DURATIONS = ("30s", "60", "1m", "1d", "60.5", "90000ms")
BAD_DURATIONS = ("x", "1e20", "5 s", "1s1m", "NaN")

GOOD: dict[str, tuple[str, ...]] = {
    "query": QUERIES,
    "match[]": SELECTORS,
    "time": (*TIMES, *ODD_TIMES),
    "start": ("@-600", "@-1200", "@-600.25", "@rfc-900"),
    "end": ("@0", "@-60", "@rfc-120"),
    "step": STEPS,
    "limit": LIMITS,
    "timeout": DURATIONS,
    "lookback_delta": ("5s", "60", "1m", "1d", "0", "-1m"),
    "stats": ("true", "all", "yes", ""),
    "unknown": ("x",),
    "metric": ("app_requests", "app_requests_total", "nothing", "app_latency", "app_latency_bucket", "odd"),
    "limit_per_metric": ("1", "0", "-1"),
    "match_target": ('{job="app"}', "{job=~'.*'}", '{team="a",job!="x"}', "app"),
    "state": ("active", "dropped", "any", "ACTIVE", "x"),
    "scrapePool": ("app", "some dropped", "nothing", ""),
    "labels": ('{"__address__":"a:1","team":"x"}', '{"__address__":"c:3","team":"x"}', "{}"),
    "type": ("alert", "record", "ALERT"),
    "rule_name[]": ("Firing", "app:nothing", "none", "Inactive"),
    "rule_group[]": ("alerting", "recording", "none"),
    "file[]": ("@rules", "none"),
    "exclude_alerts": ("true", "false", "1", "T", "TRUE", "tRuE"),
    "group_limit": ("1", "2", "10"),
    "metric_name_pattern": ("nothing_at_all",),
    "skip_head": ("true", "0"),
}
BAD: dict[str, tuple[str, ...]] = {
    "query": BAD_QUERIES,
    "match[]": BAD_SELECTORS,
    "time": BAD_TIMES,
    "start": ("", *BAD_TIMES, "@+60"),
    "end": ("", *BAD_TIMES, "@-9999"),
    "step": BAD_STEPS,
    "limit": BAD_LIMITS,
    "timeout": BAD_DURATIONS,
    "lookback_delta": BAD_DURATIONS,
    "limit_per_metric": ("x", "1.5"),
    "match_target": ("{", "{}", "app{", "a+b", '{job=~"("}', '{a=""}'),
    "labels": ("", "x", "[]", '{"a":1}', '{"a":', '"x"'),
    "scrapePool": ("none",),
    "type": ("x", "alerts"),
    "exclude_alerts": ("x", "yes"),
    "group_limit": ("0", "-1", "x", "1.5", "99999999999"),
    "group_next_token": ("x",),
    "metric_name_pattern": ("(", "*"),
    "skip_head": ("x",),
}


@dataclass(frozen=True)
class Endpoint:
    """What can be asked of a path: its parameters, those that it needs, and whether a form does too."""

    path: str
    parameters: tuple[str, ...] = ()
    needed: tuple[str, ...] = ()
    form: bool = False


_QUERY = ("stats", "limit", "timeout", "lookback_delta", "unknown")
_SPAN = ("start", "end", "limit", "match[]")
V1 = "/api/v1"
ENDPOINTS = (
    Endpoint(f"{V1}/query", ("time", *_QUERY), ("query",), form=True),
    Endpoint(f"{V1}/query_range", _QUERY, ("query", "start", "end", "step"), form=True),
    Endpoint(f"{V1}/query_exemplars", ("start", "end"), ("query",), form=True),
    Endpoint(f"{V1}/format_query", ("unknown",), ("query",), form=True),
    Endpoint(f"{V1}/parse_query", ("unknown",), ("query",), form=True),
    Endpoint(f"{V1}/series", ("start", "end", "limit"), ("match[]",), form=True),
    Endpoint(f"{V1}/labels", _SPAN, ("match[]",), form=True),
    Endpoint(f"{V1}/label/code/values", _SPAN, ("match[]",)),
    Endpoint(f"{V1}/label/__name__/values", _SPAN, ("match[]",)),
    Endpoint(f"{V1}/label/U__label_2e_dotted/values", _SPAN),
    Endpoint(f"{V1}/label/nothing/values", _SPAN),
    Endpoint(f"{V1}/metadata", ("metric", "limit", "limit_per_metric")),
    Endpoint(f"{V1}/scrape_pools", ("unknown",)),
    Endpoint(f"{V1}/targets", ("state", "scrapePool", "unknown")),
    Endpoint(f"{V1}/targets/metadata", ("metric", "limit", "match_target")),
    Endpoint(f"{V1}/targets/relabel_steps", (), ("scrapePool", "labels")),
    Endpoint(
        f"{V1}/rules",
        (
            "type",
            "rule_name[]",
            "rule_group[]",
            "file[]",
            "match[]",
            "exclude_alerts",
            "group_limit",
            "group_next_token",
        ),
    ),
    Endpoint(f"{V1}/alerts", ("unknown",)),
    Endpoint(f"{V1}/alertmanagers"),
    Endpoint(f"{V1}/status/config"),
    Endpoint(f"{V1}/status/runtimeinfo"),
    Endpoint(f"{V1}/status/buildinfo"),
    Endpoint(f"{V1}/status/flags"),
    Endpoint(f"{V1}/status/tsdb", ("limit",)),
    Endpoint(f"{V1}/status/tsdb/blocks"),
    Endpoint(f"{V1}/status/walreplay"),
    Endpoint(f"{V1}/status/self_metrics", ("metric_name_pattern",)),
    Endpoint(f"{V1}/notifications"),
    Endpoint(f"{V1}/features"),
    Endpoint("/federate", (), ("match[]",)),
    Endpoint("/-/healthy"),
    Endpoint("/-/ready"),
)
ADMIN = (
    Endpoint(f"{V1}/admin/tsdb/delete_series", ("start", "end"), ("match[]",)),
    Endpoint(f"{V1}/admin/tsdb/snapshot", ("skip_head",)),
    Endpoint(f"{V1}/admin/tsdb/clean_tombstones"),
)
_FIXED = {"query": "world_load", "start": "@-600", "end": "@0", "step": "60", "match[]": "world_load"} | {
    "scrapePool": "some dropped",
    "labels": '{"__address__":"c:3"}',
}
ODD_PATHS = (
    f"{V1}/nothing",
    f"{V1}/",
    f"{V1}/label//values",
    f"{V1}/label/a%20b/values",
    f"{V1}/label/%FF/values",
    f"{V1}/label/U__/values",
    f"{V1}/label/code",
    f"{V1}/query/",
    f"{V1}/search/metric_names",
    "/-/nothing",
)


class Asker:
    """Makes requests; times are relative to `until`, the instant of the last pushed sample."""

    def __init__(self, until: int, rules: str) -> None:
        self._until = until
        self._rules = rules

    def each(self, endpoints: tuple[Endpoint, ...] = ENDPOINTS, method: str = "GET") -> Iterator[Ask]:
        """Every good and bad value of every parameter, alone beside what is needed."""
        for one in endpoints:
            fixed = [(name, _FIXED[name]) for name in one.needed]
            yield self._ask(one.path, fixed, method)
            for name in one.needed:
                yield self._ask(one.path, [pair for pair in fixed if pair[0] != name], method)
            for name in (*one.needed, *one.parameters):
                others = [pair for pair in fixed if pair[0] != name]
                for value in (*GOOD.get(name, ()), *BAD.get(name, ())):
                    yield self._ask(one.path, [*others, (name, value)], method)

    def manners(self) -> Iterator[Ask]:
        """Methods, headers and paths that are out of the ordinary."""
        for one in (
            *ENDPOINTS,
            *ADMIN,
            Endpoint("/-/reload"),
            Endpoint(f"{V1}/read"),
            Endpoint(f"{V1}/write"),
        ):
            fixed = [(name, _FIXED[name]) for name in one.needed]
            for method in ("HEAD", "OPTIONS", "DELETE", "PUT", "POST", "PATCH"):
                if not (one.path == "/-/reload" and method in ("PUT", "POST")):
                    yield self._ask(one.path, fixed, method)
        origin = (("Origin", "http://grafana.example"),)
        for encoding in ("gzip", "deflate", "zstd", "gzip;q=0", "br, gzip", "identity", "*"):
            yield self._ask(f"{V1}/label/__name__/values", [], headers=(("Accept-Encoding", encoding),))
            yield self._ask(
                f"{V1}/query", [("query", "world_load")], headers=(("Accept-Encoding", encoding),)
            )
            yield self._ask(
                "/federate", [("match[]", "world_load")], headers=(("Accept-Encoding", encoding),)
            )
        yield self._ask(f"{V1}/query", [("query", "1")], headers=origin)
        yield self._ask(f"{V1}/query", [("query", "(")], headers=origin)
        yield self._ask(f"{V1}/labels", [], headers=origin)
        yield self._ask(
            f"{V1}/query", [], "OPTIONS", headers=(*origin, ("Access-Control-Request-Method", "POST"))
        )
        for accept in ("application/json", "text/html", "application/xml", "*/*;q=0.1", "x"):
            yield self._ask(f"{V1}/query", [("query", "1")], headers=(("Accept", accept),))
        for path in ODD_PATHS:
            yield self._ask(path, [])
        yield self._ask("/-/reload", [])
        for kind in ("text/plain", "multipart/form-data; boundary=x", "application/json", ""):
            yield self._ask(
                f"{V1}/query", [("query", "1")], "POST", form=True, headers=(("Content-Type", kind),)
            )

    def mixed(self, seed: int, count: int) -> Iterator[Ask]:
        """Endpoints with several parameters at once, most of them good, some given twice, as GET or form."""
        chance = random.Random(seed)
        for _ in range(count):
            one = chance.choice(ENDPOINTS[:17])
            names = [name for name in one.needed if chance.random() > 0.04]
            names += [name for name in one.parameters if chance.random() < 0.35]
            names += [chance.choice(names)] if names and chance.random() < 0.15 else []
            pairs = []
            for name in names:
                bad = name in BAD and chance.random() < 0.08
                pairs.append((name, chance.choice((BAD if bad or name not in GOOD else GOOD)[name])))
            form = one.form and chance.random() < 0.4
            yield self._ask(one.path, pairs, "POST" if form else "GET", form=form)

    def _ask(
        self,
        path: str,
        pairs: list[tuple[str, str]],
        method: str = "GET",
        *,
        form: bool = False,
        headers: Pairs = (),
    ) -> Ask:
        given = [(name, self._value(text)) for name, text in pairs]
        if path == f"{V1}/query" and not any(name == "time" for name, _ in given):
            given.append(("time", str(self._until)))
        return Ask(path, tuple(given), method, form, headers)

    def _value(self, text: str) -> str:
        if text == "@rules":
            return self._rules
        if text.startswith("@rfc"):
            return _rfc3339(self._until + int(text[4:]))
        if text.startswith("@"):
            return f"{self._until + float(text[1:]):.3f}".rstrip("0").rstrip(".")
        return text


def _rfc3339(at: float) -> str:
    import datetime as dt

    return dt.datetime.fromtimestamp(at, dt.UTC).isoformat().replace("+00:00", "Z")


def encoded(pairs: Pairs) -> str:
    """The pairs as a query string or form."""
    return "&".join(f"{quote(name, safe='[]')}={quote(value, safe='')}" for name, value in pairs)
