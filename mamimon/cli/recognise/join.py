"""Lines that belong together: Python's tracebacks, Java's and Node's stack traces, indented paragraphs.

The record of a line is held back until the next line shows that nothing more belongs to it; what is
held is bounded, and `flush` gives it away when nothing comes.
"""

from __future__ import annotations

import re

from mamimon.cli.recognise.formats import Reader, Record
from mamimon.client.frames import Frame, Link

MAX_LINES = 1_000
MAX_CHARACTERS = 256 * 1024
_ANSI = re.compile(r"\x1b\[[0-9;?]{0,16}[A-Za-z]|\x1b\][^\x07\x1b]{0,256}(?:\x07|\x1b\\)")
_BEGIN = "Traceback (most recent call last):"
_BETWEEN = (
    "During handling of the above exception, another exception occurred:",
    "The above exception was the direct cause of the following exception:",
)
_FRAME = re.compile(r'^ +(?:\| +)*File "([^"]{1,1024})", line (\d{1,9})(?:, in (.{1,256}))?$')
_RAISED = re.compile(r"^([A-Za-z_][\w.]{0,255})(?:: (.*))?$", re.S)
_JAVA_HEAD = re.compile(
    r'^(?:Exception in thread "[^"]{0,200}" )?'
    r"((?:[a-z_$][\w$]*\.)+[A-Z][\w$]*(?:Exception|Error|Throwable|Failure))(?:: (.*))?$"
)
_JAVA_FRAME = re.compile(r"^\s+at (?:[\w.$/@-]+/)?([\w.$<>]+)\.([\w$<>]+)\(([^:)]*)(?::(\d+))?\)")
_STACK = re.compile(
    r"^\s+at \S|^\s*\.\.\. \d+ (?:more|common frames omitted)|^Caused by: |^\s+Suppressed: |^goroutine \d+ \["
    r"|^\s+\S+\.go:\d+ \+0x|^\s+from \S+:\d+:in |^#\d+ (?:.*\(\d+\): |\[internal function\]|\{main\})"
    r'|^\[(?:stacktrace|previous exception)\]|^"\} ?$'
)
_FREE = frozenset(("plain", "syslog", "trace"))


class Joiner:
    """Feeds on the lines of one stream and gives whole records."""

    def __init__(self, reader: Reader, *, loose: bool = False) -> None:
        self._reader = reader
        self._loose = loose
        """Lines without a time keep indented ones apart, as what a program prints is often a table."""
        self._held: Record | None = None
        self._size = 0
        self._blank = 0
        self._python = ""
        """Inside a Python traceback: "frames" until its exception, then "raised"."""

    def feed(self, text: str) -> list[Record]:
        """The records that this line completes."""
        text = _ANSI.sub("", text).rstrip("\r\n")
        if not text.strip():
            self._blank += 1
            return []
        held = self._held
        if held is not None and self._belongs(held, text):
            held.more += [""] * self._blank
            held.more.append(text)
            held.lines += 1
            self._size += len(text) + self._blank
            self._blank = 0
            if len(held.more) >= MAX_LINES or self._size >= MAX_CHARACTERS:
                return self.flush()
            return []
        made = self.flush()
        self._held = self._start(text)
        self._size = len(text)
        return made

    def flush(self) -> list[Record]:
        """What is held back."""
        held, self._held = self._held, None
        self._blank = 0
        self._python = ""
        return [] if held is None else [held]

    def _start(self, text: str) -> Record:
        record = self._reader.read(text)
        if record.kind in _FREE and record.message.endswith(_BEGIN):
            self._python = "frames"
            record.trace = True
            if record.message == _BEGIN:
                record.kind = "trace"
        elif record.kind == "plain" and record.time is None and _JAVA_HEAD.match(text):
            record.kind, record.trace = "trace", True
        if record.trace and not record.level:
            record.level = "ERROR"
        return record

    def _belongs(self, held: Record, text: str) -> bool:
        if held.kind not in _FREE:
            return False
        if self._python == "frames":
            if not text.startswith((" ", "\t")):
                self._python = "raised"
            return True
        if text in _BETWEEN and held.trace:
            return True
        if text == _BEGIN:
            if (held.trace and self._python == "raised" and held.more and held.more[-1] in _BETWEEN) or (
                held.time is not None and not held.more
            ):
                self._python = "frames"
                return self._mark(held)
            return False
        if _STACK.match(text):
            return self._mark(held)
        if held.time is not None and not held.trace and _JAVA_HEAD.match(text):
            return self._mark(held)
        return text[0] in " \t" and (held.time is not None or held.trace or not self._loose)

    @staticmethod
    def _mark(held: Record) -> bool:
        held.trace = True
        return True


def links(record: Record) -> list[Link]:
    """The exceptions of a record with a trace, the last one last, frames from the outermost call."""
    lines = [record.text if record.kind == "trace" else "", *record.more]
    found: list[Link] = []
    for part in _exceptions(lines):
        link = _python_link(part) if part[0] == _BEGIN else _java_link(part)
        if link is not None:
            found.append(link)
    return found


def _exceptions(lines: list[str]) -> list[list[str]]:
    """The lines of each exception of a chain."""
    parts: list[list[str]] = []
    python = False
    for text in lines:
        if text.endswith(_BEGIN):
            parts.append([_BEGIN])
            python = True
        elif not python and (_JAVA_HEAD.match(text) or text.startswith("Caused by: ")):
            parts.append([text.removeprefix("Caused by: ")])
        elif parts and text and text not in _BETWEEN:
            parts[-1].append(text)
        elif not parts and _JAVA_FRAME.match(text):
            parts.append(["", text])
    return parts


def _python_link(lines: list[str]) -> Link | None:
    frames: list[Frame] = []
    end = len(lines)
    for i, text in enumerate(lines[1:], 1):
        if found := _FRAME.match(text):
            frames.append(Frame(found[1], int(found[2]), found[3] or "<module>", ""))
        elif not text.startswith((" ", "\t")):
            end = i
            break
    if end == len(lines):
        return None if not frames else Link("Traceback", "", "", frames)
    raised = _RAISED.match(lines[end])
    if raised is None:
        return Link("Traceback", "", lines[end].strip(), frames)
    module, _, kind = raised[1].rpartition(".")
    return Link(kind, module or "builtins", raised[2] or "", frames)


def _java_link(lines: list[str]) -> Link | None:
    head = _JAVA_HEAD.match(lines[0])
    matches = [found for found in map(_JAVA_FRAME.match, lines[1:]) if found]
    frames = [Frame(one[3], int(one[4] or 0), one[2], one[1]) for one in reversed(matches)]
    if head is None:
        name, _, message = lines[0].partition(": ")
        return Link(name.rpartition(".")[2], name.rpartition(".")[0], message, frames) if name else None
    module, _, kind = head[1].rpartition(".")
    return Link(kind, module, head[2] or "", frames)
