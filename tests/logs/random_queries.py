"""Random documents with nasty values, and random queries of both languages with what they mean."""

from __future__ import annotations

import datetime as dt
import json
import random
import re
from collections.abc import Callable
from typing import Any, NamedTuple

from tests.logs import oracle
from tests.logs.oracle import Doc, End, Test

NAMES = [
    "İbrahim Çelik", "IŞIL", "ışıl", "Straße", "STRASSE", "O'Brien", "a_b", "ali-veli", "Ahmet", "ahmet", "",
    " ", "-", "cafe\u0301", "café", "日本語", "Ελλάς", "ΕΛΛΆΣ", "₺500", "x²", "😀ok", "٣٤", "K",
    "null", "true", "now", "AND",
]  # fmt: skip
WORDS = [
    "error", "Error", "failed", "timeout", "ödeme", "ÖDEME", "kullanıcı", "İstanbul", "ISTANBUL", "istanbul",
    "user", "users", "a", "to", "of", "req-8f31", "req-8f32", "8f31", "10.0.0.1", "500", "404", "007", "3",
    "-3", "1.5", "1e5", "/api/v1/items", "C:\\temp\\new", 'say "hi"', "a=b", "{x}", "foo:bar", "naïve", "ﬁle",
    "東京", "₺20", "don't", "not", "OR", "x*y", "what?", "tab\there", "line\nbreak", "per%cent", "müşteri_1",
    "caf", "😀", "…",
]  # fmt: skip
LEVELS = [
    "ERROR",
    "error",
    "Err",
    "WARN",
    "warning",
    "INFO",
    "info",
    "DEBUG",
    "critical",
    "fatal",
    "weird",
    5,
    "",
]
FIELDS = [
    "message", "user", "request_id", "status", "took", "http.status", "http.path", "tags", "flag", "at",
    "level", "a b", 'quo"te', "ключ", "deep.er.est", "logger", "nothing", "severity",
]  # fmt: skip
Dates = list[tuple[str, int, int]]


class Query(NamedTuple):
    """One query: a body's `query`, and which documents it means."""

    body: dict[str, Any]
    test: Test


# --- documents


def documents(rng: random.Random, now: float, count: int) -> list[Doc]:
    """Documents of several datasets and days; time stamps are unlike one another in form."""
    made: list[Doc] = []
    for n in range(count):
        moment = now - rng.random() ** 2 * 4 * 86_400
        millis = int(moment * 1000)
        body: dict[str, Any] = {"@timestamp": stamp(rng, millis)}
        for name, make in MAKERS.items():
            if rng.random() < 0.7:
                body[name] = make(rng)
        if rng.random() < 0.3:
            body["http.path"] = rng.choice(["/a", "/b/c", 5])
        if rng.random() < 0.4:
            # Flat lines are often judged by their bytes.
            body = {k: v for k, v in body.items() if not isinstance(v, (dict, list))}
        day = dt.datetime.fromtimestamp(millis / 1000, dt.UTC)
        dataset = rng.choice(["web", "batch", "app"])
        index = "app" if dataset == "app" else f"logs-{dataset}-{day:%Y.%m.%d}"
        made.append(Doc(f"{rng.choice('ab')}{n}", index, dataset, body, millis))
    return made


