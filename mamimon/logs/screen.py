"""A look at a whole body of documents, which costs less than one at each of them."""

from __future__ import annotations

from mamimon.logs.mask import suspicious

SPELLED = 1
"""A document is ASCII, without line ends and without escapes that could be spelled otherwise."""
HARMLESS = 2
"""There is nothing in a document to be masked."""


class Screen:
    """What is known of a body's documents, as a sum of `SPELLED` and `HARMLESS`."""

    def __init__(self, body: bytes) -> None:
        odd = not body.isascii() or any(part in body for part in (b"\\u", b"\\/", b"\r"))
        self._spelled = 0 if odd else SPELLED
        self._places = suspicious(body)
        self._next = 0

    def trust(self, start: int, end: int) -> int:
        """What is known of the document at these places; to be asked in the body's order."""
        places, at = self._places, self._next
        while at < len(places) and places[at] < start:
            at += 1
        self._next = at
        if at < len(places) and places[at] < end:
            return self._spelled
        return self._spelled + HARMLESS
