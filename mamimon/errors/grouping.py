"""Which events are the same issue, and the reason in words.

In this order (version `VERSION`; an issue keeps the hash it was made by, so a newer version starts
new issues instead of moving old ones):

1. a fingerprint rule's or the client's fingerprint, with `{{ default }}` and other variables filled in;
2. of each exception of the chain its type and where it was raised: the innermost own frame by module or
   file, function and line of code. Line numbers, hashes in file names, the way there and how deep a
   recursion was do not count. The message's template counts too where the place alone does not tell:
   raised inside a library, by a guard for its caller, or in a frame without its line of code;
3. the exception's type and its message with numbers, ids and quoted values taken out;
4. the message's template, likewise; else the stack of a message without words.

What different platforms sent is never one issue. Exceptions that only wrap another one
(`ExecutionException`, groups) are left out beside what they wrap.
"""

from __future__ import annotations

import hashlib
import re

from mamimon.errors.frames import deciding, describe, is_minified
from mamimon.errors.inapp import is_client
from mamimon.errors.model import Event, ExceptionValue, Frame, Grouping
from mamimon.errors.rules import Rules
from mamimon.errors.templates import template

VERSION = "2"

_VARIABLE = re.compile(r"\{\{\s*([\w.]+)\s*\}\}")
_NO_RULES = Rules()
_WRAPPERS = re.compile(
    r"(^|[.$])(ExecutionException|CompletionException|InvocationTargetException|"
    r"UndeclaredThrowableException|TargetInvocationException|AggregateException)$"
)
# What a parser says is about the data it was given.
_PARSERS = re.compile(r"(Decode|Pars(e|er|ing)|Syntax|Format|Scanner|Validation|Zod)\w*(Error|Exception)?$")


def group(event: Event, rules: Rules = _NO_RULES) -> Grouping:
    """The issue that `event` belongs to, as a hash and what it is made of.

    Stack-trace rules change whose frames are; a fingerprint rule may give the event a title.
    """
    most = rules.mark(event)
    rule = rules.fingerprint(event)
    if rule is not None:
        event.heading = _filled(event, rule.title) if rule.title else ""
        made = _by_fingerprint(event, rule.values, most)
        made.rule = rule.text
        return made
    custom = [part for part in event.fingerprint if part.strip()]
    if custom and not (len(custom) == 1 and _is_default(custom[0])):
        return _by_fingerprint(event, custom, most)
    return _default(event, most)


def _default(event: Event, most: int) -> Grouping:
    chain = _telling(event.exceptions)
    parts = [part for one in chain for part in _raised(one, event, most)]
    if any(part.startswith("  ") for part in parts):
        return _made(event, "stack trace", parts)
    if parts:
        return _made(event, "exception", [_said(one) for one in chain])
    line = event.template or event.message
    if line:
        return _made(event, "message", [event.logger, template(line)])
    places = [f"  {describe(frame)}" for frame in deciding(event.frames, most) if describe(frame)]
    if places:
        return _made(event, "stack trace", places)
    return _made(event, "nothing else", [event.transaction or event.culprit])


def _telling(chain: list[ExceptionValue]) -> list[ExceptionValue]:
    """The chain without what only wraps others, and without repeats (many of a group are one)."""
    wrapped = [one for one in chain if not one.group and not _WRAPPERS.search(one.type)]
    return wrapped or chain


def _raised(one: ExceptionValue, event: Event, most: int) -> list[str]:
    """An exception's type, the frames that decide, and its message where that is needed; else nothing."""
    if not one.type and not one.value:
        return []
    frames = [] if one.synthetic and event.platform in {"javascript", "node"} else one.frames
    chosen = deciding(frames, most)
    shown = [f"  {text}" for text in map(describe, chosen) if text]
    minified = any(is_minified(frame) for frame in chosen)
    if not shown and not minified:
        return [one.type, f"  {template(one.value)}"] if one.frames else [_said(one)]
    parts = [one.type or "(no type)", *shown]
    if _needs_message(one, frames, chosen):
        parts.append(f"  “{template(one.value, minified=minified)}”")
    return parts


def _needs_message(one: ExceptionValue, frames: list[Frame], chosen: list[Frame]) -> bool:
    if not one.value or _PARSERS.search(one.type):
        return False
    last = next((frame for frame in reversed(frames) if not is_client(frame)), None)
    elsewhere = last is not None and last is not chosen[-1] and not last.in_app
    return elsewhere or len(chosen) > 1 or not chosen[-1].code or is_minified(chosen[-1])


def _said(one: ExceptionValue) -> str:
    return f"{one.type}: {template(one.value)}"


def _by_fingerprint(event: Event, custom: list[str], most: int) -> Grouping:
    parts: list[str] = []
    for part in custom:
        if _is_default(part):
            parts += _default(event, most).parts
        else:
            parts.append(_filled(event, part))
    return _made(event, "fingerprint", parts)


def _filled(event: Event, text: str) -> str:
    return _VARIABLE.sub(lambda found: _variable(event, found[1]), text)[:1000]


def _is_default(part: str) -> bool:
    found = _VARIABLE.fullmatch(part.strip())
    return found is not None and found[1] == "default"


def _variable(event: Event, name: str) -> str:
    main = event.main or ExceptionValue()
    frames = main.frames or event.frames
    last = next((one for one in reversed(frames) if one.in_app), frames[-1] if frames else Frame())
    known = {
        "error.type": main.type,
        "type": main.type,
        "error.value": main.value,
        "value": main.value,
        "message": event.message or main.value,
        "transaction": event.transaction,
        "level": event.level,
        "logger": event.logger,
        "stack.function": last.function,
        "function": last.function,
        "stack.module": last.module,
        "module": last.module,
        "stack.abs_path": last.path,
        "path": last.path,
        "stack.filename": last.file,
        "package": last.package,
    }
    if name.startswith("tags."):
        return event.tags.get(name[5:], "<no-value>")
    return known.get(name, "{{ " + name + " }}") or "<no-value>"


def _made(event: Event, reason: str, parts: list[str]) -> Grouping:
    distinct = list(dict.fromkeys(parts)) if len(parts) > 60 else parts
    # What a client says is one issue is one, whoever sent it.
    sender = "" if reason == "fingerprint" else event.platform
    digest = hashlib.sha256("\x1f".join([VERSION, sender, reason, *distinct]).encode("utf-8", "replace"))
    return Grouping(version=VERSION, hash=digest.hexdigest()[:32], reason=reason, parts=distinct[:60])
