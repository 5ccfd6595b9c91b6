"""The matchers of Sentry's rules: `error.type:ValueError stack.module:shop.* !tags.plan:free`.

A value is a glob (`*`, `?`; in paths `*` ends at a slash and `**` does not), regardless of case; in
double quotes it may hold blanks. `!` turns a matcher around.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import msgspec
import re2

from mamimon.errors.model import Event, ExceptionValue, Frame

_ALIASES = {
    "type": "error.type",
    "value": "error.value",
    "mechanism": "error.mechanism",
    "error.message": "error.value",
    "path": "stack.abs_path",
    "abs_path": "stack.abs_path",
    "stack.path": "stack.abs_path",
    "filename": "stack.filename",
    "module": "stack.module",
    "function": "stack.function",
    "package": "stack.package",
    "app": "stack.in_app",
    "in_app": "stack.in_app",
    "category": "stack.category",
}
_ERROR_KEYS = {"error.type", "error.value", "error.mechanism"}
_FRAME_KEYS = {
    "stack.abs_path",
    "stack.filename",
    "stack.module",
    "stack.function",
    "stack.package",
    "stack.in_app",
    "stack.category",
}
_EVENT_KEYS = {"message", "logger", "level", "transaction", "release", "environment", "family", "url"}
_NATIVE = {"native", "c", "cpp", "rust", "objc", "cocoa", "swift"}
_MATCHER = re.compile(r'(!?)([A-Za-z_][\w.\-]*):("(?:[^"\\]|\\.)*"|[^\s"]+)')
MAX_PATTERN = 500


class RuleError(ValueError):
    """A rule that cannot be read, in words that name what is wrong with it."""


class Matcher(msgspec.Struct, frozen=True):
    """One `key:glob`; `pattern` is a compiled RE2 expression."""

    key: str
    text: str
    negated: bool
    pattern: Any

    def holds_for(self, values: Sequence[str]) -> bool:
        """Whether one of the values matches (none of them, where turned around)."""
        return any(self.pattern.fullmatch(value) is not None for value in values) is not self.negated

    @property
    def of_frame(self) -> bool:
        """Whether it looks at one frame."""
        return self.key in _FRAME_KEYS

    @property
    def of_error(self) -> bool:
        """Whether it looks at one exception."""
        return self.key in _ERROR_KEYS


def read_matchers(text: str) -> list[Matcher]:
    """The matchers that `text` is made of; raises `RuleError`."""
    found: list[Matcher] = []
    rest = text.strip()
    while rest:
        token = _MATCHER.match(rest)
        if token is None:
            raise RuleError(f"{rest.split()[0][:60]!r} is no matcher such as error.type:ValueError")
        found.append(_matcher(token[2], token[3], negated=bool(token[1])))
        rest = rest[token.end() :].strip()
    return found


def _matcher(name: str, value: str, *, negated: bool) -> Matcher:
    key = _ALIASES.get(name.lower(), name.lower())
    if key not in _ERROR_KEYS | _FRAME_KEYS | _EVENT_KEYS and not key.startswith("tags."):
        raise RuleError(
            f"{name[:40]} is no matcher; there are error.type, error.value, message, stack.module …"
        )
    if key.startswith("tags."):
        key = "tags." + name[5:]
    text = re.sub(r"\\(.)", r"\1", value[1:-1]) if value.startswith('"') else value
    if len(text) > MAX_PATTERN:
        raise RuleError(f"a pattern of {name} is longer than {MAX_PATTERN} characters")
    if key == "stack.in_app":
        text = "yes" if text.lower() in {"1", "yes", "true"} else "no"
    expression = glob(text, path=key in {"stack.abs_path", "stack.filename"})
    if key == "family":
        expression = "|".join(re2.escape(part.strip()) for part in text.split(","))
    return Matcher(key, text, negated, re2.compile(f"(?is)^(?:{expression})$"))


def glob(text: str, *, path: bool = False) -> str:
    """A glob as a regular expression."""
    out: list[str] = []
    for part in re.split(r"(\*\*/|\*+|\?)", text):
        if part == "**/":
            out.append("(?:.*/)?" if path else ".*/")
        elif part.startswith("*"):
            out.append("[^/]*" if path and part == "*" else ".*")
        elif part == "?":
            out.append(".")
        else:
            out.append(re2.escape(part))
    return "".join(out)


def holds_for_event(matchers: Sequence[Matcher], event: Event) -> bool:
    """Whether all hold: those of errors for one exception, those of frames for one frame."""
    errors = [one for one in matchers if one.of_error]
    frames = [one for one in matchers if one.of_frame]
    rest = [one for one in matchers if not one.of_error and not one.of_frame]
    if not all(one.holds_for(_of_event(one.key, event)) for one in rest):
        return False
    if errors and not any(all_hold(errors, error=one) for one in event.exceptions):
        return False
    stacks = [*(one.frames for one in event.exceptions), event.frames]
    return not frames or any(all_hold(frames, frame=frame) for stack in stacks for frame in stack)


def all_hold(
    matchers: Sequence[Matcher],
    *,
    frame: Frame | None = None,
    error: ExceptionValue | None = None,
    event: Event | None = None,
) -> bool:
    """Whether every matcher holds for what it looks at; one without its object does not hold."""
    for one in matchers:
        if one.of_frame:
            values = _of_frame(one.key, frame) if frame is not None else []
        elif one.of_error:
            values = _of_error(one.key, error) if error is not None else []
        else:
            values = _of_event(one.key, event) if event is not None else []
        if not one.holds_for(values):
            return False
    return True


def _of_frame(key: str, frame: Frame) -> list[str]:
    if key == "stack.abs_path":
        # As in Sentry: the short name is tried too, where a client sends no absolute one.
        return [path.replace("\\", "/") for path in (frame.path, frame.file) if path]
    return {
        "stack.filename": [frame.file],
        "stack.module": [frame.module],
        "stack.function": [frame.function],
        "stack.package": [frame.package],
        "stack.in_app": ["yes" if frame.in_app else "no"],
        "stack.category": [frame.category],
    }[key]


def _of_error(key: str, error: ExceptionValue) -> list[str]:
    if key == "error.type":
        return [error.type, f"{error.module}.{error.type}"] if error.module else [error.type]
    return [error.value if key == "error.value" else error.mechanism]


def _of_event(key: str, event: Event) -> list[str]:
    if key.startswith("tags."):
        value = event.tags.get(key[5:])
        return [] if value is None else [value]
    if key == "message":
        return [text for text in (event.message, event.template, event.title) if text]
    if key == "family":
        return _families(event.platform)
    if key == "url":
        return [event.request.url] if event.request is not None else []
    return [getattr(event, key)]


def _families(platform: str) -> list[str]:
    if platform in {"javascript", "node"}:
        return ["javascript", platform, "all"]
    if platform in _NATIVE:
        return ["native", platform, "all"]
    return ["other", platform, "all"]
