"""Freed memory goes back to the system."""

from __future__ import annotations

import psutil

from mamimon.storage import heap

PIECE, PIECES = 50_000, 2_000


def test_what_lies_between_pieces_in_use_is_given_back() -> None:
    """The C library keeps freed pieces of its heap while those beside them are in use."""
    heap.give_back()
    process = psutil.Process()
    pieces = [bytes([1]) * PIECE for _ in range(PIECES)]
    kept = pieces[::20]
    pieces.clear()
    before = process.memory_info().rss

    heap.give_back()

    assert len(kept) == PIECES / 20
    assert before - process.memory_info().rss > PIECE * PIECES / 2
