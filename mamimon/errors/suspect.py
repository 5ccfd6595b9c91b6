"""A look at an event's JSON as it came: may anything in it be a secret?

Most events hold none, and one pass over their bytes is far cheaper than one over their values. It errs on
the side of suspicion: whatever `scrub` would change is suspected (tests/errors/test_suspect.py).
"""

from __future__ import annotations

import re2

from mamimon.errors.scrub import NAMES

# Between a name and its value: quotes and blanks, as they are or as JSON escapes them.
_GAP = r"""(?:[\s"']|\\["'nrtfb])*"""
_SIGNS = (
    # A name that scrubbing looks for, given something in a text or as a key; or the first of a pair.
    rf"(?:{NAMES}){_GAP}[:=]",
    rf'"(?:{NAMES})"',
    r"passw(?:or)?d|passphrase|secret|api[-_]?key|access[-_]?key|private[-_]?key|credential|authorization",
    r"cookie|csrf|xsrf|sessionid|card[-_]?number",
    r'tokens?["\\\-_ .]',
    r'["\-_ .](?:jwt|pwd|auth)s?["\\\-_ .]',
    # What well-known services' keys, tokens and private keys look like.
    r"-----BEGIN|eyJ[\w\-]{6}|(?:bearer|basic|digest)[\s\\%]|://[^/@]*:[^/@]*@",
    r"[spr]k_(?:live|test)_|sk-[\w\-]{16}|gh[pousr]_|github_pat_|glpat-|xox[abeoprs]-|(?:AKIA|ASIA)[A-Z0-9]{16}",
    r"AIza[\w\-]{30}|hooks\.slack\.com|SG\.[\w\-]{16}|npm_\w{30}|pypi-[\w\-]{30}",
    # Thirteen digits may be a card.
    r"(?:\d[ \-]?){12}\d",
    # What cannot be seen as it will be: escaped characters, and texts that are put together here.
    r'\\u|\\/|"params"',
)
_SECRET = re2.compile(("(?i)" + "|".join(_SIGNS)).encode())


def suspicious(payload: bytes) -> bool:
    """Whether anything in a JSON text may be a secret."""
    return not payload.isascii() or _SECRET.search(payload) is not None
