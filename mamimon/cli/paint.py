"""Log lines on a terminal: coloured where somebody looks, plain text where a program reads.

A line may hold anything, also sequences that would move the cursor or set the title of the
terminal; control characters are therefore shown, never sent.
"""

from __future__ import annotations

import datetime as dt
import json
import re
import sys
from collections.abc import Sequence
from typing import Any

_LEVELS = {
    "CRITICAL": "bold red",
    "ERROR": "red",
    "WARNING": "yellow",
    "NOTICE": "green",
    "INFO": "blue",
    "DEBUG": "bright_black",
    "TRACE": "bright_black",
}
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def safe(text: str) -> str:
    """`text` with control characters spelled out; line breaks and tabs stay."""
    return _CONTROL.sub(lambda found: found.group().encode("unicode_escape").decode(), text)


class Painter:
    """Prints hits of the log API on standard output."""

    def __init__(self, *, as_json: bool, fields: Sequence[str] = ()) -> None:
        self.as_json = as_json
        self.fields = list(fields)
        self.coloured = not as_json and sys.stdout.isatty()
        self._console: Any = None
        if self.coloured:
            from rich.console import Console

            self._console = Console(highlight=False, soft_wrap=True)

    def line(self, hit: dict[str, Any], *, around: bool = False) -> None:
        """One line; `around` is one that only stands beside a match."""
        if self.as_json:
            print(json.dumps(hit["document"], ensure_ascii=False))
            return
        extra = [(name, value) for name in self.fields for value in [_field(hit["document"], name)] if value]
        if not self.coloured:
            rest = "".join(f" {name}={value}" for name, value in extra)
            print(
                f"{hit['time']} {hit['level'] or '-':<8} {safe(hit['logger'])} {safe(hit['message'])}{rest}"
            )
            return
        from rich.text import Text

        text = Text(no_wrap=False)
        text.append(_local(hit["time"]) + " ", "dim")
        text.append(f"{hit['level'] or '-':<8} ", "dim" if around else _LEVELS.get(hit["level"], ""))
        if hit["logger"]:
            text.append(safe(hit["logger"]) + " ", "cyan dim" if around else "cyan")
        text.append(safe(hit["message"]), "dim" if around else "")
        for name, value in extra:
            text.append(f" {name}=", "magenta dim")
            text.append(value, "dim")
        self._console.print(text)

    def gap(self) -> None:
        """Between groups of lines that do not follow each other."""
        if not self.as_json:
            print("--")

    def flush(self) -> None:
        """Let a reader of a pipe see what was printed."""
        sys.stdout.flush()


def _field(document: dict[str, Any], name: str) -> str:
    """A field by its dotted path, as text on one line."""
    value: Any = document.get(name)
    if value is None:
        value = document
        for part in name.split("."):
            value = value.get(part) if isinstance(value, dict) else None
    if value is None:
        return ""
    return safe(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))


def _local(iso: str) -> str:
    """The time of day here, with the date where that is not today's."""
    at = dt.datetime.fromisoformat(iso.replace("Z", "+00:00")).astimezone()
    today = dt.datetime.now(at.tzinfo).date()
    return f"{at:%H:%M:%S}.{at.microsecond // 1000:03d}" if at.date() == today else f"{at:%Y-%m-%d %H:%M:%S}"
