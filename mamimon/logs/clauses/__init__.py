"""What a query asks of a line, as a tree of clauses; see `base`."""

from mamimon.logs.clauses.base import (
    ALL_LEVELS,
    ANY_TIME,
    All,
    And,
    Clause,
    Not,
    Nothing,
    Or,
    Plain,
    Row,
    Source,
)
from mamimon.logs.clauses.fields import Exact, Exists, Fuzzy, Ids, Mined, Pattern, Together, Words
from mamimon.logs.clauses.patterns import glob, literal_start, plain_number
from mamimon.logs.clauses.ranges import Bound, Range

__all__ = [
    "ALL_LEVELS", "ANY_TIME", "All", "And", "Bound", "Clause", "Exact", "Exists", "Fuzzy", "Ids", "Mined",
    "Not", "Nothing", "Or", "Pattern", "Plain", "Range", "Row", "Source", "Together", "Words", "glob",
    "literal_start", "plain_number",
]  # fmt: skip
