"""Which events are the same issue, and the reason in words.

In this order (version `VERSION`; an issue keeps the hash it was made by, so a newer version starts
new issues instead of moving old ones):

1. the client's fingerprint, with `{{ default }}` and other variables filled in;
2. the stack of each exception of the chain: its type and the innermost in-app frames by module or
   file, function and line of code, without line numbers, hashes in file names, minified function
   names, and repeated frames of a recursion; all frames where none is the application's own;
3. the exception's type and its value with numbers, ids and quoted parts taken out;
4. the message's template, likewise.

Only the `NEAREST` innermost own frames count, so that the same failure reached by different paths is
one issue.
"""

from __future__ import annotations

import hashlib
import re

from mamimon.errors.model import Event, ExceptionValue, Frame, Grouping

VERSION = "1"
NEAREST = 5

_VARIABLE = re.compile(r"\{\{\s*([\w.]+)\s*\}\}")
_HASHED = re.compile(r"([.\-_~])(?=[0-9a-zA-Z]*\d)[0-9a-zA-Z]{6,}(?=[.\-_~]|$)")
_VERSIONED = re.compile(r"(?<=[/\-_@])v?\d+(\.\d+){1,3}(?=[/.\-]|$)")
_ANONYMOUS = re.compile(
    r"^(<anonymous>|anonymous|\?|<lambda>|lambda|<listcomp>|<genexpr>|<dictcomp>|<unknown>)$"
)
_ADDRESS = re.compile(r"0x[0-9a-fA-F]+|\$\$?Lambda[\w$/]*|\$\d+|::h[0-9a-f]{16}$|<locals>\.?|@[0-9a-f]{4,}")

_TEMPLATE: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"https?://[^\s\"'<>)]+"), "<url>"),
    (re.compile(r"[\w.+\-]+@[\w\-]+(\.[\w\-]+)+"), "<email>"),
    (re.compile(r"(?i)\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b"), "<uuid>"),
    (re.compile(r"\b\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+\-]\d\d:?\d\d)?)?"), "<date>"),
    (re.compile(r"\b\d{1,3}(\.\d{1,3}){3}(:\d+)?\b"), "<ip>"),
    (re.compile(r"\b0x[0-9a-fA-F]+\b"), "<hex>"),
    (re.compile(r"(?i)\b(?=[0-9a-f]*\d)(?=[0-9a-f]*[a-f])[0-9a-f]{7,}\b"), "<hex>"),
    (re.compile(r"(?<![\w])(/[\w.\-~%]+){2,}/?"), "<path>"),
    (re.compile(r"(?<![A-Za-z<])[+\-]?\d+([.,:]\d+)*([eE][+\-]?\d+)?"), "<n>"),
    (re.compile(r"\b(?=[A-Za-z_\-]*\d)[\w\-]{6,}\b"), "<id>"),
)
_QUOTED = re.compile(r"'[^'\n]{1,200}'|\"[^\"\n]{1,200}\"|`[^`\n]{1,200}`")


def group(event: Event) -> Grouping:
    """The issue that `event` belongs to, as a hash and what it is made of."""
    custom = [part for part in event.fingerprint if part.strip()]
    if custom and not (len(custom) == 1 and _is_default(custom[0])):
        return _by_fingerprint(event, custom)
    return _default(event)


def template(value: str) -> str:
    """`value` with what changes from one occurrence to the next replaced by placeholders."""
    line = value.strip()[:1000]
    for pattern, placeholder in _TEMPLATE:
        line = pattern.sub(placeholder, line)
    return _QUOTED.sub(_unquote, line)


def _unquote(found: re.Match[str]) -> str:
    # A quoted name (an attribute, a key) is what the error is about; a quoted value is not.
    inner = found[0][1:-1]
    return found[0] if re.fullmatch(r"[A-Za-z_][\w.]{0,40}", inner) else "<quoted>"


def _default(event: Event) -> Grouping:
    parts = _stack_parts(event)
    if parts:
        return _made("stack trace", parts)
    main = event.main
    if main is not None and (main.type or main.value):
        return _made("exception", [f"{one.type}: {template(one.value)}" for one in event.exceptions])
    line = event.template or event.message
    if line:
        return _made("message", [event.logger, template(line.split("\n", 1)[0])])
    return _made("nothing else", [event.platform, event.transaction or event.culprit])


def _by_fingerprint(event: Event, custom: list[str]) -> Grouping:
    default = _default(event)
    parts: list[str] = []
    for part in custom:
        if _is_default(part):
            parts += default.parts
        else:
            parts.append(_VARIABLE.sub(lambda found: _variable(event, found[1]), part))
    return _made("fingerprint", parts)


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


def _stack_parts(event: Event) -> list[str]:
    parts: list[str] = []
    stacks = [(one.type, one.frames) for one in event.exceptions] or [("", event.frames)]
    own = any(frame.in_app for _, frames in stacks for frame in frames)
    for kind, frames in stacks:
        chosen = _contributing(frames, own)
        if not chosen and event.exceptions and not kind:
            continue
        if event.exceptions:
            parts.append(kind or "(no type)")
        parts += [f"  {one}" for one in chosen]
    return parts if any(part.startswith("  ") for part in parts) else []


def _contributing(frames: list[Frame], own: bool) -> list[str]:
    """The frames that count, outermost first, as texts."""
    chosen: list[str] = []
    for frame in reversed(frames):
        if own and not frame.in_app:
            continue
        shown = describe(frame)
        if shown and (not chosen or chosen[-1] != shown):
            chosen.append(shown)
        if len(_collapse(chosen)) >= NEAREST:
            break
    return list(reversed(_collapse(chosen)))


def _collapse(chosen: list[str]) -> list[str]:
    """Without the repeats of a recursion, direct or through other functions."""
    return list(dict.fromkeys(chosen))


def describe(frame: Frame) -> str:
    """The part of a frame that stays the same from release to release."""
    minified = is_minified(frame)
    place = clean_file(frame.module or frame.file)
    function = "" if minified else clean_function(frame.function)
    code = "" if minified or len(frame.code) > 200 else " ".join(frame.code.split())
    if not place and not function:
        return ""
    return f"{function or '?'} in {place or '?'}" + (f": {code}" if code else "")


def is_minified(frame: Frame) -> bool:
    """Whether the frame's names came from a minifier and mean nothing."""
    return bool(
        frame.file.endswith(".min.js")
        or frame.column > 1000
        or len(frame.code) > 300
        or (len(frame.function) <= 2 and frame.file.endswith((".js", ".mjs")) and frame.column > 200)
    )


def clean_file(name: str) -> str:
    """A module or file without hosts, build hashes and version numbers."""
    name = name.split("?", 1)[0].split("#", 1)[0]
    name = re.sub(r"^[a-z+\-]+://[^/]*/", "/", name)
    return _VERSIONED.sub("<v>", _HASHED.sub(r"\1<hash>", name))[-200:]


def clean_function(name: str) -> str:
    """A function's name without addresses, counters of anonymous classes and receivers' shapes."""
    name = _ADDRESS.sub("", name.strip())
    name = re.sub(r"^(async |new |get |set )+", "", name)
    name = re.sub(r"\s*\[as [^\]]+\]$", "", name)
    return "?" if _ANONYMOUS.match(name.rsplit(".", 1)[-1]) else name[-200:]


def _made(reason: str, parts: list[str]) -> Grouping:
    digest = hashlib.sha256("\x1f".join([VERSION, reason, *parts]).encode("utf-8", "replace"))
    return Grouping(version=VERSION, hash=digest.hexdigest()[:32], reason=reason, parts=parts[:60])
