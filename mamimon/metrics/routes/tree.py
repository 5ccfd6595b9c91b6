"""A PromQL tree as JSON, in the shape that Prometheus' page reads (`/api/v1/parse_query`)."""

from __future__ import annotations

from typing import Any

from mamimon.metrics.promql.ast import (
    Aggregate,
    Binary,
    Call,
    DurationExpr,
    Expr,
    Matching,
    Number,
    Paren,
    Range,
    Selector,
    String,
    Subquery,
    Timed,
    Unary,
)
from mamimon.metrics.promql.text import format_float


def tree(node: Expr | None) -> Any:
    """The node and all below; None for none."""
    match node:
        case None:
            return None
        case Aggregate():
            return {
                "type": "aggregation",
                "op": node.op,
                "expr": tree(node.expr),
                "param": tree(node.param),
                "grouping": node.grouping,
                "without": node.without,
            }
        case Binary():
            return {
                "type": "binaryExpr",
                "op": node.op,
                "lhs": tree(node.left),
                "rhs": tree(node.right),
                "matching": _matching(node.matching),
                "bool": node.bool_modifier,
            }
        case Call():
            function = {
                "name": node.function.name,
                "argTypes": list(node.function.arguments),
                "variadic": node.function.variadic,
                "returnType": node.function.returns,
            }
            return {"type": "call", "func": function, "args": [tree(one) for one in node.args]}
        case Range():
            span = {"range": node.range_ms, "rangeExpr": _duration(node.range_expr)}
            return _selector(node.selector) | {"type": "matrixSelector"} | span
        case Selector():
            return _selector(node)
        case Subquery():
            return {"type": "subquery", "expr": tree(node.expr)} | _subquery(node)
        case _:
            return _leaf(node)


def _leaf(node: Number | String | Paren | Unary | DurationExpr) -> dict[str, Any]:
    match node:
        case Number():
            return {"type": "numberLiteral", "val": format_float(node.value)}
        case String():
            return {"type": "stringLiteral", "val": node.value}
        case Paren():
            return {"type": "parenExpr", "expr": tree(node.expr)}
        case Unary():
            return {"type": "unaryExpr", "op": node.op, "expr": tree(node.expr)}
        case DurationExpr():
            shown: dict[str, Any] = _duration(node)
            return shown


def _matching(matching: Matching | None) -> dict[str, Any] | None:
    if matching is None:
        return None
    return {
        "card": matching.card,
        "labels": matching.labels,
        "on": matching.on,
        "include": matching.include,
        "fillValues": {"lhs": matching.fill_left, "rhs": matching.fill_right},
    }


def _timed(node: Timed) -> dict[str, Any]:
    return {
        "offset": node.offset_ms,
        "offsetExpr": _duration(node.offset_expr),
        "timestamp": node.at_ms,
        "startOrEnd": node.at_edge or None,
    }


def _subquery(node: Subquery) -> dict[str, Any]:
    return _timed(node) | {
        "range": node.range_ms,
        "rangeExpr": _duration(node.range_expr),
        "step": node.step_ms,
        "stepExpr": _duration(node.step_expr),
    }


def _selector(node: Selector) -> dict[str, Any]:
    matchers = [{"name": one.name, "value": one.value, "type": one.op} for one in node.matchers]
    return _timed(node) | {
        "type": "vectorSelector",
        "name": node.name,
        "matchers": matchers,
        "anchored": node.mode == "anchored",
        "smoothed": node.mode == "smoothed",
    }


def _duration(node: DurationExpr | Number | None) -> Any:
    if node is None:
        return None
    if isinstance(node, Number):
        return {"type": "numberLiteral", "val": format_float(node.value), "duration": node.duration}
    return {
        "type": "durationExpr",
        "op": node.op,
        "lhs": _duration(node.left),
        "rhs": _duration(node.right),
        "wrapped": node.wrapped,
    }
