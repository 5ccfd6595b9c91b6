"""Makes the frames of a stack regular.

Frames of one place in a program differ from event to event in their variables alone, so what is made of
the rest is remembered.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from msgspec.structs import astuple

from mamimon.errors.inapp import own
from mamimon.errors.memo import Memo
from mamimon.errors.model import Frame
from mamimon.errors.sent import MAX_VARIABLES, VARIABLE_DEPTH, SentFrame
from mamimon.errors.values import clean, entries, pairs, table, text

MAX_FRAMES = 250
_CONTEXT = 10
_FIELDS = (
    "pre_context", "post_context", "in_app", "function", "raw_function", "module", "filename", "abs_path",
    "package", "lineno", "colno", "context_line", "platform",
)  # fmt: skip


def frames_of(stack: Any, platform: str, problems: list[str]) -> list[Frame]:
    """The frames of a Sentry `stacktrace`; of a long one both ends, which `problems` tells."""
    found = entries(table(stack).get("frames"))
    if len(found) > MAX_FRAMES:
        problems.append(f"{len(found) - MAX_FRAMES} frames in the middle of a stack were left out")
        found = found[: MAX_FRAMES // 2] + found[-MAX_FRAMES // 2 :]
    made = []
    for one in found:
        if type(one) is SentFrame:
            variables, *place = astuple(one)
            frame = _copy(_known((platform, *place)))
            if variables:
                frame.variables = variables
        elif isinstance(one, dict):
            frame = _made((platform, *[one.get(name) for name in _FIELDS]))
            frame.variables = {
                name: clean(value, VARIABLE_DEPTH) for name, value in pairs(one.get("vars"), MAX_VARIABLES)
            }
        else:
            continue
        if "__" in "".join(frame.variables):
            frame.variables = {
                name: value
                for name, value in frame.variables.items()
                if not (name.startswith("__") and name.endswith("__"))
            }
        made.append(frame)
    return made


def _made(key: tuple[Any, ...]) -> Frame:
    """A frame without its variables, of a platform and the values of `_FIELDS`."""
    platform, before, after, said, *rest = key
    function, raw_function, module, file, path, package, line, column, code, own_platform = rest
    frame = Frame(
        function=text(function, 300) or text(raw_function, 300),
        module=text(module, 300),
        file=text(file, 500) or text(path, 500),
        path=text(path, 500),
        package=text(package, 300),
        line=_count(line),
        column=_count(column),
        before=[text(one, 300) for one in _lines(before)[-_CONTEXT:]],
        code=text(code, 500),
        after=[text(one, 300) for one in _lines(after)[:_CONTEXT]],
    )
    if frame.function in {"?", "<unknown>", "<anonymous>"}:
        frame.function = ""
    frame.in_app = own(frame, said, text(own_platform) or platform)
    return frame


_known = Memo(_made)
_copy: Callable[[Frame], Frame] = Frame.__copy__  # type: ignore[attr-defined] # half of what copy.copy costs


def _lines(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list | tuple) else ()


def _count(value: Any) -> int:
    try:
        number = int(value)
    except (TypeError, ValueError, OverflowError):
        return 0
    return number if 0 < number < 2**31 else 0
