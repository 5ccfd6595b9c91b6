"""Takes secrets out of a line before it reaches the disk.

Works on the JSON text, so it costs one linear pass (google-re2 knows no backtracking) and keeps
everything else byte for byte. What is taken for a secret: values of keys that are named like one,
bearer and basic credentials, well-known key shapes, private keys, passwords in URLs, JWTs.
"""

from __future__ import annotations

from functools import cache
from typing import Any

_MASK = b"***"
_KEYS = (
    rb"[\w.-]*(?:passw(?:or)?d|passphrase|secret|api[_-]?key|apikey|access[_-]?key|auth[_-]?token|access[_-]?token"
    rb"|refresh[_-]?token|id[_-]?token|authorization|credentials?|private[_-]?key|session[_-]?(?:key|token)"
    rb"|set-cookie|cookie|csrf[_-]?token)"
)
# No pattern matches over a line's end, so that many lines can be looked through at once.
_SCALAR = rb'(?:"(?:[^"\\\n]|\\.)*"|-?[0-9][0-9.eE+-]*)'
_PATTERNS = (
    # A key of the document: "password": "…" (also a number), escapes inside the value included.
    (rb'(?i)("(?:' + _KEYS + rb'|token|pwd|jwt)"[ \t]*:[ \t]*)' + _SCALAR, rb'\1"***"'),
    (
        rb'(?i)("(?:' + _KEYS + rb'|token|pwd|jwt)"[ \t]*:[ \t]*)\[(?:' + _SCALAR + rb'|[^\[\]{}"\n])*\]',
        rb'\1["***"]',
    ),
    # In running text: password=…, api_key: …, also in JSON inside a text, whose quotes are escaped. A
    # plain quote behind the name would be a key of the document, whose value may be null or an object.
    (
        rb"(?i)\b("
        + _KEYS
        + rb"|token|pwd)((?:\\\"|')?[ \t]*[=:][ \t]*\[?(?:\\\"|')?)"
        + rb"((?:bearer|basic)[ \t]+)?[^\s\"'\\,;&)}\]*\[{]+",
        rb"\1\2\3***",
    ),
    (rb"(?i)\b(bearer|basic)[ \t]+[a-z0-9._~+/=-]{8,}", rb"\1 ***"),
    (rb"\b((?:sk|pk|rk)_(?:live|test)_)[A-Za-z0-9]{4,}", rb"\1***"),
    (rb"\b(sk-)[A-Za-z0-9_-]{16,}", rb"\1***"),
    (rb"\b(AKIA|ASIA)[A-Z0-9]{16}\b", rb"\1***"),
    (rb"\b(gh[pousr]_|github_pat_|glpat-|xox[abprs]-)[A-Za-z0-9_-]{10,}", rb"\1***"),
    (rb"\b(AIza)[A-Za-z0-9_-]{30,}", rb"\1***"),
    (rb"\b(eyJ)[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}", rb"\1***"),
    (
        rb"(-----BEGIN [A-Z ]*PRIVATE KEY-----)[A-Za-z0-9+/=\\ ]+(-----END [A-Z ]*PRIVATE KEY-----)",
        rb"\1***\2",
    ),
    (rb"(://[^/\s:@\"\\]*:)[^/\s@\"\\]+@", rb"\1***@"),
)


@cache
def _compiled() -> tuple[Any, list[tuple[Any, bytes]]]:
    """What finds any secret, and the patterns one by one with what stands in the secrets' place."""
    import re2

    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.log_errors = False
    either = b"|".join(b"(?:" + pattern + b")" for pattern, _ in _PATTERNS)
    return re2.compile(either, options), [(re2.compile(p, options), r) for p, r in _PATTERNS]


def mask(raw: bytes) -> bytes:
    """The JSON line with every secret replaced by `***`; valid JSON stays valid JSON."""
    either, patterns = _compiled()
    if either.search(raw) is None:
        return raw
    for pattern, replacement in patterns:
        raw = pattern.sub(replacement, raw)
    return raw


def suspicious(body: bytes) -> list[int]:
    """Where in many lines something stands that `mask` replaces, in order, at least one place a line."""
    either, _ = _compiled()
    return [found.start() for found in either.finditer(body)]
