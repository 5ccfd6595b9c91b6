"""What people say about grouping and owners, in Sentry's syntax, one rule a line; `#` begins a comment.

Fingerprint rules: `error.type:ConnectionError tags.plan:pro -> connection, {{ default }} title="No line"`.
The first that matches decides, before the client's own fingerprint.

Stack-trace rules: `stack.module:vendor.* -app`, `family:javascript stack.function:retry* -group`,
`[ stack.function:main ] | stack.function:helper +app`, `error.type:Timeout max-frames=3`. Every rule
that matches is applied, one after the other. Actions are `+app`, `-app`, `+group`, `-group`, with `^`
for all frames further out and `v` for all further in, `max-frames=` and `category=`.

Owners: `path:src/pay/** ada`, `module:shop.pay.* #payments`, `url:*/checkout*`, `tags.plan:pro`.
The last that matches gets the new issue.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TypeVar

import msgspec

from mamimon.errors.matchers import Matcher, RuleError, all_hold, holds_for_event, read_matchers
from mamimon.errors.model import Event, ExceptionValue, Frame

_Rule = TypeVar("_Rule")
MAX_RULES = 200
MAX_TEXT = 50_000
_ACTION = re.compile(r"^([\^v]?)([+-])(app|group)$")
_SETTING = re.compile(r"^(max-frames|category)=([\w\-]{1,40})$")
_TITLE = re.compile(r'\btitle="((?:[^"\\]|\\.)*)"')
_VALUE = re.compile(r'"((?:[^"\\]|\\.)*)"|((?:\{\{[^}]*\}\}|[^\s,"])+)')
_OWNER_KEYS = {"path": "stack.abs_path", "codeowners": "stack.abs_path", "module": "stack.module"}


class FingerprintRule(msgspec.Struct, frozen=True):
    """Matchers and the fingerprint that they give; `text` is the line it was read from."""

    text: str
    matchers: list[Matcher]
    values: list[str]
    title: str


class StackAction(msgspec.Struct, frozen=True):
    """What a stack-trace rule does to frames: `reach` is `^` (further out), `v` (further in) or empty."""

    reach: str
    kind: str
    value: str


class StackRule(msgspec.Struct, frozen=True):
    """Matchers of a frame, of the one that calls it and of the one it calls; and what to do."""

    text: str
    matchers: list[Matcher]
    caller: list[Matcher]
    callee: list[Matcher]
    actions: list[StackAction]


class OwnerRule(msgspec.Struct, frozen=True):
    """Who gets what."""

    text: str
    matchers: list[Matcher]
    owner: str


class Rules(msgspec.Struct, frozen=True):
    """Everything that was said about one project."""

    fingerprints: list[FingerprintRule] = []
    stacks: list[StackRule] = []
    owners: list[OwnerRule] = []

    def fingerprint(self, event: Event) -> FingerprintRule | None:
        """The first fingerprint rule that matches."""
        return next((one for one in self.fingerprints if holds_for_event(one.matchers, event)), None)

    def owner(self, event: Event) -> str:
        """Who owns what failed, by the last rule that matches; empty for nobody."""
        return next((one.owner for one in reversed(self.owners) if holds_for_event(one.matchers, event)), "")

    def mark(self, event: Event) -> int:
        """Apply the stack-trace rules to the event's frames; returns how many frames may decide, 0 unsaid."""
        most = 0
        for rule in self.stacks:
            for error in event.exceptions:
                most = _apply(rule, error.frames, event, error) or most
            if event.frames:
                most = _apply(rule, event.frames, event, None) or most
        return most


def read_fingerprint_rules(text: str) -> list[FingerprintRule]:
    """Raises `RuleError` with the line's number."""
    return _lines(text, _fingerprint_rule)


def read_stack_rules(text: str) -> list[StackRule]:
    """Raises `RuleError` with the line's number."""
    return _lines(text, _stack_rule)


def read_owner_rules(text: str) -> list[OwnerRule]:
    """Raises `RuleError` with the line's number."""
    return _lines(text, _owner_rule)


def _lines(text: str, read: Callable[[str], _Rule]) -> list[_Rule]:
    if len(text) > MAX_TEXT:
        raise RuleError(f"more than {MAX_TEXT} characters")
    found: list[_Rule] = []
    for number, line in enumerate(text.splitlines(), 1):
        rule = line.strip()
        if not rule or rule.startswith("#"):
            continue
        if len(found) == MAX_RULES:
            raise RuleError(f"more than {MAX_RULES} rules")
        try:
            found.append(read(rule))
        except RuleError as problem:
            raise RuleError(f"line {number}: {problem}") from None
    return found


