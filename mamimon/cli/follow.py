"""The live tail as a command reads it: over as many connections as it takes, without a gap between them."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from typing import Any

import click

from mamimon.cli.ask import reached, reason

_RETRY_S = 2.0
_OVERLAP_S = 2.0
_REMEMBERED = 5_000


class Place:
    """Until when lines were heard, by the server's clock, as ours may be another."""

    def __init__(self) -> None:
        self._server = self._ours = self._heard = 0.0

    def opened(self, date: str) -> float | None:
        """Connected at the `Date` of an answer; returns what to catch up from, None the first time."""
        since = self._server + self._heard - self._ours - _OVERLAP_S if self._server else None
        self._server = parsedate_to_datetime(date).timestamp() if date else time.time()
        self._ours = self._heard = time.monotonic()
        return since

    def heard(self) -> None:
        """Something came just now."""
        self._heard = time.monotonic()


class Printed:
    """The ids of the last lines, so that none is printed twice."""

    def __init__(self) -> None:
        self._ids: dict[str, None] = {}

    def new(self, line_id: str) -> bool:
        """Whether a line was not printed yet; from now on it is."""
        if line_id in self._ids:
            return False
        self._ids[line_id] = None
        while len(self._ids) > _REMEMBERED:
            del self._ids[next(iter(self._ids))]
        return True


def events(params: dict[str, Any], where: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Server-sent events of the tail, and `open` with the time to catch up from (None at first)."""
    import httpx

    server, headers = reached(**where)
    address = f"{server}/logs/tail"
    connected = False
    place = Place()
    while True:
        try:
            with httpx.stream("GET", address, params=params, headers=headers, timeout=60) as answer:
                if answer.status_code == 200:
                    connected = True
                    yield "open", place.opened(answer.headers.get("date", ""))
                    event = ""
                    for line in answer.iter_lines():
                        place.heard()
                        if line.startswith("event:"):
                            event = line[6:].strip()
                        elif line.startswith("data:"):
                            yield event, line[5:]
                elif not connected or answer.status_code < 500:
                    answer.read()
                    click.echo(f"mamimon: {reason(answer)}", err=True)
                    sys.exit(2 if answer.status_code == 400 else 1)
        except httpx.TransportError as error:
            if not connected:
                click.echo(f"mamimon: no server answers on {address}: {error}", err=True)
                sys.exit(1)
        click.echo("connection lost, trying again", err=True)
        time.sleep(_RETRY_S)
