"""Relabelling: rules that rewrite, keep or drop by labels (Prometheus, `model/relabel`)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import msgspec

from mamimon.metrics.regexes import expand

if TYPE_CHECKING:
    from mamimon.metrics.model import Labels

ACTIONS = (
    "replace",
    "keep",
    "drop",
    "keepequal",
    "dropequal",
    "hashmod",
    "labelmap",
    "labeldrop",
    "labelkeep",
    "lowercase",
    "uppercase",
)


class Relabel(msgspec.Struct, frozen=True, kw_only=True):
    """One rule; the fields are those of `relabel_config`."""

    action: str = "replace"
    source_labels: tuple[str, ...] = ()
    separator: str = ";"
    regex: str = "(.*)"
    modulus: int = 0
    target_label: str = ""
    replacement: str = "$1"


@lru_cache(maxsize=4096)
def compiled(regex: str) -> Any:
    """The fully anchored RE2 of a rule; raises `ValueError` for one that RE2 refuses."""
    import re2

    try:
        return re2.compile(f"^(?s:{regex})$")
    except re2.error as error:
        raise ValueError(f"regex {regex!r}: {error}") from None


def relabel(labels: Labels, rules: Sequence[Relabel]) -> Labels | None:
    """Apply `rules` in order to a copy of `labels`; None where a rule drops it. Empty values vanish."""
    result = dict(labels)
    for rule in rules:
        if not _apply(result, rule):
            return None
    return {name: value for name, value in result.items() if value}


def _apply(labels: Labels, rule: Relabel) -> bool:
    """Change `labels` in place; False drops."""
    value = rule.separator.join(labels.get(name, "") for name in rule.source_labels)
    action = rule.action
    if action == "keep":
        return compiled(rule.regex).match(value) is not None
    if action == "drop":
        return compiled(rule.regex).match(value) is None
    if action == "keepequal":
        return value == labels.get(rule.target_label, "")
    if action == "dropequal":
        return value != labels.get(rule.target_label, "")
    if action == "replace":
        _replace(labels, rule, value)
    elif action == "hashmod":
        # Prometheus takes the last 8 bytes of the MD5 as an unsigned big-endian number.
        digest = hashlib.md5(value.encode(), usedforsecurity=False).digest()
        labels[rule.target_label] = str(int.from_bytes(digest[8:], "big") % rule.modulus)
    elif action == "lowercase":
        labels[rule.target_label] = value.lower()
    elif action == "uppercase":
        labels[rule.target_label] = value.upper()
    else:
        _by_name(labels, rule)
    return True


def _replace(labels: Labels, rule: Relabel, value: str) -> None:
    found = compiled(rule.regex).match(value)
    if found is None:
        return
    target = expand(rule.target_label, found)
    if not target:
        return
    replacement = expand(rule.replacement, found)
    if replacement:
        labels[target] = replacement
    else:
        labels.pop(target, None)


def _by_name(labels: Labels, rule: Relabel) -> None:
    pattern = compiled(rule.regex)
    for name in list(labels):
        found = pattern.match(name)
        if rule.action == "labelmap":
            if found is not None:
                labels[expand(rule.replacement, found)] = labels[name]
        elif (found is not None) == (rule.action == "labeldrop"):
            del labels[name]