def _fingerprint_rule(line: str) -> FingerprintRule:
    left, arrow, right = line.partition("->")
    matchers = read_matchers(left)
    if not arrow or not matchers:
        raise RuleError("a fingerprint rule is matchers, -> and a fingerprint: error.type:X -> x")
    titled = _TITLE.search(right)
    rest = _TITLE.sub("", right)
    values = [found[1] or found[2] for found in _VALUE.finditer(rest) if found[1] or found[2]]
    if not values:
        raise RuleError("there is no fingerprint after ->")
    return FingerprintRule(line, matchers, values[:20], titled[1][:200] if titled else "")


def _stack_rule(line: str) -> StackRule:
    words = line.split()
    actions: list[StackAction] = []
    while words:
        act, setting = _ACTION.match(words[-1]), _SETTING.match(words[-1])
        if act is not None:
            actions.append(StackAction(act[1], act[3], act[2]))
        elif setting is not None:
            if setting[1] == "max-frames" and not setting[2].isdigit():
                raise RuleError("max-frames= wants a number")
            actions.append(StackAction("", setting[1], setting[2]))
        else:
            break
        words.pop()
    if not actions:
        raise RuleError("there is no action such as -app, +group or max-frames=3")
    caller, matchers, callee = _neighbours(" ".join(words))
    if not matchers:
        raise RuleError("there is no matcher such as stack.module:vendor.*")
    return StackRule(line, matchers, caller, callee, actions[::-1])


def _neighbours(text: str) -> tuple[list[Matcher], list[Matcher], list[Matcher]]:
    """The matchers of `[ caller ] | frame | [ callee ]`."""
    caller = callee = ""
    before = re.match(r"^\[([^\]]*)\]\s*\|", text)
    if before is not None:
        caller, text = before[1], text[before.end() :]
    after = re.search(r"\|\s*\[([^\]]*)\]\s*$", text)
    if after is not None:
        callee, text = after[1], text[: after.start()]
    return read_matchers(caller), read_matchers(text), read_matchers(callee)


def _owner_rule(line: str) -> OwnerRule:
    words = re.match(r'^(?P<matchers>(?:[\w.\-]+:(?:"[^"]*"|\S+)\s+)+)(?P<owner>\S.*)$', line)
    if words is None:
        raise RuleError("an owner's rule is a matcher and a name: path:src/pay/** ada")
    text = re.sub(
        r"(?<!\S)(path|codeowners|module):", lambda found: _OWNER_KEYS[found[1]] + ":", words["matchers"]
    )
    matchers = read_matchers(text)
    # A path is given from the root of the repository; frames have it from the root of a machine.
    wide = [
        read_matchers(f'{one.key}:"{_anywhere(one.text)}"')[0] if one.key == "stack.abs_path" else one
        for one in matchers
    ]
    return OwnerRule(line, wide, words["owner"].strip()[:100])


def _anywhere(path: str) -> str:
    path = path if path.startswith(("/", "**")) else f"**/{path}"
    return path + "**" if path.endswith("/") else path


def _apply(rule: StackRule, frames: list[Frame], event: Event, error: ExceptionValue | None) -> int:
    most = 0
    for index, frame in enumerate(frames):
        if not all_hold(rule.matchers, frame=frame, error=error, event=event):
            continue
        if rule.caller and (index == 0 or not all_hold(rule.caller, frame=frames[index - 1])):
            continue
        if rule.callee and (index + 1 == len(frames) or not all_hold(rule.callee, frame=frames[index + 1])):
            continue
        for action in rule.actions:
            if action.kind == "max-frames":
                most = int(action.value)
                continue
            for one in _reached(frames, index, action.reach):
                _act(one, action)
    return most


def _reached(frames: list[Frame], index: int, reach: str) -> Sequence[Frame]:
    if reach == "^":
        return frames[:index]
    return frames[index + 1 :] if reach == "v" else [frames[index]]


def _act(frame: Frame, action: StackAction) -> None:
    if action.kind == "app":
        frame.in_app = action.value == "+"
    elif action.kind == "group":
        frame.rule = action.value
    else:
        frame.category = action.value
