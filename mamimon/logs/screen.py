"""A look at a whole body of documents, which costs less than one at each of them."""

from __future__ import annotations

from mamimon.logs.mask import suspicious

SPELLED = 1
"""A document is ASCII, without line ends and without escapes that could be spelled otherwise."""
HARMLESS = 2
"""There is nothing in a document to be masked."""
_BACKSLASHES = 1_000


class Screen:
    """What is known of a body's documents, as a sum of `SPELLED` and `HARMLESS`."""

    def __init__(self, body: bytes) -> None:
        # What is spelled anew may turn out to be a secret only then.
        odd = b"\r" in body or _escaped(body)
        self._spelled = SPELLED if not odd and body.isascii() else 0
        self._harmless = 0 if odd else HARMLESS
        self._places = suspicious(body) if not odd else []
        self._next = 0

    def trust(self, start: int, end: int) -> int:
        """What is known of the document at these places; to be asked in the body's order."""
        places, at = self._places, self._next
        if at == len(places):
            return self._spelled + self._harmless
        while at < len(places) and places[at] < start:
            at += 1
        self._next = at
        if at < len(places) and places[at] < end:
            return self._spelled
        return self._spelled + self._harmless


def _escaped(body: bytes) -> bool:
    """Whether `\\u` or `\\/` is there: by a look at each backslash, since most bodies have few."""
    at = -1
    for _ in range(_BACKSLASHES):
        at = body.find(b"\\", at + 1)
        if at < 0:
            return False
        if body[at + 1 : at + 2] in {b"u", b"/"}:
            return True
    return b"\\u" in body or b"\\/" in body
