"""Queries by chance: every kind of the query DSL that the door answers, and Lucene's query strings."""

from __future__ import annotations

import random
from typing import Any

from mamimon.logs.dates import iso
from tests.conformance.elasticsearch.opensearch.documents import (
    ADDRESSES,
    DAY_MS,
    HOSTS,
    LEVELS,
    PATHS,
    SERVICES,
    TAGS,
    USERS,
    WORDS,
    Shop,
)

Query = dict[str, Any]
ZONES = ("Europe/Istanbul", "+03:00", "-05:30", "America/New_York", "UTC", "Asia/Kolkata")
KEYWORDS = ("level", "service", "host", "user", "tags", "http.method", "http.path", "message")
NUMBERS = ("status", "took", "seq", "http.bytes", "sizes")
ALL_FIELDS = (*KEYWORDS, *NUMBERS, "@timestamp", "due", "ok", "client", "http", "nothing")
ONE_WORD = ("service", "tags")
"""Text whose values are one word in lower case each: whole value and token are the same."""


class Queries:
    """`query()` gives the next one."""

    def __init__(self, shop: Shop, rng: random.Random) -> None:
        self.shop = shop
        self.rng = rng
        self.names = 0
        self.kinds = [
            self.query_string, self.query_string, self.simple_query_string, self.match, self.match,
            self.match_phrase, self.match_phrase_prefix, self.match_bool_prefix, self.multi_match, self.term,
            self.term, self.terms, self.range_number, self.range_date, self.range_date, self.range_due,
            self.exists, self.prefix, self.wildcard, self.regexp, self.ids, self.fuzzy,
        ]  # fmt: skip

    def query(self, depth: int = 2) -> Query:
        """A query, perhaps a tree of them."""
        rng = self.rng
        if depth and rng.random() < 0.35:
            return self.tree(depth)
        if rng.random() < 0.05:
            return {rng.choice(("match_all", "match_all", "match_none")): {}}
        made = rng.choice(self.kinds)()
        if rng.random() < 0.04:
            # Of two queries of one name one is forgotten there.
            self.names += 1
            return {"bool": {"must": made, "_name": f"n{self.names}"}}
        return made

    def tree(self, depth: int) -> Query:
        """`bool`, `constant_score`, `dis_max`, `boosting`."""
        rng = self.rng
        kind = rng.random()
        if kind < 0.1:
            return {"constant_score": {"filter": self.query(depth - 1), "boost": 1.5}}
        if kind < 0.15:
            return {"dis_max": {"queries": [self.query(depth - 1) for _ in range(2)], "tie_breaker": 0.3}}
        if kind < 0.18:
            return {
                "boosting": {
                    "positive": self.query(depth - 1),
                    "negative": self.query(depth - 1),
                    "negative_boost": 0.5,
                }
            }
        body: dict[str, Any] = {}
        for name, chance in (("must", 0.5), ("filter", 0.5), ("should", 0.4), ("must_not", 0.3)):
            if rng.random() < chance:
                parts = [self.query(depth - 1) for _ in range(rng.choice((1, 1, 2, 3)))]
                body[name] = parts[0] if len(parts) == 1 and rng.random() < 0.4 else parts
        if isinstance(body.get("should"), list) and rng.random() < 0.5:
            body["minimum_should_match"] = rng.choice((1, 2, "50%", "-1", "75%", 0))
        return {"bool": body}

    # --- text

    def word(self) -> str:
        """A word of the messages in either case, or one that is nowhere."""
        rng = self.rng
        word = rng.choice((*WORDS, "absent"))
        return rng.choice((word, word.lower(), word.upper() if word.isascii() else word))

    def words(self, most: int = 3) -> str:
        """Some words, mostly of one message and in its order."""
        rng = self.rng
        if rng.random() < 0.6:
            have = str(rng.choice(self.shop.documents).body["message"]).split()
            at = rng.randrange(len(have))
            return " ".join(have[at : at + rng.randrange(1, most + 1)])
        return " ".join(self.word() for _ in range(rng.randrange(1, most + 1)))

    def value(self, field: str) -> Any:
        """A value that the field has, or nearly."""
        values = self.shop.values(field)
        return self.rng.choice(values) if values else "none"

    def match(self) -> Query:
        rng = self.rng
        field = rng.choice(("message", "message", "service", "level", "user", "status", "ok", "tags"))
        text = self.words() if field == "message" else self.value(field)
        if rng.random() < 0.3:
            return {"match": {field: text}}
        options: dict[str, Any] = {"query": text}
        if rng.random() < 0.5:
            options["operator"] = rng.choice(("and", "or", "AND"))
        if rng.random() < 0.3:
            options["minimum_should_match"] = rng.choice(
                (1, 2, 3, "50%", "-1", "100%", "-30%", "1<2", "2<75%")
            )
        return {"match": {field: options}}

    def match_phrase(self) -> Query:
        text = self.words()
        if self.rng.random() < 0.5:
            return {"match_phrase": {"message": text}}
        return {"match_phrase": {"message": {"query": text, "slop": self.rng.randrange(4)}}}

    def match_phrase_prefix(self) -> Query:
        text = self.words()
        options: dict[str, Any] = {"query": text[: self.rng.randrange(2, len(text) + 2)]}
        if self.rng.random() < 0.3:
            options["slop"] = self.rng.randrange(1, 4)
        return {"match_phrase_prefix": {"message": options}}

    def match_bool_prefix(self) -> Query:
        text = self.words()
        text = text[: self.rng.randrange(2, len(text) + 2)]
        # Behind a separator nothing is a beginning to the analyzer that splits there.
        options: dict[str, Any] = {"query": text.rstrip(" .,:-/") or "in"}
        if self.rng.random() < 0.5:
            options["operator"] = "and"
        return {"match_bool_prefix": {"message": options}}

    def multi_match(self) -> Query:
        rng = self.rng
        fields = rng.sample(["message", "service", "user", "host", "http.path", "message^3"], 2)
        body = {
            "query": self.words(2),
            "fields": fields,
            "type": rng.choice(("best_fields", "most_fields", "phrase", "phrase_prefix", "cross_fields")),
        }
        if rng.random() < 0.4:
            body["operator"] = "and"
        return {"multi_match": body}

    def fuzzy(self) -> Query:
        word = self.rng.choice(WORDS).lower()
        at = self.rng.randrange(len(word))
        broken = word[:at] + self.rng.choice("abcx") + word[at + 1 :]
        body: dict[str, Any] = {"value": broken}
        if self.rng.random() < 0.6:
            body["fuzziness"] = self.rng.choice(("AUTO", 0, 1, 2))
        return {"fuzzy": {"message": body}}

    # --- whole values

    def keyword(self) -> str:
        return self.rng.choice(KEYWORDS) + ".keyword"

    def term(self) -> Query:
        rng = self.rng
        if rng.random() < 0.25:
            field = rng.choice(("message", *ONE_WORD))
            return {"term": {field: rng.choice(WORDS).lower() if field == "message" else self.value(field)}}
        field = rng.choice(
            (self.keyword(), self.keyword(), "status", "ok", "seq", "took", "client", "_index")
        )
        value = (
            rng.choice(self.shop.indices) if field == "_index" else self.value(field.removesuffix(".keyword"))
        )
        if rng.random() < 0.3 and field.endswith(".keyword"):
            return {"term": {field: {"value": str(value).swapcase(), "case_insensitive": rng.random() < 0.7}}}
        return {"term": {field: {"value": value} if rng.random() < 0.5 else value}}

    def terms(self) -> Query:
        field = self.rng.choice((self.keyword(), self.keyword(), "status", "seq", "client", "sizes", "_id"))
        if field == "_id":
            return {"terms": {"_id": [f"d{self.rng.randrange(5000)}" for _ in range(5)]}}
        plain = field.removesuffix(".keyword")
        return {"terms": {field: [self.value(plain) for _ in range(self.rng.randrange(1, 5))]}}

    def ids(self) -> Query:
        return {"ids": {"values": [f"d{self.rng.randrange(5000)}" for _ in range(self.rng.randrange(20))]}}

    def exists(self) -> Query:
        return {"exists": {"field": self.rng.choice(ALL_FIELDS)}}

    def prefix(self) -> Query:
        rng = self.rng
        if rng.random() < 0.4:
            field = rng.choice(("message", *ONE_WORD))
            word = rng.choice(WORDS).lower() if field == "message" else str(self.value(field))
            return {"prefix": {field: word[: rng.randrange(1, len(word) + 1)]}}
        field = self.keyword()
        text = str(self.value(field.removesuffix(".keyword")))[: rng.randrange(1, 6)]
        body: dict[str, Any] = {"value": text}
        if rng.random() < 0.3:
            body = {"value": text.swapcase(), "case_insensitive": True}
        return {"prefix": {field: body}}

    def pattern(self, text: str) -> str:
        """A text with some of its characters for `*` or `?`."""
        rng = self.rng
        at = rng.randrange(len(text))
        end = min(len(text), at + rng.randrange(1, 4))
        return (
            text[:at] + rng.choice(("*", "*", "?" * (end - at))) + (text[end:] if rng.random() < 0.7 else "*")
        )

    def wildcard(self) -> Query:
        rng = self.rng
        if rng.random() < 0.3:
            field = rng.choice(ONE_WORD)
            return {"wildcard": {field: {"value": self.pattern(str(self.value(field)))}}}
        field = self.keyword()
        body: dict[str, Any] = {"value": self.pattern(str(self.value(field.removesuffix(".keyword"))))}
        if rng.random() < 0.3:
            body = {"value": body["value"].swapcase(), "case_insensitive": True}
        return {"wildcard": {field: body}}

    def regexp(self) -> Query:
        rng = self.rng
        field = rng.choice(("service", "host.keyword", "level.keyword", "http.path.keyword", "tags"))
        text = {
            "service": ("ch.*", "c(hat|heckout)", "[a-c].+", "bill?ing", ".*a.{2,3}", "~(ch.*)"),
            "host.keyword": ("web-[0-9]+", "web-1.?", "(db|web)-1", ".*-<1-9>", "web-\\d"),
            "level.keyword": ("ERR.*", "[A-D].*", "(INFO|DEBUG)", "info", ".{5}"),
            "http.path.keyword": ("/api/v[12]/.*", "/.+", "/", '"/login"', "/api/v1/(items|orders)"),
            "tags": ("b.*", "(red|green)", "bl[au].{1,2}", "@"),
        }[field]
        body: dict[str, Any] = {"value": rng.choice(text)}
        if rng.random() < 0.2:
            body["case_insensitive"] = True
        return {"regexp": {field: body}}

    # --- ranges

    def ends(self, low: Any, high: Any) -> dict[str, Any]:
        rng = self.rng
        found = {rng.choice(("gt", "gte")): low, rng.choice(("lt", "lte")): high}
        if rng.random() < 0.25:
            found.pop(rng.choice(list(found)))
        return found

    def range_number(self) -> Query:
        field = self.rng.choice(NUMBERS)
        low, high = sorted((float(self.value(field)), float(self.value(field))))
        if field != "took":
            low, high = int(low), int(high)
        if self.rng.random() < 0.2:
            return {"range": {field: self.ends(str(low), str(high))}}
        return {"range": {field: self.ends(low, high)}}

    def moment(self, back_days: float = 3) -> int:
        """A time within the days, in milliseconds, now and then that of a document."""
        rng = self.rng
        if rng.random() < 0.3:
            return rng.choice(self.shop.documents).millis
        return int(self.shop.now - rng.random() * back_days * DAY_MS)

    def range_date(self) -> Query:
        rng = self.rng
        first, last = sorted((self.moment(), self.moment()))
        kind = rng.randrange(6)
        low, high = iso(first / 1000), iso(last / 1000)
        if kind == 0:
            return {"range": {"@timestamp": {**self.ends(first, last), "format": "epoch_millis"}}}
        if kind == 1:
            return {"range": {"@timestamp": self.ends(low[:10], high[:10])}}
        if kind == 2:
            zone = rng.choice(ZONES)
            size = rng.choice((10, 16, 19))
            return {"range": {"@timestamp": {**self.ends(low[:size], high[:size]), "time_zone": zone}}}
        if kind == 3:
            unit = rng.choice(("h", "d", "m"))
            count = rng.randrange(1, {"h": 70, "d": 3, "m": 4000}[unit])
            body: dict[str, Any] = self.ends(
                f"now-{count}{unit}", rng.choice(("now", f"now-{count // 2}{unit}"))
            )
            return {"range": {"@timestamp": body}}
        if kind == 4:
            body = self.ends(
                f"now-{rng.randrange(1, 4)}d/d", rng.choice(("now/d", "now", "now-1d/d", "now/h", "now+1d/d"))
            )
            if rng.random() < 0.4:
                body["time_zone"] = rng.choice(ZONES)
            return {"range": {"@timestamp": body}}
        math = rng.choice(("+2h", "-1d", "/d", "-30m/h", "+1h/h", "/M"))
        return {"range": {"@timestamp": self.ends(f"{low[:19]}Z||{math}", high)}}

    def range_due(self) -> Query:
        rng = self.rng
        first, last = sorted((self.moment(400), self.moment(400)))
        low, high = iso(first / 1000), iso(last / 1000)
        kind = rng.randrange(4)
        if kind == 0:
            return {"range": {"due": self.ends(low[:7], high[:7])}}
        if kind == 1:
            slashed = (text[:10].replace("-", "/") for text in (low, high))
            return {"range": {"due": {**self.ends(*slashed), "format": "yyyy/MM/dd"}}}
        if kind == 2:
            return {
                "range": {"due": self.ends(f"now-{rng.randrange(1, 12)}M/M", rng.choice(("now", "now-1w/w")))}
            }
        return {"range": {"due": self.ends(low, high)}}

    # --- query strings

    def query_string(self) -> Query:
        rng = self.rng
        body: dict[str, Any] = {"query": self.group(2)}
        if rng.random() < 0.4:
            body["default_operator"] = rng.choice(("AND", "and", "or"))
        kind = rng.random()
        if kind < 0.4:
            body["default_field"] = "message"
        elif kind < 0.7:
            body["fields"] = rng.choice((["message", "service"], ["message^2", "user"], ["host", "service"]))
        if rng.random() < 0.3:
            body["analyze_wildcard"] = True
        if rng.random() < 0.3:
            body["type"] = rng.choice(
                ("best_fields", "most_fields", "cross_fields", "phrase", "phrase_prefix", "bool_prefix")
            )
        if rng.random() < 0.1:
            body["phrase_slop"] = rng.randrange(3)
        if rng.random() < 0.1:
            body["time_zone"] = rng.choice(ZONES)
        if rng.random() < 0.1 and str(body.get("default_operator", "or")).lower() == "or":
            body["minimum_should_match"] = rng.choice(("50%", "-1", "75%"))
        return {"query_string": body}

    def group(self, depth: int) -> str:
        rng = self.rng
        text = ""
        for n in range(rng.choice((1, 1, 1, 2, 2, 3))):
            if n:
                text += rng.choice((" ", " ", " AND ", " OR ", " && ", " || "))
            text += rng.choice(("", "", "", "", "", "NOT ", "-", "+", "!"))
            text += f"({self.group(depth - 1)})" if depth and rng.random() < 0.2 else self.clause()
        return text

    def clause(self) -> str:
        rng = self.rng
        kind = rng.randrange(12)
        word = rng.choice(WORDS).lower()
        if kind == 0:
            return f'"{self.words(3)}"' + rng.choice(("", "", "~2"))
        if kind == 1:
            return f"level:{rng.choice(LEVELS)}"
        if kind == 2:
            return f"service:({rng.choice(SERVICES)} OR {rng.choice(SERVICES)})"
        if kind == 3:
            return f"status:{rng.choice(('>=', '<', '>', '<='))}{rng.choice((200, 404, 500))}"
        if kind == 4:
            return rng.choice(
                ("status:[200 TO 404]", "status:{200 TO 500]", "took:[* TO 100.5]", "seq:{10 TO *}")
            )
        if kind == 5:
            return f"_exists_:{rng.choice(('host', 'tags', 'http.bytes', 'user', 'nothing'))}"
        if kind == 6:
            return f"message:{word[:3]}*" if len(word) > 3 else f"message:{word}"
        if kind == 7:
            return rng.choice((f'host.keyword:"{rng.choice(HOSTS)}"', f"tags:{rng.choice(TAGS)}", "ok:true",
                               f'client:"{rng.choice(ADDRESSES)}"', f'user.keyword:"{rng.choice(USERS)}"',
                               f'http.path.keyword:"{rng.choice(PATHS)}"', "http.method:get"))  # fmt: skip
        if kind == 8:
            day = iso(self.moment() / 1000)[:10]
            return rng.choice((f"@timestamp:[{day} TO now]", f"@timestamp:>={day}", f"@timestamp:{day}"))
        if kind == 9:
            return f"service:/{rng.choice(('ch.*', '[bc].+', '(chat|billing)'))}/"
        return word

    def simple_query_string(self) -> Query:
        rng = self.rng
        text = ""
        for n in range(rng.randrange(1, 4)):
            text += rng.choice((" ", " ", " + ", " | ")) if n else ""
            text += rng.choice(("", "", "", "-"))
            word = rng.choice(WORDS).lower()
            text += rng.choice((word, word, f'"{self.words(2)}"', f"{word[:3]}*" if len(word) > 3 else word))
        body: dict[str, Any] = {"query": text, "fields": rng.choice((["message"], ["message", "service"]))}
        if rng.random() < 0.5:
            body["default_operator"] = rng.choice(("and", "or"))
        elif rng.random() < 0.2 and not {"+", "|", "-"} & set(text):
            body["minimum_should_match"] = rng.choice((1, 2, "50%", "-1"))
        return {"simple_query_string": body}
