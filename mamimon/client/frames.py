"""Tracebacks as data: light on the thread that has the exception, complete on the one that ships it."""

from __future__ import annotations

import linecache
import os
import sys
from types import FrameType, TracebackType
from typing import Any, NamedTuple, Optional

from mamimon.client.mask import MASK, is_secret_name, mask_text

MAX_FRAMES = 64
MAX_LINKS = 8
MAX_LOCALS = 40
MAX_VALUE = 200
CONTEXT_LINES = 5

_LOGGED = 1
_CAPTURED = 2


class Frame(NamedTuple):
    """Where one call stood; `variables` only where they were asked for, already as masked text."""

    file: str
    line: int
    function: str
    module: str
    variables: Optional[dict[str, str]] = None


class Link(NamedTuple):
    """One exception of a chain, outermost call first; `cause` is how the previous one led to it."""

    kind: str
    module: str
    message: str
    frames: list[Frame]
    cause: str = ""


def walk(error: BaseException, with_locals: bool = False) -> list[Link]:
    """The chain of an exception from the first cause to the one raised, as Python prints it."""
    links: list[Link] = []
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen and len(links) < MAX_LINKS:
        seen.add(id(current))
        if current.__cause__ is not None:
            following, how = current.__cause__, "cause"
        elif current.__context__ is not None and not current.__suppress_context__:
            following, how = current.__context__, "context"
        else:
            following, how = None, ""
        kind = type(current)
        frames = frames_of(current.__traceback__, with_locals)
        links.append(Link(kind.__qualname__, kind.__module__, _message(current), frames, how))
        current = following
    links.reverse()
    return links


def _message(error: BaseException) -> str:
    try:
        return str(error)[:4096]
    except Exception:
        return "<the exception's text raised>"


