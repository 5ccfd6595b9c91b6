"""`highlight`: which fields of a hit are shown with marks, around what, and how they are marked."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from mamimon.logs.clauses import Clause, Row
from mamimon.logs.highlight import marked
from mamimon.logs.text import leaves, shown
from mamimon.logs.wire.elasticsearch.body import token, truth
from mamimon.logs.wire.elasticsearch.dsl import Dsl
from mamimon.logs.wire.elasticsearch.errors import parsing
from mamimon.logs.wire.elasticsearch.known import check_highlight

_TAGS = {"default": ("<em>", "</em>"), "styled": ('<em class="hlt1">', "</em>")}


class Mark(msgspec.Struct, frozen=True):
    """How the fields of a name or pattern are marked."""

    name: str
    before: str
    after: str
    clause: Clause | None
    """What is looked for, where it is not what the search looks for."""
    anywhere: bool
    """Words are marked that the query looks for in other fields."""


def read_marks(spec: Any, now: float) -> list[Mark]:
    """The `highlight` of a body; options of a field come before those of all."""
    if not spec:
        return []
    check_highlight(spec)
    fields = spec.get("fields", {})
    pairs = [pair for part in (fields if isinstance(fields, list) else [fields]) for pair in part.items()]
    return [_mark(str(name), {**spec, **own}, now) for name, own in pairs]


def _mark(name: str, options: dict[str, Any], now: float) -> Mark:
    schema = options.get("tags_schema", "default")
    if schema not in _TAGS:
        raise parsing(f"Unknown tag schema [{str(schema)[:40]}]")
    before, after = (
        _first(options.get(key, tag))
        for key, tag in zip(("pre_tags", "post_tags"), _TAGS[schema], strict=True)
    )
    query = options.get("highlight_query")
    if query is not None and not isinstance(query, dict):
        raise parsing(f"Unknown key for a {token(query)} in [highlight_query].")
    return Mark(
        name=name,
        before=before,
        after=after,
        clause=None if query is None else Dsl(now).read(query),
        anywhere=not truth(options.get("require_field_match", True)),
    )


def _first(tags: Any) -> str:
    return shown(tags[0]) if isinstance(tags, list) and tags else shown(tags)


def marks_of(marks: list[Mark], clause: Clause, row: Row) -> dict[str, list[str]]:
    """The texts of a row that hold what is looked for, marked."""
    found: dict[str, list[str]] = {}
    for path, value in leaves(row.document):
        if not isinstance(value, str):
            continue
        # The first that names the field says how.
        mark = next((one for one in marks if path_match(path, one.name)), None)
        if mark is None:
            continue
        text = marked(mark.clause or clause, path, value, mark.before, mark.after, anywhere=mark.anywhere)
        if text is not None:
            found.setdefault(path, []).append(text)
    return found


def path_match(path: str, pattern: str) -> bool:
    """Whether a name or a pattern with stars means the path."""
    if pattern in {"*", path}:
        return True
    return "*" in pattern and re.fullmatch(re.escape(pattern).replace(r"\*", ".*"), path) is not None
