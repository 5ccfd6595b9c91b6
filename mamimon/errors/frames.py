"""What of a frame stays the same from release to release, and which frame of a stack counts."""

from __future__ import annotations

import re
from collections.abc import Sequence

from mamimon.errors.memo import Memo
from mamimon.errors.model import Frame

_BUNDLE_HASH = re.compile(r"[.\-_~](?=[\w\-]*(\d|[\w\-][A-Z]))[\w\-]{8}(?=(\.min)?\.[cm]?js$)")
_HASHED = re.compile(r"([.\-_~])(?=[0-9a-zA-Z]*\d)[0-9a-zA-Z]{6,}(?=[.\-_~]|$)")
_VERSIONED = re.compile(r"(?<=[/\-_@])v?\d+(\.\d+){1,3}(?=[/.\-]|$)")
_ANONYMOUS = re.compile(r"^(<anonymous>|anonymous|\?|<lambda>|lambda|<unknown>|\{\{?closure.*)$")
_COMPREHENSION = {"<listcomp>", "<genexpr>", "<dictcomp>", "<setcomp>"}
_ADDRESS = re.compile(
    r"0x[0-9a-fA-F]+|\$\$?Lambda[\w$/]*|\$\d+|(?<=\.func)\d+(\.\d+)*|::h[0-9a-f]{16}$|<locals>\.?|@[0-9a-f]{4,}"
    r"|#\d+|__\d+(?=_|$)|\[\d+\]"
)
_PREFIX = re.compile(r"^(async |new |get |set |static )+")
_ALIAS = re.compile(r"\s*\[as [^\]]+\]$")
_GENERICS = re.compile(r"<[^<>]*>")
_SCRIPT = re.compile(r"\.([cm]?[jt]sx?|vue|svelte)$")
# A line that raises what it was handed (`raise Invalid(message)`, `throw error`) says nothing itself.
_MESSAGE = (
    r"(?:\w*message|msg|text|words|reason|details?|description|error|err|exc|exception|cause|ex?|what|info"
    r"|\*{0,2}k?w?args)"
)
_HANDED = re.compile(
    rf"""(?x) ^\s* (?: if\b.*?[):{{]\s* )?
    (?: (?:raise|throw)\s+ (?:new\s+)? [\w.$:]+ \s* [({{] \s* {_MESSAGE} (?:\s*,[\w.$,=\s]*)? [)}}]
        (?:\s+from\s+\w+)?
      | raise\s+ [A-Z][\w:]* \s*,\s* {_MESSAGE} (?:\s+(?:if|unless)\s.*)?
      | (?:raise|throw)\s+ [a-z_]\w* | (?:panic|die|abort|fail)\s* \(? \s* {_MESSAGE} \s* \)?
    ) \s* ;? \s* \}}? \s* $"""
)
# Where there is no code to look at, a name must do.
_GUARD = re.compile(
    r"(?i)^(assert|require|ensure|invariant|must|expect|verify|precondition|check_?(not_?null|arg|state)|fail|"
    r"raise|throw|panic|abort|bail|unwrap|die)($|[_A-Z]|nonnull)"
)


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
    name = _BUNDLE_HASH.sub("-<hash>", name)
    return _VERSIONED.sub("<v>", _HASHED.sub(r"\1<hash>", name))[-200:]


def clean_function(name: str) -> str:
    """A function's name without addresses, counters of anonymous classes and receivers' shapes."""
    name = _ALIAS.sub("", _PREFIX.sub("", name.strip()))
    name = _ADDRESS.sub("", name)
    while "<" in name and (shorter := _GENERICS.sub("", name)) != name:
        name = shorter
    return "?" if not name or _ANONYMOUS.match(name.rsplit(".", 1)[-1]) else name[-200:]


def describe(frame: Frame) -> str:
    """The part of a frame that stays the same from release to release."""
    return _known((frame.function, frame.module, frame.file, frame.code, frame.column))


def _described(key: tuple[str, str, str, str, int]) -> str:
    function, module, file, code, column = key
    frame = Frame(function=function, module=module, file=file, code=code, column=column)
    if is_minified(frame):
        # Properties keep their names in most bundles, variables do not.
        kept = clean_function(frame.function).rsplit(".", 1)[-1]
        return f"{kept} in a minified file" if len(kept) > 3 else ""
    place = clean_file(frame.module or frame.file)
    function = clean_function(frame.function)
    if _SCRIPT.search(frame.file):
        # `Object.pay`, `exports.pay` and `pay` are one function, called through different receivers.
        function = function.rsplit(".", 1)[-1]
    code = " ".join(frame.code.split()) if len(frame.code) <= 200 else ""
    if not place and function == "?":
        return ""
    return f"{function} in {place or '?'}" + (f": {code}" if code else "")


_known = Memo(_described)


def is_guard(frame: Frame) -> bool:
    """Whether a frame that raises does so only for its caller: `require(holds, words)`, `must(err)`."""
    if frame.code and not is_minified(frame):
        return bool(_HANDED.match(frame.code))
    name = re.split(r"[.:\s]+", clean_function(frame.function))[-1]
    return bool(_GUARD.match(name))


def deciding(frames: Sequence[Frame], most: int = 0) -> list[Frame]:
    """The frames that decide what failed, the outermost first: the innermost own one.

    Where that one only raises for its caller, the caller counts too. Without an own frame it is the
    innermost of all. A stack-trace rule may take a frame in or out, and `most` of it asks for more.
    """
    kept = [frame for frame in frames if frame.rule != "-"]
    own = [frame for frame in kept if frame.in_app or frame.rule == "+"] or kept
    named = [frame for index, frame in enumerate(own) if not _is_repeated(own, index)]
    chosen: list[Frame] = []
    for frame in reversed(named):
        if chosen and describe(frame) == describe(chosen[-1]):
            continue
        chosen.append(frame)
        enough = not describe(frame) or not is_guard(frame) or len(chosen) == _MOST
        if (len(chosen) >= most) if most else enough:
            break
    return chosen[::-1]


_MOST = 4


def _is_repeated(frames: Sequence[Frame], index: int) -> bool:
    """A comprehension's frame says the same as the function's around it, which newer Pythons leave out."""
    frame = frames[index]
    return frame.function.rsplit(".", 1)[-1] in _COMPREHENSION and index > 0