def stamp(rng: random.Random, millis: int) -> str | int:
    """A time stamp as text with milli- or microseconds, or as a number."""
    moment = dt.datetime.fromtimestamp(millis // 1000, dt.UTC)
    kind = rng.randrange(4)
    if kind == 0:
        return millis
    fraction = f"{millis % 1000:03}" + (f"{rng.randrange(1000):03}" if kind == 1 else "")
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{fraction}Z"


def sentence(rng: random.Random) -> str:
    """Some words with odd things between them."""
    parts = [rng.choice(WORDS) for _ in range(rng.randrange(1, 7))]
    return "".join(
        part + rng.choice([" ", " ", " ", ", ", ": ", "\n", " - ", "_", "", "\u2028"]) for part in parts
    )


def a_number(rng: random.Random) -> Any:
    """Numbers as numbers and as text, near one another and far away."""
    return rng.choice(
        [rng.randrange(-5, 20), rng.randrange(600), 200, 404, 500, 1.5, -3, 0.25, 1e-05, 1e22, 0, "200",
         "007", "1.5", "-3", "1e5", 3.0, 2**53 + 1, "12abc"]
    )  # fmt: skip


def a_date(rng: random.Random) -> Any:
    """Dates as text in several forms, as a number, and what is none."""
    day, hour = rng.randrange(1, 29), rng.randrange(24)
    return rng.choice(
        [f"2026-03-{day:02}T{hour:02}:00:00Z", f"2026-03-{day:02}", f"2026/03/{day:02}",
         f"2026-03-{day:02}T{hour:02}:30:00.250Z", 1772323200000 + day * 86_400_000, "2026", "soon"]
    )  # fmt: skip


def http(rng: random.Random) -> Any:
    """An object, or a list of objects."""
    one = {"status": a_number(rng), "path": rng.choice(["/api/v1/items", "/", "/a/b?c=d", None])}
    return [one, {"status": a_number(rng)}] if rng.random() < 0.3 else one


def tags(rng: random.Random) -> Any:
    """Lists with holes and lists inside."""
    found: list[Any] = [rng.choice(NAMES) for _ in range(rng.randrange(4))]
    return rng.choice([found, [*found, None], [found, ["inner"]], rng.choice(NAMES)])


MAKERS: dict[str, Callable[[random.Random], Any]] = {
    "level": lambda rng: rng.choice(LEVELS),
    "severity": lambda rng: rng.choice(["error", "warn", "nothing"]),
    "message": lambda rng: rng.choice([sentence(rng), sentence(rng), rng.choice(NAMES)]),
    "user": lambda rng: rng.choice(NAMES),
    "request_id": lambda rng: rng.choice(["req-8f31", "req-8f32", "REQ-8F31", 17, "17", "8f31"]),
    "status": lambda rng: rng.choice([a_number(rng), [a_number(rng), a_number(rng)]]),
    "took": a_number,
    "http": http,
    "tags": tags,
    "flag": lambda rng: rng.choice([True, False, "true", "False", None]),
    "at": a_date,
    "a b": lambda rng: rng.choice(WORDS),
    'quo"te': lambda rng: rng.choice(WORDS),
    "ключ": lambda rng: rng.choice(["значение", "ЗНАЧЕНИЕ", {}]),
    "deep": lambda rng: {"er": {"est": rng.choice(WORDS), "x": 1}} if rng.random() < 0.5 else {"er": []},
    "logger": lambda rng: rng.choice(["app.api", "app.chat", "app", "App.API"]),
}


# --- queries


class Maker:
    """Makes queries from one source of chance; `now` is the clock of the server."""

    def __init__(self, rng: random.Random, now: float) -> None:
        self.rng = rng
        self.now = now

    def query(self) -> Query:
        """A query of either language."""
        return self.query_string() if self.rng.random() < 0.5 else self.tree(3)

    def field(self, *, every: bool = True) -> str:
        """Where to look; now and then everywhere."""
        if every and self.rng.random() < 0.15:
            return self.rng.choice(["", "*", "http.*"])
        return self.rng.choice(FIELDS)

    def text(self) -> str:
        """What to look for: a word, a name, a number, a few words, or a piece of one."""
        rng = self.rng
        found = rng.choice(
            [rng.choice(WORDS), rng.choice(WORDS), rng.choice(NAMES), str(a_number(rng)),
             rng.choice(["app.api", "true"]), f"{rng.choice(WORDS)} {rng.choice(WORDS)}",
             str(rng.choice(LEVELS)), str(a_date(rng))]
        )  # fmt: skip
        return rng.choice([found, found, found.upper(), found.lower(), found[: rng.randrange(1, 6)]]) or "x"

    # --- Lucene

    def query_string(self) -> Query:
        """`query_string` with and without fields of its own."""
        body: dict[str, Any] = {}
        fields = [""]
        if self.rng.random() < 0.3:
            fields = [self.rng.choice(FIELDS) for _ in range(2)]
            body["fields"] = fields
        every = self.rng.random() < 0.3
        if every:
            body["default_operator"] = "and"
        text, test = self.group(fields, every, 3)
        return Query({"query_string": {"query": text, **body}}, test)

    def group(self, fields: list[str], every: bool, depth: int) -> tuple[str, Test]:
        """Clauses beside one another with operators and signs, read as Lucene's classic parser does."""
        rng = self.rng
        parts: list[str] = []
        signs: list[str] = []
        tests: list[Test] = []
        for n in range(rng.choice([1, 1, 2, 2, 3, 4])):
            by = rng.choice(["", "", "AND", "OR", "&&", "||"]) if n else ""
            sign = rng.choice(["", "", "", "", "+", "-", "NOT ", "!"])
            text, test = self.clause(fields, every, depth)
            parts += [by, sign + text]
            joined = {"&&": "AND", "||": "OR"}.get(by, by)
            forbidden = sign not in {"", "+"}
            if n and signs[-1] != "-":
                if joined == "AND":
                    signs[-1] = "+"
                if joined == "OR" and every:
                    signs[-1] = ""
            if every:
                needed = not forbidden and joined != "OR"
            else:
                needed = sign == "+" or (joined == "AND" and not forbidden)
            signs.append("-" if forbidden else "+" if needed else "")
            tests.append(test)
        return " ".join(filter(None, parts)), oracle.lucene(signs, tests)

    def clause(self, fields: list[str], every: bool, depth: int) -> tuple[str, Test]:
        """A clause, perhaps on a field, perhaps a group in brackets."""
        rng = self.rng
        prefix = ""
        if rng.random() < 0.6:
            name = self.field()
            if name in FIELDS and rng.random() < 0.2:
                name += ".keyword"
            if name:
                prefix, fields = ("*" if name == "*" else escaped(name, keep="*")) + ":", [name]
        if depth and rng.random() < 0.25:
            text, test = self.group(fields, every, depth - 1)
            return f"{prefix}({text})", test
        text, test = self.leaf(fields)
        return prefix + text + rng.choice(["", "", "", "^2", "^0.5"]), test

    def leaf(self, fields: list[str]) -> tuple[str, Test]:
        """A word, a phrase, a pattern, a range."""
        rng = self.rng
        kind = rng.randrange(8)
        if kind == 0:
            text, slop = self.text(), rng.choice([0, 0, 1, 3])
            return quoted(text) + (f"~{slop}" if slop else ""), each(
                fields,
                lambda f: oracle.term(f, text) if keyword(f) else words_test(f, text, slop=slop),
            )
        if kind == 1:
            raw, pieces = self.pattern()
            return raw, each(fields, lambda f: wild(f, pieces, any_case=not keyword(f)))
        if kind == 2:
            raw, fits = self.expression()
            return f"/{raw.replace('/', chr(92) + '/')}/", each(
                fields, lambda f: oracle.shaped(f, fits, any_case=False)
            )
        if kind == 3:
            low, high = self.number_ends()
            first, last = "[" if low.included else "{", "]" if high.included else "}"
            text = f"{first}{quoted(low.text)} TO {quoted(high.text)}{last}"
            return text, each(fields, lambda f: oracle.between(f, low, high))
        if kind == 4:
            up = rng.random() < 0.5
            end = self.number_ends()[0 if up else 1]
            sign = (">" if up else "<") + ("=" if end.included else "")
            return sign + quoted(end.text), each(
                fields, lambda f: oracle.between(f, end, None) if up else oracle.between(f, None, end)
            )
        if kind == 5:
            word = re.sub(r"\W", "", rng.choice(WORDS)) or "error"
            distance = rng.choice([None, 0, 1, 2])
            return f"{escaped(word)}~{'' if distance is None else distance}", each(
                fields, lambda f: oracle.near(f, word, distance)
            )
        text = self.text()
        return escaped(text), each(fields, lambda f: word_test(f, text))

    def pattern(self) -> tuple[str, list[str]]:
        """A wildcard pattern, escaped, and its pieces."""
        rng = self.rng
        text = self.text().replace("\n", "").replace("\t", "")
        at = rng.randrange(len(text) + 1)
        pieces = rng.choice(
            [[text[:at], "*"], ["*", text[at:]], [text[:at], "?", text[at + 1 :]], ["*", text, "*"]]
        )
        pieces = [piece for piece in pieces if piece]
        if pieces == ["*"]:
            pieces = ["?", "*"]
        return "".join(piece if piece in {"*", "?"} else escaped(piece) for piece in pieces), pieces

    def expression(self) -> tuple[str, Callable[[str], bool]]:
        """A regular expression in Lucene's language, and the same in Python's."""
        rng = self.rng
        word = rng.choice(["error", "fail", "req", "istanbul", "app", "8f"])
        ours, theirs = rng.choice(
            [
                (f"{word}.*", f"{word}.*"), (f".*{word}.*", f".*{word}.*"), ("[a-f]+", "[a-f]+"),
                ("[0-9]{3}", "[0-9]{3}"),
                (f"{word}|users?", f"{word}|users?"), ("app\\.(api|chat)", "app\\.(api|chat)"),
                ("^error", "\\^error"),
                ("error$", "error\\$"), ("@", ".*"), ('re"q-"8f..', "req-8f.."), ("[^a-z]+", "[^a-z]+"),
                ("/.*", "/.*"),
            ]
        )  # fmt: skip
        pattern = re.compile(theirs, re.DOTALL)
        return ours, lambda text: pattern.fullmatch(text) is not None

    def number_ends(self) -> tuple[End, End]:
        """Two ends of a range of numbers, of texts or of dates."""
        rng = self.rng
        kind = rng.randrange(3)
        low_in, high_in = rng.random() < 0.5, rng.random() < 0.5
        if kind == 0:
            first, second = rng.choice(["a", "error", "İ", "app"]), rng.choice(["f", "z", "user", "zz"])
            return End(first, low_in), End(second, high_in)
        if kind == 1:
            day = rng.randrange(1, 28)
            first, second = f"2026-03-{day:02}", f"2026-03-{min(28, day + rng.randrange(5)):02}"
            starts = [oracle.date_millis(text) or 0 for text in (first, second)]
            # "after a day" and "up to a day" mean its last millisecond.
            return (
                End(first, low_in, starts[0] + (0 if low_in else 86_399_999)),
                End(second, high_in, starts[1] + (86_399_999 if high_in else 0)),
            )
        low = rng.choice([-5, 0, 1.5, 3, 200, 403, 1e-06])
        return End(f"{low:f}" if isinstance(low, float) else str(low), low_in), End(
            str(rng.choice([3, 200, 404.5, 1000])), high_in
        )

    # --- trees

    def tree(self, depth: int) -> Query:
        """A query object."""
        if depth and self.rng.random() < 0.35:
            return self.combined(depth - 1)
        makers = [
            self.match, self.match, self.phrase, self.bool_prefix, self.several_fields, self.term, self.terms,
            self.range, self.exists, self.shape, self.shape, self.fuzzy, self.ids, self.time, self.simple,
            self.query_string, self.index,
        ]  # fmt: skip
        return self.rng.choice(makers)()

    def combined(self, depth: int) -> Query:
        """`bool`, `constant_score`, `dis_max`."""
        rng = self.rng
        kind = rng.randrange(8)
        if kind == 0:
            inner = self.tree(depth)
            return Query({"constant_score": {"filter": inner.body, "boost": 2}}, inner.test)
        if kind == 1:
            some = [self.tree(depth) for _ in range(2)]
            return Query(
                {"dis_max": {"queries": [q.body for q in some]}}, oracle.some_of([q.test for q in some])
            )
        body: dict[str, Any] = {}
        groups: dict[str, list[Query]] = {}
        for name in ("must", "filter", "should", "must_not"):
            if rng.random() < 0.45:
                groups[name] = [self.tree(depth) for _ in range(rng.randrange(1, 4))]
                body[name] = [q.body for q in groups[name]]
        needed = groups.get("must", []) + groups.get("filter", [])
        should = groups.get("should", [])
        least = 0 if needed or not should else 1
        if should and rng.random() < 0.5:
            asked = rng.randrange(len(should) + 1)
            body["minimum_should_match"] = (
                rng.choice([asked, str(asked), (asked - len(should)) or asked]) if asked else 0
            )
            least = max(least, asked)
        tests = [q.test for q in needed] + [oracle.none_of(q.test) for q in groups.get("must_not", [])]
        if least:
            tests.append(oracle.some_of([q.test for q in should], least))
        return Query({"bool": body}, oracle.all_of(tests))

    def match(self) -> Query:
        """`match` with its options."""
        rng = self.rng
        field, text = self.field(every=False) + rng.choice(["", "", "", ".keyword"]), self.text()
        options: dict[str, Any] = {"query": text}
        every, least = False, 1
        kind = rng.randrange(4)
        if kind == 0:
            options["operator"], every = "and", True
        elif kind == 1:
            least = options["minimum_should_match"] = rng.randrange(1, 3)
        elif kind == 2:
            return Query({"match": {field: text}}, oracle.match(field, text))
        return Query({"match": {field: options}}, oracle.match(field, text, every=every, least=least))

    def phrase(self) -> Query:
        """`match_phrase` and `match_phrase_prefix`."""
        rng = self.rng
        field, text = self.field(every=False), self.text()
        if rng.random() < 0.5:
            slop = rng.choice([0, 0, 1, 2])
            return Query(
                {"match_phrase": {field: {"query": text, "slop": slop}}}, words_test(field, text, slop=slop)
            )
        return Query({"match_phrase_prefix": {field: text}}, words_test(field, text, prefix=True))

    def bool_prefix(self) -> Query:
        """`match_bool_prefix`."""
        field, text = self.field(every=False), self.text()
        every = self.rng.random() < 0.5
        body = {"query": text, "operator": "and" if every else "or"}
        return Query({"match_bool_prefix": {field: body}}, bool_prefix_test(field, text, every))

    def several_fields(self) -> Query:
        """`multi_match` in its types."""
        rng = self.rng
        fields, text = [self.rng.choice(FIELDS) for _ in range(2)], self.text()
        kind = rng.choice(["best_fields", "most_fields", "phrase", "phrase_prefix", "bool_prefix"])
        body = {"query": text, "fields": [fields[0] + "^3", fields[1]], "type": kind}
        tests = {
            "phrase": lambda f: words_test(f, text),
            "phrase_prefix": lambda f: words_test(f, text, prefix=True),
            "bool_prefix": lambda f: bool_prefix_test(f, text, False),
        }
        return Query({"multi_match": body}, each(fields, tests.get(kind, lambda f: oracle.match(f, text))))

    def term(self) -> Query:
        """`term` with values of any type."""
        rng = self.rng
        field = self.field(every=False) + rng.choice(["", "", ".keyword"])
        value = rng.choice([self.text(), self.text(), a_number(rng), rng.random() < 0.5, rng.choice(NAMES)])
        if isinstance(value, str) and rng.random() < 0.2:
            body = {"value": value, "case_insensitive": True}
            return Query({"term": {field: body}}, oracle.term(field, value, any_case=True))
        return Query(
            {"term": {field: value if rng.random() < 0.5 else {"value": value}}}, oracle.term(field, value)
        )

    def terms(self) -> Query:
        """`terms`."""
        field = self.field(every=False)
        several = [self.text(), a_number(self.rng), self.rng.choice(NAMES)]
        return Query(
            {"terms": {field: several}}, oracle.some_of([oracle.term(field, value) for value in several])
        )

    def range(self) -> Query:
        """`range` on anything but the time stamp."""
        field = self.field(every=False)
        low, high = self.number_ends()
        body: dict[str, Any] = {"gte" if low.included else "gt": low.text}
        wanted: End | None = None
        if self.rng.random() < 0.7:
            wanted = high
            body["lte" if high.included else "lt"] = high.text
        return Query({"range": {field: body}}, oracle.between(field, low, wanted))

    def exists(self) -> Query:
        """`exists`."""
        field = self.rng.choice([*FIELDS, "http", "deep", "deep.er", "@timestamp"])
        return Query({"exists": {"field": field}}, oracle.exists(field))

    def shape(self) -> Query:
        """`wildcard`, `prefix` and `regexp`."""
        rng = self.rng
        field = self.field(every=False) + rng.choice(["", "", ".keyword"])
        any_case = rng.random() < 0.3
        more = {"case_insensitive": True} if any_case else {}
        any_case = any_case or field == "level"
        kind = rng.randrange(3)
        if kind == 0:
            raw, pieces = self.pattern()
            raw = "".join(
                piece if piece in {"*", "?"} else re.sub(r"([*?\\])", r"\\\1", piece) for piece in pieces
            )
            return Query(
                {"wildcard": {field: {"value": raw, **more}}}, wild(field, pieces, any_case=any_case)
            )
        if kind == 1:
            text = self.text()[: rng.randrange(1, 8)]
            return Query(
                {"prefix": {field: {"value": text, **more}}}, wild(field, [text, "*"], any_case=any_case)
            )
        raw, fits = self.expression()
        return Query({"regexp": {field: raw}}, oracle.shaped(field, fits, any_case=False))

    def fuzzy(self) -> Query:
        """`fuzzy`."""
        field, word = (
            self.field(every=False),
            self.rng.choice(["eror", "timeuot", "user", "fialed", "istanbull", "a"]),
        )
        distance = self.rng.choice(["AUTO", 1, 2])
        return Query(
            {"fuzzy": {field: {"value": word, "fuzziness": distance}}},
            oracle.near(field, word, None if distance == "AUTO" else int(distance)),
        )

    def ids(self) -> Query:
        """`ids`."""
        wanted = {f"{self.rng.choice('ab')}{self.rng.randrange(3000)}" for _ in range(self.rng.randrange(40))}
        return Query({"ids": {"values": sorted(wanted)}}, lambda doc: doc.id in wanted)

    def index(self) -> Query:
        """`_index` by name and by pattern."""
        name = self.rng.choice(["logs-web-*", "app", "logs-*", "*batch*", "none"])
        pieces = [piece for piece in re.split(r"(\*)", name) if piece]
        fits = oracle.like(pieces)
        return Query({"term": {"_index": name}}, lambda doc: fits(doc.index))

    def time(self) -> Query:
        """`range` on the time stamp: dates of any precision, date math, formats and time zones."""
        rng = self.rng
        low_text, *low = self.moment()
        high_text, *high = self.moment()
        low_in, high_in = rng.random() < 0.5, rng.random() < 0.5
        body: dict[str, Any] = {"gte" if low_in else "gt": low_text, "lte" if high_in else "lt": high_text}
        first = low[0] if low_in else low[1] + 1
        last = high[1] if high_in else high[0] - 1
        zone = rng.choice(["", "", "+03:00", "-05:30"])
        if zone:
            # Only what names no zone of its own moves: the dates; date math rounds in the zone.
            gap = {"+03:00": 180, "-05:30": -330}[zone] * 60_000
            one, two = self.zoned(gap), self.zoned(gap)
            body = {"gte": one[0], "lt": two[0], "time_zone": zone}
            first, last = one[1], two[1] - 1
        return Query({"range": {"@timestamp": body}}, oracle.at_time(first, last))

    def moment(self) -> tuple[str, int, int]:
        """A date as people write it, with its first and last millisecond."""
        rng = self.rng
        at = dt.datetime.fromtimestamp(self.now - rng.random() * 4 * 86_400, dt.UTC)
        kind = rng.randrange(6)
        units = {"d": dt.timedelta(days=1), "h": dt.timedelta(hours=1), "m": dt.timedelta(minutes=1)}
        if kind == 0:
            start = at.replace(hour=0, minute=0, second=0, microsecond=0)
            return f"{start:%Y-%m-%d}", ms(start), ms(start + units["d"]) - 1
        if kind == 1:
            start = at.replace(second=0, microsecond=0)
            return f"{start:%Y-%m-%dT%H:%M}", ms(start), ms(start + units["m"]) - 1
        if kind == 2:
            return str(ms(at)), ms(at), ms(at)
        if kind == 3:
            count, unit = rng.randrange(1, 50), rng.choice("hm")
            moved = dt.datetime.fromtimestamp(self.now, dt.UTC) - count * units[unit]
            return f"now-{count}{unit}", ms(moved), ms(moved)
        if kind == 4:
            count = rng.randrange(4)
            today = dt.datetime.fromtimestamp(self.now, dt.UTC).replace(
                hour=0, minute=0, second=0, microsecond=0
            )
            start = today - count * units["d"]
            return f"now-{count}d/d", ms(start), ms(start + units["d"]) - 1
        start = at.replace(microsecond=0)
        return f"{start:%Y-%m-%dT%H:%M:%S}Z||+1h", ms(start + units["h"]), ms(start + units["h"])

    def zoned(self, gap: int) -> tuple[str, int]:
        """A local date without a zone, or a rounding to local days, and its first millisecond."""
        at = dt.datetime.fromtimestamp(self.now - self.rng.random() * 4 * 86_400, dt.UTC)
        if self.rng.random() < 0.5:
            start = at.replace(hour=0, minute=0, second=0, microsecond=0)
            return f"{start:%Y-%m-%d}", ms(start) - gap
        local = int(self.now * 1000) + gap
        return "now/d", local - local % 86_400_000 - gap

    def simple(self) -> Query:
        """`simple_query_string`: left to right, a `-` is everything but the word."""
        rng = self.rng
        field = self.rng.choice(["message", "user", "tags"])
        every = rng.random() < 0.5
        text, test = "", None
        for n in range(rng.randrange(1, 5)):
            word = rng.choice(["error", "failed", "user", "istanbul", "8f31", "ödeme", "500"])
            kind = rng.randrange(3)
            if kind == 0:
                second = rng.choice(["failed", "user", "timeout"])
                part, own = f'"{word} {second}"', oracle.has_words(field, f"{word} {second}")
            elif kind == 1:
                part, own = word[:3] + "*", oracle.has_words(field, word[:3], prefix=True)
            else:
                part, own = word, oracle.has_words(field, word)
            if rng.random() < 0.25:
                part, own = "-" + part, oracle.none_of(own)
            by = rng.choice(["", "+", "|"]) if n else ""
            joined = "+" if by == "+" or (not by and every) else "|"
            text += f" {by} {part}"
            test = own if test is None else (oracle.all_of if joined == "+" else oracle.some_of)([test, own])
        assert test is not None
        body = {"query": text.strip(), "fields": [field], "default_operator": "and" if every else "or"}
        return Query({"simple_query_string": body}, test)


def ms(moment: dt.datetime) -> int:
    """Epoch milliseconds, cut off."""
    return (moment - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)) // dt.timedelta(milliseconds=1)


