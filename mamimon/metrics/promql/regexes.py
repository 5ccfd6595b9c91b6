"""Regular expressions of matchers and label functions: RE2, so that no pattern can hang a query."""

from __future__ import annotations

from functools import lru_cache

import re2


@lru_cache(maxsize=4096)
def compile_regex(pattern: str) -> re2._Regexp[str]:
    """A label regex: RE2, anchored at both ends by the caller's `fullmatch`, dot matches newlines."""
    options = re2.Options()
    options.log_errors = False
    options.dot_nl = True
    options.max_mem = 8 << 20
    return re2.compile(pattern, options)
