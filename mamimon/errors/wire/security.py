"""Security reports of browsers as events: CSP (`report-uri` and the Reporting API), Expect-CT, HPKP, staple.

One report is one event; grouping is by what was blocked and by which directive, as Sentry does it.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from mamimon.errors.values import text

MAX_REPORTS = 20
_LOCAL = {
    "",
    "self",
    "'self'",
    "inline",
    "eval",
    "data",
    "blob",
    "filesystem",
    "about",
    "wasm-eval",
    "trusted-types-sink",
}
_OTHER = {
    "expect-ct-report": "Expect-CT failed for",
    "expect-staple-report": "Expect-Staple failed for",
    "known-pins": "Public key pinning validation failed for",
}


def events_of(report: Any, headers: dict[str, str], release: str, environment: str) -> list[dict[str, Any]]:
    """Raw events of a report's body; raises `ValueError` for what is no report that is known."""
    found = []
    for one in (report if isinstance(report, list) else [report])[:MAX_REPORTS]:
        made = _event(one) if isinstance(one, dict) else None
        if made is None:
            continue
        url = made["request"]["url"]
        made["request"]["headers"] = [[key, value] for key, value in headers.items() if value]
        found.append(
            {**made, "platform": "other", "release": release, "environment": environment, "transaction": url}
        )
    if not found:
        raise ValueError("no security report that is known")
    return found


def _event(report: dict[str, Any]) -> dict[str, Any] | None:
    if isinstance(report.get("csp-report"), dict):
        return _csp(report["csp-report"])
    if report.get("type") == "csp-violation" and isinstance(report.get("body"), dict):
        body = report["body"]
        known = {_dashed(key): value for key, value in body.items()}
        known.setdefault("document-uri", known.get("document-url") or report.get("url"))
        known.setdefault("blocked-uri", known.get("blocked-url"))
        return _csp(known)
    for key, words in _OTHER.items():
        if key in report:
            inner = report[key] if isinstance(report[key], dict) else report
            host = text(inner.get("hostname"), 200) or "an unknown host"
            return {
                "logger": key.removesuffix("-report") if key != "known-pins" else "hpkp",
                "level": "error",
                "message": f"{words} '{host}'",
                "fingerprint": [key, host],
                "extra": {name: value for name, value in inner.items() if not name.endswith("chain")},
                "request": {"url": f"https://{host}/"},
            }
    return None


def _csp(report: dict[str, Any]) -> dict[str, Any]:
    violated = text(report.get("effective-directive"), 200) or text(report.get("violated-directive"), 200)
    directive = violated.split(" ", 1)[0]
    if not directive:
        raise ValueError("a CSP report without a directive")
    blocked = text(report.get("blocked-uri"), 2000)
    document = text(report.get("document-uri"), 2000)
    what = directive.removesuffix("-elem").removesuffix("-attr").removesuffix("-src").removesuffix("-uri")
    source = _source(blocked, document)
    named = f"from '{source}'" if source not in {"inline", "eval"} else f"that is {source}"
    message = f"Blocked '{what}' {named}" if source else f"Blocked unsafe '{what}'"
    return {
        "logger": "csp",
        "level": "warning" if report.get("disposition") == "report" else "error",
        "message": message,
        "fingerprint": ["csp", directive, source],
        "tags": {"effective-directive": directive, "blocked-uri": blocked[:200] or "self"},
        "extra": {key: value for key, value in report.items() if key != "original-policy"},
        "request": {"url": document},
    }


def _source(blocked: str, document: str) -> str:
    """Whom the blocked thing came from: a host, a scheme, or `self`."""
    if blocked.lower().strip("'") in _LOCAL:
        return blocked.lower().strip("'") or "self"
    try:
        parts, own = urlsplit(blocked), urlsplit(document)
    except ValueError:
        return blocked[:100]
    if not parts.netloc:
        return parts.scheme or blocked[:100]
    return "self" if parts.netloc == own.netloc else parts.netloc


def _dashed(name: str) -> str:
    """`blockedURL` as `blocked-url`."""
    made = ""
    for index, char in enumerate(name):
        if char.isupper() and index and not name[index - 1].isupper():
            made += "-"
        made += char.lower()
    return made
