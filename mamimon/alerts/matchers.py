"""Matchers as Alertmanager writes them: `name="value"`, `!=`, `=~`, `!~`, alone or in braces."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Literal, cast

import msgspec
import re2

from mamimon.problems import bad_input

Op = Literal["=", "!=", "=~", "!~"]
_ONE = re.compile(
    r"""\s*(?P<name>"(?:[^"\\]|\\.)*"|[^\s=!~,{}"]+)\s*(?P<op>=~|!~|!=|=)\s*"""
    r"""(?P<value>"(?:[^"\\]|\\.)*"|[^,}\s"](?:[^,"]*[^,\s"}])?|)\s*"""
)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)


class Matcher(msgspec.Struct, frozen=True):
    """A condition on one label; an absent label counts as empty, regexes match the whole value."""

    name: str
    op: Op
    value: str

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether the label set meets the condition."""
        have = labels.get(self.name, "")
        if self.op == "=":
            return have == self.value
        if self.op == "!=":
            return have != self.value
        return (_compiled(self.value).fullmatch(have) is not None) == (self.op == "=~")

    def __str__(self) -> str:
        escaped = self.value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        return f'{self.name}{self.op}"{escaped}"'


def make(name: str, op: str, value: str) -> Matcher:
    """A matcher that was checked; raises `Problem(BAD_INPUT)` for an empty name or a bad regex."""
    if not name:
        raise bad_input("a matcher needs a label name")
    if len(name) > 1024 or len(value) > 4096:
        raise bad_input("a matcher is too long")
    if op in {"=~", "!~"}:
        _compiled(value)
    return Matcher(name, cast("Op", op), value)


def parse(text: str) -> list[Matcher]:
    """Read `a="b", c=~"d.*"`, with or without braces."""
    raw = text.strip()
    if raw.startswith("{") and raw.endswith("}"):
        raw = raw[1:-1].strip()
    raw = raw.removesuffix(",")
    found: list[Matcher] = []
    at = 0
    while at < len(raw):
        one = _ONE.match(raw, at)
        if one is None or one.end() == at:
            raise bad_input(f"bad matcher format: {text[:200]}", 'write it like alertname="Name"')
        found.append(make(_unquote(one["name"]), one["op"], _unquote(one["value"])))
        at = one.end()
        if at < len(raw):
            if raw[at] != ",":
                raise bad_input(f"bad matcher format: {text[:200]}", "put commas between matchers")
            at += 1
    if not found:
        raise bad_input("no matcher given", 'write it like alertname="Name"')
    return found


def all_match(matchers: Sequence[Matcher], labels: Mapping[str, str]) -> bool:
    """Whether every matcher matches."""
    return all(one.matches(labels) for one in matchers)


def _unquote(text: str) -> str:
    if text[:1] != '"':
        return text
    return _ESCAPE.sub(lambda m: {"n": "\n", "t": "\t"}.get(m[1], m[1]), text[1:-1])


@lru_cache(maxsize=2048)
def _compiled(pattern: str) -> re2._Regexp[str]:
    try:
        options = re2.Options()
        options.log_errors = False
        options.max_mem = 1 << 22
        return re2.compile(pattern, options)
    except re2.error as error:
        raise bad_input(f"bad regular expression {pattern[:100]!r}: {error}") from None
