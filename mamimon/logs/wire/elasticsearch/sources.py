"""How a hit is written: `_source` and its filters, `fields`, `docvalue_fields`, highlights."""

from __future__ import annotations

from typing import Any

import msgspec

from mamimon.logs.catalogue import kind_of
from mamimon.logs.clauses import Clause, Row, glob
from mamimon.logs.dateformat import write_date
from mamimon.logs.dates import parse_iso
from mamimon.logs.text import leaves, shown
from mamimon.logs.wire.elasticsearch.body import token, truth
from mamimon.logs.wire.elasticsearch.errors import EsError, illegal, parsing, unknown_field
from mamimon.logs.wire.elasticsearch.marking import Mark, marks_of, path_match
from mamimon.logs.wire.elasticsearch.sorting import Sort, ranked

_LONGEST_KEYWORD = 256
_EXPLANATION = {"value": 1.0, "description": "log lines are not scored: every match counts 1", "details": []}


class Sources(msgspec.Struct):
    """What of a document an answer shows."""

    whole: bool = True
    none: bool = False
    includes: list[str] = []
    excludes: list[str] = []
    fields: list[tuple[str, str, bool]] = []
    """Name or pattern, format, and whether columns are asked, which keep values in order."""
    marks: list[Mark] = []
    version: bool = False
    seq_no: bool = False
    explained: bool = False
    scored: bool = False
    """Scores are wanted in spite of a sort."""
    bare: bool = False
    """Not even the id is wanted."""
    clause: Clause | None = None
    named: list[tuple[str, Clause]] = []
    """Parts of the query that have a name: a hit says which of them it matches."""

    @classmethod
    def read(cls, body: dict[str, Any]) -> Sources:
        """From a search body (or the same keys of a URI)."""
        one = cls()
        stored = body.get("stored_fields")
        one.bare = stored in ("_none_", ["_none_"])
        # Who asks for single fields gets no document beside them, unless asked for.
        asked = stored is None or "_source" in (stored if isinstance(stored, list) else [stored])
        spec = body.get("_source", asked)
        if isinstance(spec, bool):
            one.none = not spec
        elif isinstance(spec, str):
            one.includes = [spec]
        elif isinstance(spec, list):
            if any(part is None or isinstance(part, (dict, list)) for part in spec):
                raise parsing("Expected [VALUE_STRING] in [_source]")
            one.includes = list(map(shown, spec))
        elif isinstance(spec, dict):
            if unknown := set(spec) - {"includes", "include", "excludes", "exclude"}:
                raise parsing(f"Unknown key for a {token(spec[min(unknown)])} in [{min(unknown)[:80]}].")
            one.includes = _list(spec.get("includes", spec.get("include", [])))
            one.excludes = _list(spec.get("excludes", spec.get("exclude", [])))
        else:
            raise parsing(
                "Expected one of [VALUE_BOOLEAN, VALUE_STRING, START_ARRAY, START_OBJECT]"
                f" but found [{token(spec)}]"
            )
        one.whole = not (one.none or one.includes or one.excludes)
        for key in ("fields", "docvalue_fields", "stored_fields"):
            wanted = body.get(key) or []
            for part in wanted if isinstance(wanted, list) else [wanted]:
                name, form = _wanted(key, part)
                if key != "stored_fields" or name not in {"_source", "*", "_none_"}:
                    one.fields.append((name, form, key == "docvalue_fields"))
        one.version = truth(body.get("version"))
        one.seq_no = truth(body.get("seq_no_primary_term"))
        one.explained = truth(body.get("explain"))
        one.scored = truth(body.get("track_scores"))
        return one

    def hit(self, row: Row, sort: Sort) -> dict[str, Any]:
        """One entry of `hits.hits`."""
        score = None if sort.given and not self.scored else 1.0
        hit: dict[str, Any] = {"_index": row.index, "_id": row.id, "_score": score}
        if self.bare:
            del hit["_id"]
        if self.version:
            hit["_version"] = 1
        if self.seq_no:
            hit.update(_seq_no=row.seq, _primary_term=1)
        if self.whole:
            hit["_source"] = msgspec.Raw(row.raw)
        elif not self.none:
            hit["_source"] = self.filtered(row.document)
        if self.fields and (found := self._fields(row)):
            hit["fields"] = found
        if self.marks and self.clause is not None and (marks := marks_of(self.marks, self.clause, row)):
            hit["highlight"] = marks
        if sort.given:
            hit["sort"] = sort.values(row)
        if self.named and (names := {name: 0 for name, clause in self.named if clause.match(row)}):
            hit["matched_queries"] = list(names)
        if self.explained:
            hit["_explanation"] = _EXPLANATION
        return hit

    def filtered(self, document: dict[str, Any]) -> dict[str, Any]:
        """The document with only the paths that are asked for."""
        return _filter(document, "", self.includes, self.excludes)

    def _fields(self, row: Row) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, form, columns in self.fields:
            for path, values in _named(row, name):
                written = [
                    write_date(value, form) if path == "@timestamp" else _formed(value, form)
                    for value in values
                ]
                if columns:
                    found.setdefault(path, []).extend(_column(written))
                else:
                    found[path] = written
        return found


