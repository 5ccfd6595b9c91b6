"""What is kept of an attachment: text without its secrets, other files as they are."""

from __future__ import annotations

import zstandard

from mamimon.errors.model import Attachment
from mamimon.errors.scrub import scrub_text

_PIECE = 8192


def keep(about: Attachment, body: bytes) -> bytes:
    """The content as it is stored; empty for one that was too large to be read."""
    if not body or len(body) != about.size:
        return b""
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        return zstandard.compress(body, 3)
    # Line by line, because the patterns are bounded for texts of that size.
    lines = [
        "".join(scrub_text(line[at : at + _PIECE]) for at in range(0, len(line), _PIECE))
        for line in text.splitlines(keepends=True)
    ]
    return zstandard.compress("".join(lines).encode(), 3)
