"""Which lines of an opened block match: by their bytes where those are enough (`clauses.sure`).

Given back are the lines that may match and, among them, those that surely do; the others are read.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

from mamimon.logs.clauses.needles import Needle, first_place, fold_bytes, maybe_in
from mamimon.logs.clauses.sure import Sure
from mamimon.logs.store.blocks import Block

# So many lines of a block are looked at one by one; for more its body is folded as a whole.
_FEW = 8


def holding(block: Block, needles: tuple[Needle, ...], sure: Sure | None) -> tuple[list[int], set[int]]:
    """Positions of lines that hold at least one of the needles, and of those that surely match."""
    body, starts, lengths, levels = block.body, block.starts, block.lengths, block.levels
    odd = block.odd
    at = block.place or first_place(needles, body, odd=odd)
    word = fold_bytes(needles[0][0]) if len(needles) == 1 == len(needles[0]) and not odd else None
    folded: bytes | None = None
    held: list[int] = []
    certain: set[int] = set()
    for seen in range(1, len(block) + 1):
        if at < 0:
            break
        position = bisect_right(starts, at) - 1
        start, size = starts[position], lengths[position]
        end = start + size
        answer: bool | None = None
        if sure is not None:
            if folded is None:
                raw = body[start:end]
                answer = sure.holds(raw, fold_bytes(raw), 0, size, levels[position])
            else:
                answer = sure.holds(body, folded, start, end, levels[position])
        if answer is not False:
            held.append(position)
        if answer:
            certain.add(position)
        if seen == _FEW:
            folded = block.folded
        if word is None or folded is None:
            at = first_place(needles, body, end, odd=odd)
        else:
            at = folded.find(word, end)
    return held, certain


def among(
    block: Block, positions: Sequence[int], needles: Sequence[Needle] | None, sure: Sure | None
) -> tuple[list[int], set[int]]:
    """`holding` for some lines of a block; without needles each line may match."""
    held: list[int] = []
    certain: set[int] = set()
    whole = block.folded if len(positions) > _FEW else b""
    for position in positions:
        start, size = block.starts[position], block.lengths[position]
        raw, folded, end = block.body, whole, start + size
        if not whole:
            raw = raw[start:end]
            folded, start, end = fold_bytes(raw), 0, size
        if needles is not None and not maybe_in(needles, raw[start:end]):
            continue
        answer = None if sure is None else sure.holds(raw, folded, start, end, block.levels[position])
        if answer is not False:
            held.append(position)
        if answer:
            certain.add(position)
    return held, certain
