"""A tree back to text: on one line (`render`) or spread over several (`pretty`)."""

from __future__ import annotations

from mamimon.metrics.model import Matcher
from mamimon.metrics.promql.ast import (
    AGGREGATORS_WITH_PARAM,
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
from mamimon.metrics.promql.text import (
    LEGACY_NAME,
    format_duration,
    format_float,
    format_general,
    quote,
    to_ms,
)


def _names(labels: list[str]) -> str:
    return ", ".join(label if LEGACY_NAME.match(label) else quote(label) for label in labels)


def _matcher(matcher: Matcher) -> str:
    name = matcher.name if LEGACY_NAME.match(matcher.name) else quote(matcher.name)
    return f"{name}{matcher.op}{quote(matcher.value)}"


def _duration(ms: int, expr: DurationExpr | None) -> str:
    return render(expr) if expr is not None else format_duration(ms)


def _at(node: Timed) -> str:
    if node.at_ms is not None:
        return f" @ {node.at_ms / 1000:.3f}"
    return f" @ {node.at_edge}()" if node.at_edge else ""


def _offset(node: Timed) -> str:
    if node.offset_expr is not None:
        return f" offset {render(node.offset_expr)}"
    return f" offset {format_duration(node.offset_ms)}" if node.offset_ms else ""


def _bare_selector(node: Selector) -> str:
    shown = sorted(
        _matcher(matcher)
        for matcher in node.matchers
        if not (matcher.name == "__name__" and matcher.op == "=" and matcher.value == node.name != "")
    )
    return node.name + ("{" + ",".join(shown) + "}" if shown else "")


def _mode(node: Selector) -> str:
    return f" {node.mode}" if node.mode else ""


def _subquery_suffix(node: Subquery) -> str:
    step = _duration(node.step_ms, node.step_expr) if node.step_ms or node.step_expr is not None else ""
    return f"[{_duration(node.range_ms, node.range_expr)}:{step}]{_at(node)}{_offset(node)}"


def _matching(matching: Matching | None) -> str:
    if matching is None:
        return ""
    out = ""
    grouped = matching.card in ("many-to-one", "one-to-many")
    if matching.labels or matching.on or grouped:
        out += f" {'on' if matching.on else 'ignoring'} ({_names(matching.labels)})"
    if grouped:
        side = "left" if matching.card == "many-to-one" else "right"
        out += f" group_{side} ({_names(matching.include)})"
    left, right = matching.fill_left, matching.fill_right
    if left is not None and left == right:
        return out + f" fill ({format_general(left)})"
    out += f" fill_left ({format_general(left)})" if left is not None else ""
    return out + (f" fill_right ({format_general(right)})" if right is not None else "")


def _operator(node: Binary) -> str:
    return node.op + (" bool" if node.bool_modifier else "") + _matching(node.matching)


def _aggregation(node: Aggregate) -> str:
    if node.without:
        return f"{node.op} without ({_names(node.grouping)}) "
    return f"{node.op} by ({_names(node.grouping)}) " if node.grouping else node.op


def _duration_expr(node: DurationExpr) -> str:
    left = render(node.left) if node.left is not None else ""
    right = render(node.right) if node.right is not None else ""
    if node.op in ("step", "range"):
        text = f"{node.op}()"
    elif node.op in ("min_of", "max_of"):
        text = f"{node.op}({left}, {right})"
    elif node.left is None:
        text = right if node.op == "+" else node.op + right
    else:
        text = f"{left} {node.op} {right}"
    return f"({text})" if node.wrapped else text


def render(node: Expr) -> str:
    """One line, in Prometheus' normal form."""
    if isinstance(node, Number):
        return format_duration(to_ms(node.value)) if node.duration else format_float(node.value)
    if isinstance(node, String):
        return quote(node.value)
    if isinstance(node, Selector):
        return _bare_selector(node) + _at(node) + _mode(node) + _offset(node)
    if isinstance(node, Range):
        inner = node.selector
        length = _duration(node.range_ms, node.range_expr)
        return f"{_bare_selector(inner)}[{length}]{_mode(inner)}{_at(inner)}{_offset(inner)}"
    if isinstance(node, Subquery):
        return render(node.expr) + _subquery_suffix(node)
    if isinstance(node, Paren):
        return f"({render(node.expr)})"
    if isinstance(node, Unary):
        return node.op + render(node.expr)
    if isinstance(node, Binary):
        return f"{render(node.left)} {_operator(node)} {render(node.right)}"
    if isinstance(node, Aggregate):
        param = (
            f"{render(node.param)}, " if node.param is not None and node.op in AGGREGATORS_WITH_PARAM else ""
        )
        return f"{_aggregation(node)}({param}{render(node.expr)})"
    if isinstance(node, Call):
        return f"{node.function.name}({', '.join(render(argument) for argument in node.args)})"
    return _duration_expr(node)


def pretty(node: Expr, width: int = 100, level: int = 0) -> str:
    """Spread over lines, two spaces a level, wherever a part is longer than `width`."""
    indent = "  " * level
    whole = render(node)
    if isinstance(node, Unary):
        return indent + node.op + pretty(node.expr, width, level).strip()
    if len(whole.encode()) <= width or isinstance(node, Number | String | Selector | Range | DurationExpr):
        return whole if isinstance(node, Subquery) else indent + whole
    if isinstance(node, Subquery):
        return pretty(node.expr, width, level) + _subquery_suffix(node)
    if isinstance(node, Paren):
        return f"{indent}(\n{pretty(node.expr, width, level + 1)}\n{indent})"
    if isinstance(node, Binary):
        left, right = pretty(node.left, width, level + 1), pretty(node.right, width, level + 1)
        return f"{left}\n{indent}{_operator(node)}\n{right}"
    if isinstance(node, Aggregate):
        parts = [node.expr] if node.param is None else [node.param, node.expr]
        head = _aggregation(node)
    else:
        parts, head = node.args, node.function.name
    inside = ",\n".join(pretty(part, width, level + 1) for part in parts)
    return f"{indent}{head}(\n{inside}\n{indent})"
