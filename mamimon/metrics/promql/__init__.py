"""PromQL: text to tree, tree to answer.

`parse` and `format_query` know the language, `evaluate` answers over any `SeriesSource`. Each is imported
when it is first used: a server reads its rules before it is ready, and evaluates them later.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mamimon.metrics.promql.engine import evaluate
    from mamimon.metrics.promql.errors import ParseError, PromQLError
    from mamimon.metrics.promql.functions import AGGREGATOR_HELP, FUNCTIONS
    from mamimon.metrics.promql.parser import choosy, matchers_of, metric_names, parse
    from mamimon.metrics.promql.printer import pretty, render

_MODULES = {
    "evaluate": "engine",
    **dict.fromkeys(("ParseError", "PromQLError"), "errors"),
    **dict.fromkeys(("AGGREGATOR_HELP", "FUNCTIONS"), "functions"),
    **dict.fromkeys(("choosy", "matchers_of", "metric_names", "parse"), "parser"),
    **dict.fromkeys(("pretty", "render"), "printer"),
}

__all__ = [
    "AGGREGATOR_HELP",
    "FUNCTIONS",
    "ParseError",
    "PromQLError",
    "choosy",
    "evaluate",
    "format_query",
    "matchers_of",
    "metric_names",
    "parse",
    "pretty",
    "render",
]


def __getattr__(name: str) -> Any:
    module = _MODULES.get(name)
    if module is None:
        raise AttributeError(f"module {__name__} has no attribute {name}")
    found = globals()[name] = getattr(import_module(f"{__name__}.{module}"), name)
    return found


def format_query(text: str) -> str:
    """A query in normal form, long ones spread over lines; raises `ParseError`."""
    from mamimon.metrics.promql.parser import parse
    from mamimon.metrics.promql.printer import pretty

    return pretty(parse(text))
