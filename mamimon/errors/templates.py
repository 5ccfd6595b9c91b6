"""What stays of a message when what changes from one occurrence to the next is taken out."""

from __future__ import annotations

import re

_TEMPLATE: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"[a-z][a-z0-9+.\-]*://[^\s\"'<>)]+"), "<url>"),
    (re.compile(r"[\w.+\-]+@[\w\-]+(\.[\w\-]+)+"), "<email>"),
    (re.compile(r"(?i)\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b"), "<uuid>"),
    (re.compile(r"\b\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+\-]\d\d:?\d\d)?)?"), "<date>"),
    (re.compile(r"\b\d{1,3}(\.\d{1,3}){3}(:\d+)?\b"), "<ip>"),
    (re.compile(r"\b0x[0-9a-fA-F]+\b"), "<hex>"),
    (re.compile(r"(?i)\b(?=[0-9a-f]*\d)(?=[0-9a-f]*[a-f])[0-9a-f]{7,}\b"), "<hex>"),
    (re.compile(r"(?<![\w])([A-Za-z]:)?([/\\][\w.\-~%]+){2,}[/\\]?"), "<path>"),
    (re.compile(r"(?<![\w<])[+\-]?\d+([.,:]\d+)*([eE][+\-]?\d+)?(?![A-Za-z\d])"), "<n>"),
    # A number with its unit (`30s`, `512MB`).
    (re.compile(r"(?<![\w<])[+\-]?\d+(\.\d+)?(?=(ns|us|µs|ms|s|m|h|d|B|kB|KB|MB|GB|KiB|MiB|GiB)\b)"), "<n>"),
    (re.compile(r"(?<![<\w])(?=[\w\-]*\d)\w[\w\-]*\b(?!>)"), "<id>"),
)
_QUOTED = re.compile(r"'[^'\n]{0,200}'|\"[^\"\n]{0,200}\"|`[^`\n]{0,200}`|“[^”\n]{0,200}”|«[^»\n]{0,200}»")
_NAME = re.compile(r"[A-Za-z_$](?:[\w.$:()<>\[\]-]|, ){0,120}")
# What a minifier leaves of a variable's name: `e.items is not iterable`, `t is not a function`.
_MANGLED = re.compile(r"(?<![\w.$'\"`])[A-Za-z_$]{1,3}(?=(\.[\w$]|\(\.\.\.\)| is (not|null|undefined)\b))")


def template(value: str, *, minified: bool = False) -> str:
    """The first line of `value` with numbers, ids, addresses and quoted values as placeholders.

    With `minified` also what a minifier makes of variables' names. A text that is JSON is data.
    """
    lines = value.strip().splitlines()
    line = lines[0][:1000] if lines else ""
    if line[:1] in "[{" and not line.startswith("[Errno"):
        return "<data>"
    if minified:
        line = _MANGLED.sub("<name>", line)
    line = _QUOTED.sub(_unquote, line)
    for pattern, placeholder in _TEMPLATE:
        line = pattern.sub(placeholder, line)
    return line


def _unquote(found: re.Match[str]) -> str:
    # A quoted name (an attribute, a class, a key) is what the error is about; a quoted value is not.
    inner = found[0][1:-1]
    named = _NAME.fullmatch(inner) and not re.search(r"\d", inner)
    return found[0] if named else "<quoted>"
