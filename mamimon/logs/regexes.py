"""Users' regular expressions, run by google-re2: linear in the text and bounded in memory.

Lucene's are always about the whole value: `^` and `$` are plain characters. `@` is any text and
`"…"` is literal. Complement (`~`), intersection (`&`), number intervals (`<1-9>`) and the empty
language (`#`) have no counterpart and are refused by name; a backslash makes plain characters of them.
"""

from __future__ import annotations

from typing import Any

from mamimon.problems import bad_input

_CLASSES = "dDwWsS"
_REFUSED = {"~": "complement", "&": "intersection", "<": "an interval", "#": "the empty language"}


def lucene_regex(text: str, *, fold_case: bool = False) -> Any:
    """Compile a Lucene regular expression; one that cannot be used is `BAD_INPUT`."""
    import re2

    options = re2.Options()
    options.max_mem = 1 << 20
    options.log_errors = False
    options.dot_nl = True
    options.case_sensitive = not fold_case
    try:
        return re2.compile(_translated(text), options)
    except re2.error as error:
        raise bad_input(f"regular expression /{text[:80]}/ cannot be used: {error}") from None


def _translated(text: str) -> str:
    import re2

    parts: list[str] = []
    at, inside = 0, False
    while at < len(text):
        char = text[at]
        at += 1
        if char == "\\":
            if at >= len(text):
                raise bad_input(f"regular expression /{text[:80]}/ ends with a backslash")
            char = text[at]
            at += 1
            parts.append("\\" + char if char in _CLASSES else re2.escape(char))
        elif inside:
            inside = char != "]"
            parts.append("\\[" if char == "[" else char)
        elif char == "[":
            inside = True
            parts.append(char)
            if text[at : at + 1] == "^":
                parts.append("^")
                at += 1
        elif char == '"':
            end = text.find('"', at)
            if end < 0:
                raise bad_input(f"regular expression /{text[:80]}/ has a quotation mark that is not closed")
            parts.append(f"(?:{re2.escape(text[at:end])})")
            at = end + 1
        elif char in _REFUSED:
            raise bad_input(
                f"regular expression /{text[:80]}/: {_REFUSED[char]} ({char}) is not supported;"
                f" write \\{char} for the character"
            )
        else:
            parts.append({"^": "\\^", "$": "\\$", "@": ".*"}.get(char, char))
    return "".join(parts)


def outline(text: str) -> str:
    """A wildcard pattern that fits whatever a Lucene regular expression fits; `*` where none is known."""
    parts: list[str] = []
    at = 0
    while at < len(text):
        char = text[at]
        end = at + 1
        if char in "|)":
            return "*"
        if char == "\\":
            end = at + 2
            atom = "?" if text[at + 1 : end] in _CLASSES else _plainly(text[at + 1 : end])
        elif char == "[":
            end = _class_end(text, at)
            atom = "?"
        elif char == "(":
            end = _group_end(text, at)
            atom = "*"
        elif char == '"':
            end = text.find('"', at + 1) + 1
            atom = _plainly(text[at + 1 : end - 1])
        else:
            atom = {".": "?", "@": "*"}.get(char) or _plainly(char)
        if end <= at:
            return "*"
        while (sign := text[end : end + 1]) and sign in "*+?{":
            atom = atom + "*" if sign == "+" else "*"
            closed = text.find("}", end)
            if sign == "{" and closed < 0:
                return "*"
            end = closed + 1 if sign == "{" else end + 1
        parts.append(atom)
        at = end
    return "".join(parts)


def _plainly(text: str) -> str:
    return "".join("\\" + char if char in "*?\\" else char for char in text)


def _class_end(text: str, at: int) -> int:
    """Behind the `]` of a class; 0 where there is none."""
    at += 1 + (text[at + 1 : at + 2] == "^")
    while at < len(text):
        if text[at] == "]":
            return at + 1
        at += 2 if text[at] == "\\" else 1
    return 0


def _group_end(text: str, at: int) -> int:
    """Behind the bracket that closes a group; 0 where there is none."""
    depth = 0
    while at < len(text):
        char = text[at]
        if char == "[":
            at = _class_end(text, at) or len(text)
            continue
        if char == '"':
            at = text.find('"', at + 1) + 1 or len(text)
            continue
        depth += (char == "(") - (char == ")")
        at += 2 if char == "\\" else 1
        if not depth:
            return at
    return 0
