"""Which questions are small enough to be answered where they are asked, if their samples are in memory."""

from __future__ import annotations

from functools import lru_cache

from mamimon.metrics.promql.ast import Call, Selector, Subquery, walk
from mamimon.metrics.promql.errors import ParseError
from mamimon.metrics.promql.parser import parse

_LONGEST = 300
_MOST_NODES = 30


@lru_cache(maxsize=1024)
def is_small(text: str) -> bool:
    """Whether an instant query can only take long by the number of its samples.

    Short, every selector by equality (a regular expression may go through a hundred thousand values), no
    subquery, and no `info`, which selects what nobody wrote.
    """
    if len(text) > _LONGEST:
        return False
    try:
        nodes = list(walk(parse(text)))
    except ParseError:
        return False
    return len(nodes) <= _MOST_NODES and all(map(_is_small, nodes))


def _is_small(node: object) -> bool:
    if isinstance(node, Selector):
        return all(matcher.op == "=" and matcher.value for matcher in node.matchers)
    if isinstance(node, Call):
        return node.function.name != "info"
    return not isinstance(node, Subquery)
