"""PromQL: text to tree, tree to answer.

`parse` and `format_query` know the language, `evaluate` answers over any `SeriesSource`.
"""

from mamimon.metrics.promql.engine import evaluate
from mamimon.metrics.promql.errors import ParseError, PromQLError
from mamimon.metrics.promql.functions import AGGREGATOR_HELP, FUNCTIONS
from mamimon.metrics.promql.parser import matchers_of, parse
from mamimon.metrics.promql.printer import pretty, render

__all__ = [
    "AGGREGATOR_HELP",
    "FUNCTIONS",
    "ParseError",
    "PromQLError",
    "evaluate",
    "matchers_of",
    "parse",
    "pretty",
    "render",
]
