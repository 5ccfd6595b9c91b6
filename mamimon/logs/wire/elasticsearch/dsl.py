"""Elasticsearch's query DSL to clauses."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any

from mamimon.logs import clauses as c
from mamimon.logs.dateformat import read_date
from mamimon.logs.dates import parse_bound, zone
from mamimon.logs.lucene_terms import bound
from mamimon.logs.regexes import lucene_regex, outline
from mamimon.logs.text import fold, shown, tokens
from mamimon.logs.wire.elasticsearch.errors import EsError, bad_date, illegal, parsing, unknown_field
from mamimon.logs.wire.elasticsearch.known import UNSUPPORTED, check_query
from mamimon.logs.wire.elasticsearch.options import (
    check_analyzer,
    check_object,
    either,
    fielded,
    minimum,
    name_of,
    none_or_all,
    texts,
    unboosted,
)
from mamimon.logs.wire.elasticsearch.strings import query_string, simple_query_string

_DEEPEST = 60
_MOST_TERMS = 65_536
_CLAUSES = {
    "must", "filter", "should", "must_not", "minimum_should_match", "boost", "_name", "adjust_pure_negative",
}  # fmt: skip


class Dsl:
    """Reads queries at one moment; `now` is what date math starts from."""

    def __init__(self, now: float) -> None:
        self.now = now
        self.named: list[tuple[str, c.Clause]] = []
        """The queries that have a `_name`."""
        self._depth = 0

    def read(self, query: Any) -> c.Clause:
        """The clause of a query object; what is not understood raises an `EsError`."""
        if query is None:
            return c.All()
        if not isinstance(query, dict):
            raise parsing("[_na] query malformed, must start with start_object")
        if len(query) != 1:
            if not query:
                raise illegal("query malformed, empty clause found")
            second = list(query)[1]
            raise parsing(
                f"[{next(iter(query))}] malformed query, expected [END_OBJECT]"
                f" but found [FIELD_NAME]: {second}"
            )
        name, body = next(iter(query.items()))
        reader = _READERS.get(name)
        if reader is None:
            if name in UNSUPPORTED:
                raise illegal(f"[{name}] queries are not supported by a log store")
            raise EsError(400, "parsing_exception", f"unknown query [{name}]")
        self._depth += 1
        if self._depth > _DEEPEST:
            raise illegal("The nested depth of the query exceeds the maximum nested depth")
        try:
            clause = reader(self, body)
        finally:
            self._depth -= 1
        if (own := name_of(body)) is not None:
            self.named.append((own, clause))
        return clause

    def several(self, body: Any) -> list[c.Clause]:
        """One query or a list of them."""
        return [self.read(one) for one in (body if isinstance(body, list) else [body])]

    def bool_(self, body: Any) -> c.Clause:
        """`bool`."""
        check_object("bool", body)
        must = [
            *self.several(body.get("must") or []),
            *self.several(body.get("filter") or []),
        ]
        should = self.several(body.get("should") or [])
        never = self.several(body.get("must_not") or [])
        unknown = set(body) - _CLAUSES
        if unknown:
            raise unknown_field("bool", min(unknown))
        default = 0 if must else 1
        least = minimum(body.get("minimum_should_match"), len(should), default) if should else 0
        if should and not must:
            # Lucene: with nothing that must match, one of those that may has to.
            least = max(1, least)
        if least > 0:
            must.append(c.Or(should, least))
        parts = [*must, *(c.Not(one) for one in never)]
        return parts[0] if len(parts) == 1 else c.And(parts) if parts else c.All()

    def match(self, body: Any) -> c.Clause:
        """`match`: the tokens of the text, any or all of them."""
        field, options = fielded("match", body, "query")
        check_query("match", options)
        return self._match(field, options)

    def _match(self, field: str, options: dict[str, Any]) -> c.Clause:
        if "query" not in options:
            raise parsing("No text specified for text query")
        check_analyzer(options)
        text = shown(options["query"])
        words = tokens(text)
        if field.endswith(".keyword") or not words:
            empty = none_or_all(options)
            return c.Exact(field, text) if text and isinstance(empty, c.Nothing) else empty
        if field == "@timestamp":
            return self.range({field: {"gte": text, "lte": text}})
        if c.plain_number(text) is not None:
            return c.Words(field, text)
        distance = options.get("fuzziness")
        limit = None if str(distance).upper().startswith("AUTO") else int(distance or 0)

        def make(word: str) -> c.Clause:
            return c.Words(field, word) if limit == 0 else c.Fuzzy(field, word, limit)

        # A word that is asked for twice counts twice, where it is counted.
        counted = "minimum_should_match" in options
        parts = [make(word) for word in (words if counted else dict.fromkeys(words))]
        every = str(options.get("operator", "or")).lower() == "and"
        least = len(parts) if every else minimum(options.get("minimum_should_match"), len(parts), 1)
        if len(parts) == 1:
            return parts[0]
        # More than there are cannot match.
        return c.And(parts) if least == len(parts) else c.Or(parts, max(1, least))

    def match_phrase(self, body: Any, prefix: bool = False) -> c.Clause:
        """`match_phrase`, and with `prefix` `match_phrase_prefix`."""
        name = "match_phrase_prefix" if prefix else "match_phrase"
        field, options = fielded(name, body, "query")
        check_query(name, options)
        check_analyzer(options)
        text = shown(options.get("query", ""))
        if field.endswith(".keyword") and prefix:
            return self.prefix({field: text})
        if field.endswith(".keyword") or not tokens(text):
            return c.Exact(field, text) if text else c.Nothing()
        return c.Words(field, text, slop=int(options.get("slop", 0)), prefix=prefix)

    def match_bool_prefix(self, body: Any) -> c.Clause:
        """`match_bool_prefix`: tokens, the last one as a prefix."""
        field, options = fielded("match_bool_prefix", body, "query")
        check_query("match_bool_prefix", options)
        words = tokens(shown(options.get("query", "")))
        if not words:
            return c.Nothing()
        parts: list[c.Clause] = [c.Words(field, word) for word in words[:-1]]
        parts.append(c.Words(field, words[-1], prefix=True))
        every = str(options.get("operator", "or")).lower() == "and"
        if every or len(parts) == 1:
            return c.And(parts)
        return c.Or(parts, max(1, minimum(options.get("minimum_should_match"), len(parts), 1)))

    def multi_match(self, body: Any) -> c.Clause:
        """`multi_match`."""
        check_object("multi_match", body)
        check_query("multi_match", body)
        check_analyzer(body)
        fields = [unboosted(field) for field in texts(body.get("fields") or [""])]
        kind = str(body.get("type", "best_fields"))
        readers: dict[str, Callable[[Any], c.Clause]] = {
            "phrase": self.match_phrase,
            "phrase_prefix": lambda one: self.match_phrase(one, prefix=True),
            "bool_prefix": self.match_bool_prefix,
        }
        options = {k: v for k, v in body.items() if k not in {"fields", "type", "tie_breaker"}}
        # A phrase is searched whole, and only it can be loose.
        of_phrase = ("query", "slop", "analyzer", "zero_terms_query")
        phrased = kind.startswith("phrase")
        options = {k: v for k, v in options.items() if (k in of_phrase if phrased else k != "slop")}
        if kind == "cross_fields" and str(body.get("operator", "or")).lower() == "and":
            words = tokens(shown(body.get("query", "")))
            return c.And([c.Or([c.Words(f, word) for f in fields]) for word in words] or [c.Nothing()])
        reader = readers.get(kind, self.match)
        return either([reader({field: options}) for field in fields])

    def term(self, body: Any) -> c.Clause:
        """`term`."""
        field, options = fielded("term", body, "value")
        check_query("term", options)
        if "value" not in options:
            raise illegal("value cannot be null")
        value = options["value"]
        if isinstance(value, (dict, list)):
            raise parsing("[term] query does not support arrays or objects")
        return self._exact(field, value, bool(options.get("case_insensitive")))

    def _exact(self, field: str, value: Any, fold_case: bool = False) -> c.Clause:
        if value is None:
            raise illegal("value cannot be null")
        if field == "@timestamp":
            return self.range({field: {"gte": value, "lte": value}})
        if field == "_id":
            return c.Ids([shown(value)])
        if field == "_index" and "*" in shown(value):
            return c.Pattern(field, c.glob(shown(value)), wildcard=shown(value))
        return c.Exact(field, value, fold_case=fold_case)

    def terms(self, body: Any) -> c.Clause:
        """`terms`."""
        check_object("terms", body)
        fields = {k: v for k, v in body.items() if k not in {"boost", "_name"}}
        if len(fields) != 1:
            raise parsing("[terms] query requires exactly one field")
        field, values = next(iter(fields.items()))
        if not isinstance(values, list):
            raise parsing("[terms] query does not support a lookup; give a list of values")
        if len(values) > _MOST_TERMS:
            raise illegal(
                f"the number of terms [{len(values)}] exceeds the allowed maximum of [{_MOST_TERMS}]"
            )
        return either([self._exact(field, value) for value in values]) if values else c.Nothing()

    def range(self, body: Any) -> c.Clause:
        """`range`, with date math, formats and time zones."""
        field, options = fielded("range", body, "")
        check_query("range", options)
        low, high = options.get("gte", options.get("from")), options.get("lte", options.get("to"))
        low_in, high_in = options.get("include_lower", True), options.get("include_upper", True)
        if options.get("gt") is not None:
            low, low_in = options["gt"], False
        if options.get("lt") is not None:
            high, high_in = options["lt"], False
        return c.Range(
            field,
            None if low is None else self._end(field, low, bool(low_in), not low_in, options),
            None if high is None else self._end(field, high, bool(high_in), bool(high_in), options),
        )

    def _end(self, field: str, value: Any, included: bool, up: bool, options: dict[str, Any]) -> c.Bound:
        text = shown(value)
        form = str(options.get("format") or "")
        if not form and not options.get("time_zone"):
            return bound(field, text, included, self.now, up=up, first_day=True)
        tz = zone(str(options.get("time_zone") or ""))
        reader = partial(read_date, form=form, tz=tz) if form else None
        seconds = parse_bound(text, self.now, up=up, tz=tz, read=reader, first_day=True)
        if seconds is None:
            raise bad_date(text, form)
        return c.Bound(text, included, seconds)

    def exists(self, body: Any) -> c.Clause:
        """`exists`."""
        check_object("exists", body)
        check_query("exists", body)
        if not isinstance(body.get("field"), str):
            raise parsing("[exists] must be provided with a [field]")
        return c.Exists(body["field"])

    def prefix(self, body: Any) -> c.Clause:
        """`prefix`."""
        field, options = self._shape("prefix", body)
        text = shown(options["value"])
        escaped = re.sub(r"([*?\\])", r"\\\1", text)
        return self._glob(field, escaped + "*", text, options)

    def wildcard(self, body: Any) -> c.Clause:
        """`wildcard`."""
        field, options = self._shape("wildcard", body)
        text = shown(options["value"])
        return self._glob(field, text, c.literal_start(text), options)

    def _shape(self, name: str, body: Any) -> tuple[str, dict[str, Any]]:
        """Field and options of a query by the shape of a value, which must be there."""
        field, options = fielded(name, body, "value")
        check_query(name, options)
        value = options.get("value", options.get(name))
        if value is None:
            raise illegal("value cannot be null")
        return field, {**options, "value": value}

    def _glob(self, field: str, pattern: str, start: str, options: dict[str, Any]) -> c.Clause:
        folded = field == "level" or bool(options.get("case_insensitive"))
        compiled = c.glob(pattern, fold_case=folded)
        return c.Pattern(field, compiled, starts=fold(start), fold_case=folded, wildcard=pattern)

    def regexp(self, body: Any) -> c.Clause:
        """`regexp`."""
        field, options = self._shape("regexp", body)
        text = shown(options["value"])
        folded = bool(options.get("case_insensitive"))
        compiled, wildcard = lucene_regex(text, fold_case=folded), outline(text)
        start = c.literal_start(wildcard)
        return c.Pattern(field, compiled, starts=start, fold_case=folded, wildcard=wildcard)

    def fuzzy(self, body: Any) -> c.Clause:
        """`fuzzy`."""
        field, options = self._shape("fuzzy", body)
        distance = options.get("fuzziness", "AUTO")
        limit = None if str(distance).upper().startswith("AUTO") else int(distance)
        return c.Fuzzy(field, shown(options.get("value", "")), limit)

    def ids(self, body: Any) -> c.Clause:
        """`ids`."""
        check_object("ids", body)
        check_query("ids", body)
        return c.Ids(texts(body.get("values") or []))

    def inner(self, body: Any, name: str = "constant_score") -> c.Clause:
        """`constant_score` and others that only change the score."""
        check_object(name, body)
        if name != "pinned":
            check_query(name, body)
        for key in ("filter", "query", "positive", "organic"):
            if key in body:
                return self.read(body[key])
        if name == "function_score":
            return c.All()
        raise parsing(f"[{name}] requires a filter element")

    def dis_max(self, body: Any) -> c.Clause:
        """`dis_max`."""
        check_object("dis_max", body)
        check_query("dis_max", body)
        if not body.get("queries"):
            raise parsing("[dis_max] requires 'queries' field with at least one clause")
        return either(self.several(body.get("queries") or []))


_READERS: dict[str, Callable[[Dsl, Any], c.Clause]] = {
    "bool": Dsl.bool_,
    "match": Dsl.match,
    "match_phrase": Dsl.match_phrase,
    "match_phrase_prefix": lambda dsl, body: dsl.match_phrase(body, prefix=True),
    "match_bool_prefix": Dsl.match_bool_prefix,
    "multi_match": Dsl.multi_match,
    "match_all": lambda dsl, body: c.All(),
    "match_none": lambda dsl, body: c.Nothing(),
    "term": Dsl.term,
    "terms": Dsl.terms,
    "range": Dsl.range,
    "query_string": lambda dsl, body: query_string(body, dsl.now),
    "simple_query_string": lambda dsl, body: simple_query_string(body),
    "exists": Dsl.exists,
    "prefix": Dsl.prefix,
    "wildcard": Dsl.wildcard,
    "regexp": Dsl.regexp,
    "fuzzy": Dsl.fuzzy,
    "ids": Dsl.ids,
    "constant_score": Dsl.inner,
    "boosting": lambda dsl, body: dsl.inner(body, "boosting"),
    "function_score": lambda dsl, body: dsl.inner(body, "function_score"),
    "pinned": lambda dsl, body: dsl.inner(body, "pinned"),
    "dis_max": Dsl.dis_max,
}
