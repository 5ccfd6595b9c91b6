"""Variables and intervals put into queries, titles and links."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from urllib.parse import quote

import msgspec

from mamimon.window import Window

_NAME = re.compile(
    r"\$([a-zA-Z_][a-zA-Z0-9_]*)|\$\{([a-zA-Z_][a-zA-Z0-9_]*)(?::([a-z]+))?\}|\[\[([a-zA-Z_]\w*)(?::([a-z]+))?\]\]"
)
_IN_REGEX = re.compile(r"[=!]~\s*(\"(?:[^\"\\]|\\.)*|'(?:[^'\\]|\\.)*|`[^`]*)$")
_IN_STRING = re.compile(r"=\s*\"(?:[^\"\\]|\\.)*$")


class Value(msgspec.Struct, frozen=True):
    """What a variable stands for: its picked values and a regular expression that matches them."""

    regex: str
    picked: tuple[str, ...] = ()

    def plain(self) -> str:
        """The value where no regular expression is read: several are joined by `|`."""
        return "|".join(self.picked) if self.picked else self.regex


def value_of(picked: Sequence[str]) -> Value:
    """The value of a choice."""
    return Value("|".join(map(re.escape, picked)), tuple(picked))


def expand(expr: str, window: Window, values: Mapping[str, Value], points: int = 240) -> str:
    """PromQL with `$name` of each variable and Grafana's intervals in it.

    Inside `=~"…"` a variable is a regular expression, elsewhere the value itself; a name that is none of
    the variables stays as it is.
    """
    lengths = _lengths(window, points)

    def fill(found: re.Match[str]) -> str:
        name = found[1] or found[2] or found[4]
        form = found[3] or found[5] or ""
        if name not in values:
            return lengths.get(name, found[0])
        before = expr[: found.start()]
        in_regex = _IN_REGEX.search(before)
        if form:
            text = _formatted(values[name], form)
        else:
            text = values[name].regex if in_regex else values[name].plain()
        quoted = (in_regex and in_regex[1][0] == '"') or _IN_STRING.search(before)
        return text.replace("\\", "\\\\").replace('"', '\\"') if quoted else text

    return _NAME.sub(fill, expr)


def expand_logs(query: str, values: Mapping[str, Value]) -> str:
    """A Lucene query with each variable as a quoted term, several as `(a OR b)`; all is `*`."""

    def fill(found: re.Match[str]) -> str:
        name = found[1] or found[2] or found[4]
        if name not in values:
            return found[0]
        picked = values[name].picked
        if not picked:
            return "*"
        before, after = query[: found.start()], query[found.end() :]
        if before.endswith('"') and after.startswith('"') and len(picked) == 1:
            return picked[0].replace("\\", "\\\\").replace('"', '\\"')
        terms = [msgspec.json.encode(one).decode() for one in picked]
        return terms[0] if len(terms) == 1 else "(" + " OR ".join(terms) + ")"

    return _NAME.sub(fill, query)


def expand_text(text: str, values: Mapping[str, Value], *, in_url: bool = False) -> str:
    """A title or link with the picked values in it."""

    def fill(found: re.Match[str]) -> str:
        name = found[1] or found[2] or found[4]
        if name not in values:
            return found[0]
        said = ", ".join(values[name].picked) or "*"
        return quote(said, safe="") if in_url else said

    return _NAME.sub(fill, text)


def names_in(text: str) -> set[str]:
    """The variables that a text names."""
    return {found[1] or found[2] or found[4] for found in _NAME.finditer(text)}


def _lengths(window: Window, points: int) -> dict[str, str]:
    step = max(1, int(window.step(points)))
    whole = max(1, int(window.end - window.start))
    # Four scrapes, so that one missed scrape leaves a rate: Grafana's rule for $__rate_interval.
    return {
        "__interval": f"{step}s",
        "__interval_ms": str(step * 1000),
        "__rate_interval": f"{max(step, 60)}s",
        "__range": f"{whole}s",
        "__range_s": str(whole),
        "__range_ms": str(whole * 1000),
        "__from": f"{window.start * 1000:.0f}",
        "__to": f"{window.end * 1000:.0f}",
    }


def _formatted(value: Value, form: str) -> str:
    match form:
        case "regex":
            return value.regex
        case "csv":
            return ",".join(value.picked) or value.regex
        case "percentencode":
            return quote(value.plain(), safe="")
    return value.plain()
