"""Which questions are small enough to be answered where they are asked, if their samples are in memory."""

from __future__ import annotations

from functools import lru_cache

import msgspec

from mamimon.metrics.model import Matcher
from mamimon.metrics.promql.ast import Call, Expr, Number, Selector, Subquery, unwrap, walk
from mamimon.metrics.promql.errors import ParseError
from mamimon.metrics.promql.parser import parse

_LONGEST = 300
_MOST_NODES = 30


class Plan(msgspec.Struct, frozen=True):
    """What an instant query is: a number, a vector of one number, or some series' newest samples."""

    number: float | None = None
    is_vector: bool = False
    matchers: tuple[Matcher, ...] = ()
    offset_ms: int = 0
    at_ms: int | None = None


class Small(msgspec.Struct, frozen=True):
    """What `is_small` knows of a text."""

    small: bool
    chosen: bool = False
    plan: Plan | None = None


def is_small(text: str) -> bool:
    """Whether an instant query can only take long by the number of its samples.

    Short, every selector by equality (a regular expression may go through a hundred thousand values), no
    subquery, and no `info`, which selects what nobody wrote.
    """
    return len(text) <= _LONGEST and _known(text).small


def is_small_over_time(text: str) -> bool:
    """As `is_small`, over many steps: a name alone, without a label, is of too many series for that."""
    return is_small(text) and _known(text).chosen


def plan(text: str) -> Plan | None:
    """How a small query is answered without arrays; None where it takes the engine."""
    return _known(text).plan if len(text) <= _LONGEST else None


@lru_cache(maxsize=1024)
def _known(text: str) -> Small:
    try:
        node = parse(text)
    except ParseError:
        return Small(False)
    nodes = list(walk(node))
    if len(nodes) > _MOST_NODES or not all(map(_is_small, nodes)):
        return Small(False)
    chosen = all(len(one.matchers) > 1 for one in nodes if isinstance(one, Selector))
    return Small(True, chosen, _plan(unwrap(node)))


def _plan(node: Expr) -> Plan | None:
    if isinstance(node, Number):
        return Plan(number=node.value)
    if isinstance(node, Call) and node.function.name == "vector":
        inner = unwrap(node.args[0])
        return Plan(number=inner.value, is_vector=True) if isinstance(inner, Number) else None
    if isinstance(node, Selector) and not node.mode and node.offset_expr is None:
        return Plan(matchers=tuple(node.matchers), offset_ms=node.offset_ms, at_ms=node.at_ms)
    return None


def _is_small(node: object) -> bool:
    if isinstance(node, Selector):
        return all(matcher.op == "=" and matcher.value for matcher in node.matchers)
    if isinstance(node, Call):
        return node.function.name != "info"
    return not isinstance(node, Subquery)