def each(fields: list[str], make: Callable[[str], Test]) -> Test:
    """On any of the fields."""
    return oracle.some_of([make(field) for field in fields])


def keyword(field: str) -> bool:
    """Whether only the whole value is meant."""
    return field.endswith(".keyword")


def word_test(field: str, text: str) -> Test:
    """A word of a query string; one without a letter or digit must be the whole value."""
    return (
        oracle.has_words(field, text)
        if oracle.tokens(text) and not keyword(field)
        else oracle.term(field, text)
    )


def words_test(field: str, text: str, *, slop: int = 0, prefix: bool = False) -> Test:
    """A phrase of a tree."""
    if not oracle.tokens(text):
        return oracle.term(field, text)
    return oracle.has_words(field, text, slop=slop, prefix=prefix)


def bool_prefix_test(field: str, text: str, every: bool) -> Test:
    """Words, of which the last may go on."""
    words = oracle.tokens(text)
    if not words:
        return lambda doc: False
    tests = [oracle.has_words(field, word) for word in words[:-1]]
    tests.append(oracle.has_words(field, words[-1], prefix=True))
    return oracle.some_of(tests, len(tests) if every else 1)


def wild(field: str, pieces: list[str], *, any_case: bool) -> Test:
    """A wildcard pattern on a field."""
    return oracle.shaped(
        field,
        oracle.like([oracle.lower(piece) for piece in pieces] if any_case else pieces),
        any_case=any_case,
    )


def escaped(text: str, keep: str = "") -> str:
    """A word of a query string in which no character has a meaning."""
    out = "".join("\\" + char if not (char.isalnum() or char in "_." + keep) else char for char in text)
    return "\\" + out if out in {"AND", "OR", "NOT"} else out


def quoted(text: str) -> str:
    """A phrase of a query string."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def line(doc: Doc) -> str:
    """The two lines of `_bulk`."""
    head = json.dumps({"create": {"_index": doc.index, "_id": doc.id}})
    return f"{head}\n{json.dumps(doc.body, ensure_ascii=doc.millis % 2 == 0)}\n"
