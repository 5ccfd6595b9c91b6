"""Regular expressions of matchers, label functions and relabelling: RE2, so that no pattern can hang us."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import re2

_IN_GO = {
    "missing ]": "missing closing ]",
    "missing )": "missing closing )",
    "no argument for repetition operator": "missing argument to repetition operator",
    "bad repetition operator": "invalid nested repetition operator",
    "invalid repetition size": "invalid repeat count",
    "invalid perl operator": "invalid or unsupported Perl syntax",
    "invalid named capture group": "invalid named capture",
}
_REFERENCE = re.compile(r"\$(?:\$|\{(\w+)\}|(\w+))")


@lru_cache(maxsize=4096)
def compile_regex(pattern: str) -> re2._Regexp[str]:
    """A label regex: RE2, anchored at both ends by the caller's `fullmatch`, dot matches newlines."""
    import re2

    options = re2.Options()
    options.log_errors = False
    options.dot_nl = True
    options.max_mem = 8 << 20
    return re2.compile(pattern, options)


def refusal(error: re2.error) -> str:
    """What is wrong with a pattern, in the words of Go's regexp, which Prometheus prints."""
    said = error.args[0] if error.args else str(error)
    text = said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)
    if text.startswith("trailing"):
        return "error parsing regexp: trailing backslash at end of expression: ``"
    reason, _, part = text.partition(": ")
    return f"error parsing regexp: {_IN_GO.get(reason, reason)}: `{part}`"


def expand(template: str, match: re2._Match[str]) -> str:
    """`$1`, `${name}` and `$$` as in Go's `Regexp.Expand`: an unknown group is empty."""
    if "$" not in template:
        return template
    names = match.re.groupindex

    def value(found: re.Match[str]) -> str:
        name = found.group(1) or found.group(2)
        if name is None:
            return "$"
        if name.isdigit():
            number = int(name)
            return (match.group(number) or "") if number <= match.re.groups else ""
        return (match.group(name) or "") if name in names else ""

    return _REFERENCE.sub(value, template)
