"""What goes wrong with a query, in the words of the Prometheus API."""

from __future__ import annotations

from typing import Literal

ErrorKind = Literal["bad_data", "execution", "timeout", "canceled"]


class PromQLError(Exception):
    """A query that cannot be answered; `kind` is the API's `errorType`, the text its `error`."""

    def __init__(self, kind: ErrorKind, text: str) -> None:
        super().__init__(text)
        self.kind: ErrorKind = kind
        self.text = text


class Flaw(Exception):  # noqa: N818 - one of several in a text, not what a caller sees
    """One error at one place of the text (character offsets); the parser collects them."""

    def __init__(self, text: str, start: int, end: int) -> None:
        super().__init__(text)
        self.text = text
        self.start = start
        self.end = end
        self.follow_up: tuple[str, int] | None = None
        """A second error that Prometheus' parser reports with this one."""


class ParseError(PromQLError):
    """The text is not PromQL; `flaws` are all that were found, the message is the first, with its place."""

    def __init__(self, query: str, flaws: list[Flaw]) -> None:
        self.flaws = flaws
        self.query = query
        first = flaws[0]
        super().__init__("bad_data", f"{place(query, first.start)}: parse error: {first.text}")


def place(query: str, position: int) -> str:
    """Line and column (in bytes, from 1) of a character offset, as Prometheus prints them."""
    if not query:
        return "unknown position"
    before = query[:position]
    line_start = before.rfind("\n") + 1
    column = len(before[line_start:].encode("utf-8", "surrogateescape")) + 1
    return f"{before.count(chr(10)) + 1}:{column}"
