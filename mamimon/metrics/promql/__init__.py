"""PromQL: text to tree, tree to answer.

`parse` and `format_query` know the language, `evaluate` answers over any `SeriesSource`.
"""

from mamimon.metrics.promql.engine import evaluate
from mamimon.metrics.promql.errors import ParseError, PromQLError
from mamimon.metrics.promql.functions import AGGREGATOR_HELP, FUNCTIONS
from mamimon.metrics.promql.parser import choosy, matchers_of, metric_names, parse
from mamimon.metrics.promql.printer import pretty, render

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


def format_query(text: str) -> str:
    """A query in normal form, long ones spread over lines; raises `ParseError`."""
    return pretty(parse(text))