def frames_of(trace: TracebackType | None, with_locals: bool = False) -> list[Frame]:
    """The frames of a traceback, outermost first; of a deep recursion only both ends."""
    frames: list[Frame] = []
    while trace is not None:
        frames.append(_frame(trace.tb_frame, trace.tb_lineno, with_locals))
        trace = trace.tb_next
        if len(frames) > 4 * MAX_FRAMES:
            del frames[MAX_FRAMES // 2 : -MAX_FRAMES // 2]
    if len(frames) > MAX_FRAMES:
        del frames[MAX_FRAMES // 2 : -MAX_FRAMES // 2]
    return frames


def _frame(frame: FrameType, line: int, with_locals: bool) -> Frame:
    code = frame.f_code
    name = getattr(code, "co_qualname", code.co_name)
    variables = _variables(frame) if with_locals else None
    return Frame(code.co_filename, line, name, str(frame.f_globals.get("__name__", "")), variables)


def _variables(frame: FrameType) -> dict[str, str]:
    shown: dict[str, str] = {}
    for name, value in list(frame.f_locals.items())[:MAX_LOCALS]:
        if not name.startswith("__"):
            shown[name] = MASK if is_secret_name(name) else mask_text(safe_repr(value))
    return shown


def safe_repr(value: Any, depth: int = 0) -> str:
    """A short `repr` that never runs the application's code: other classes are shown by name."""
    kind = type(value)
    if kind in (int, float, bool, type(None), complex):
        return repr(value)
    if kind in (str, bytes):
        return repr(value if len(value) <= MAX_VALUE else value[:MAX_VALUE]) + (
            "…" if len(value) > MAX_VALUE else ""
        )
    if kind in (list, tuple, set, frozenset) and depth < 3:
        inner = ", ".join(safe_repr(item, depth + 1) for item, _ in zip(list(value), range(8)))
        return f"{kind.__name__}({inner}{', …' if len(value) > 8 else ''})"
    if kind is dict and depth < 3:
        pairs = (
            f"{safe_repr(key, depth + 1)}: "
            + (repr(MASK) if isinstance(key, str) and is_secret_name(key) else safe_repr(item, depth + 1))
            for key, item in list(value.items())[:8]
        )
        return "{" + ", ".join(pairs) + (", …" if len(value) > 8 else "") + "}"
    if isinstance(value, type) or callable(value):
        return f"<{getattr(value, '__qualname__', kind.__qualname__)}>"
    return f"<{kind.__module__}.{kind.__qualname__}>"


def source_line(frame: Frame) -> str:
    """The line of code of a frame, or nothing where the source cannot be read."""
    return linecache.getline(frame.file, frame.line).strip()


def context_of(frame: Frame) -> tuple[list[str], str, list[str]]:
    """Up to five lines before, the line, and five after."""
    lines = linecache.getlines(frame.file)
    at = frame.line - 1
    if not 0 <= at < len(lines):
        return [], "", []
    clean = [line.rstrip("\n")[:500] for line in lines[max(0, at - CONTEXT_LINES) : at + CONTEXT_LINES + 1]]
    middle = min(at, CONTEXT_LINES)
    return clean[:middle], clean[middle], clean[middle + 1 :]


def is_application(file: str) -> bool:
    """Whether a file is the application's own: not installed, not the standard library, not ours."""
    if "site-packages" in file or "dist-packages" in file or file.startswith("<"):
        return False
    return not file.startswith(_OUTSIDE)


_OUTSIDE = (
    os.path.dirname(os.__file__) + os.sep,  # noqa: PTH120 - pathlib costs 4 ms of the import
    os.path.dirname(os.path.abspath(__file__)) + os.sep,  # noqa: PTH100, PTH120
)


def render(links: list[Link]) -> str:
    """The chain as text, in Python's own layout."""
    pieces: list[str] = []
    for number, link in enumerate(links):
        if number:
            how = "The above exception was the direct cause of the following exception"
            if link.cause == "context":
                how = "During handling of the above exception, another exception occurred"
            pieces.append(f"\n{how}:\n\n")
        if link.frames:
            pieces.append("Traceback (most recent call last):\n")
        for frame in link.frames:
            pieces.append(f'  File "{frame.file}", line {frame.line}, in {frame.function}\n')
            code = source_line(frame)
            if code:
                pieces.append(f"    {code}\n")
        module = "" if link.module in ("builtins", "__main__") else link.module + "."
        pieces.append(f"{module}{link.kind}: {link.message}\n" if link.message else f"{module}{link.kind}\n")
    return "".join(pieces)


def mark_logged(error: BaseException) -> bool:
    """Remember that this exception object is in the log; False where it already was."""
    return _mark(error, _LOGGED)


def mark_captured(error: BaseException) -> bool:
    """Remember that this exception object was reported; False where it already was."""
    return _mark(error, _CAPTURED)


def _mark(error: BaseException, bit: int) -> bool:
    bits = getattr(error, "__mamimon__", 0)
    if bits & bit:
        return False
    try:
        error.__mamimon__ = bits | bit  # type: ignore[attr-defined]
    except Exception:  # noqa: S110 - exceptions with __slots__ cannot be marked and are reported again
        pass
    return True


def current_error() -> BaseException | None:
    """The exception being handled, if any."""
    return sys.exc_info()[1]


def write_note(error: BaseException, thread: str, folder: str) -> None:
    """Leave an uncaught exception in a folder, whole, for the `mamimon run` that watches this process."""
    import json
    import time

    note = {"at": time.time(), "thread": thread, "pid": os.getpid(), "links": walk(error, with_locals=True)}
    path = os.path.join(folder, f"{os.getpid()}-{time.monotonic_ns()}")  # noqa: PTH118 - as above
    with open(path + ".part", "w", encoding="utf-8") as file:  # noqa: PTH123 - as above
        json.dump(note, file)
    os.rename(path + ".part", path + ".json")  # noqa: PTH104 - as above


def read_note(text: str) -> dict[str, Any]:
    """What `write_note` left: `at`, `thread`, `pid` and the links."""
    import json

    note: dict[str, Any] = json.loads(text)
    note["links"] = [
        Link(kind, module, message, [Frame(*frame) for frame in frames], cause)
        for kind, module, message, frames, cause in note["links"]
    ]
    return note