def _wanted(key: str, part: Any) -> tuple[str, str]:
    """Name and format of one of `fields` and the like."""
    if part is not None and not isinstance(part, (dict, list)):
        return shown(part), ""
    if key == "stored_fields":
        raise parsing(f"Expected [VALUE_STRING] in [{key}] but found [{token(part)}]")
    if not isinstance(part, dict):
        raise EsError(
            400, "x_content_parse_exception", f"[{key}] expected an object but found [{token(part)}]"
        )
    if unknown := set(part) - {"field", "format", "include_unmapped"}:
        raise unknown_field(key, min(unknown))
    if not isinstance(part.get("field"), str):
        raise illegal("Required [field]")
    return part["field"], str(part.get("format") or "")


def _named(row: Row, name: str) -> list[tuple[str, list[Any]]]:
    """The fields that a name or a pattern means, with their values."""
    if "*" not in name:
        values = row.values(name)
        return [(name, values)] if values else []
    pattern = glob(name, fold_case=False)
    found: dict[str, list[Any]] = {}
    for path, value in leaves(row.document):
        if path == "@timestamp":
            continue
        # Text is a keyword as well, up to a length.
        twice = kind_of(value) == "text" and len(value) <= _LONGEST_KEYWORD
        for one in (path, f"{path}.keyword") if twice else (path,):
            if pattern.fullmatch(one):
                found.setdefault(one, []).append(value)
    if pattern.fullmatch("@timestamp"):
        found["@timestamp"] = row.values("@timestamp")
    return list(found.items())


def _formed(value: Any, form: str) -> Any:
    """A date in the format that is asked for, or as Elasticsearch's default has it."""
    if isinstance(value, str) and kind_of(value) == "date":
        seconds = parse_iso(value)
        return value if seconds is None else write_date(round(seconds * 1000), form)
    return value


def _column(values: list[Any]) -> list[Any]:
    """Values as a column has them: in order, and text once."""
    if all(isinstance(value, str) for value in values):
        return sorted(set(values), key=lambda value: ranked(kind_of(value), value))
    return sorted(values, key=lambda value: (isinstance(value, str), value))


def _list(value: Any) -> list[str]:
    return [str(part) for part in value] if isinstance(value, list) else [str(value)]


def _below(path: str, pattern: str) -> bool:
    """Whether the pattern names the path itself, something above it, or something inside it."""
    return path_match(path, pattern) or path_match(path, pattern + ".*")


def _filter(
    document: dict[str, Any], prefix: str, includes: list[str], excludes: list[str]
) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for key, value in document.items():
        path = f"{prefix}.{key}" if prefix else key
        if any(_below(path, pattern) for pattern in excludes):
            continue
        taken = not includes or any(_below(path, pattern) for pattern in includes)
        if isinstance(value, dict):
            inner = _filter(value, path, [] if taken else includes, excludes)
            if inner or (taken and not value):
                kept[key] = inner
        elif isinstance(value, list) and any(isinstance(part, dict) for part in value):
            parts = [
                _filter(part, path, [] if taken else includes, excludes) if isinstance(part, dict) else part
                for part in value
                if taken or isinstance(part, dict)
            ]
            if taken or any(parts):
                kept[key] = parts
        elif taken:
            kept[key] = value
    return kept
