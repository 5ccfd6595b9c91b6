"""From a form to a rule and back, with what is wrong said field by field."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

import msgspec

from mamimon.alerts.editor.model import OPERATORS, OwnRule
from mamimon.alerts.model import Labels, duration, label_name, show_duration
from mamimon.alerts.templates import TemplateError
from mamimon.alerts.templates import parse as parse_template
from mamimon.i18n import gettext
from mamimon.problems import Problem

SEVERITIES = ("critical", "warning", "info")
LONGEST_EXPR = 10_000
LONGEST_TEXT = 4_000
MOST_LABELS = 32
MOST_WINDOW_S = 7 * 86_400.0
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_FIELD = re.compile(r"[\w@][\w.@/-]{0,99}")
_OWN_FIELDS = {"summary", "description"}


class Draft(msgspec.Struct):
    """What a form holds: the rule as far as it can be read, and what is wrong, by field."""

    rule: OwnRule
    errors: dict[str, str]


def read(form: Mapping[str, str], number: int = 0) -> Draft:
    """Read and check a form."""
    errors: dict[str, str] = {}

    def seconds(field: str, default: float) -> float:
        text = form.get(field, "").strip()
        if not text:
            return default
        try:
            return duration(text)
        except Problem as problem:
            errors[field] = f"{problem.detail}; {problem.hint}"
            return default

    def pairs(field: str) -> Labels:
        found, wrong = _pairs(form.get(field, ""))
        if wrong:
            errors[field] = gettext("not name=text: %s") % wrong[:80]
        return found

    labels = pairs("labels")
    if severity := form.get("severity", "").strip():
        labels["severity"] = severity
    annotations = {
        name: form[name].strip() for name in ("summary", "description") if form.get(name, "").strip()
    }
    rule = OwnRule(
        id=number,
        name=form.get("name", "").strip(),
        kind="logs" if form.get("kind") == "logs" else "metric",
        expr=form.get("expr", "").strip(),
        query=form.get("query", "").strip(),
        by=form.get("by", "").strip(),
        window_s=seconds("window", 300.0),
        op=form.get("op", ">"),
        threshold=_number(form.get("threshold", "0")),
        for_s=seconds("for", 0.0),
        keep_firing_for_s=seconds("keep", 0.0),
        labels=labels,
        annotations=annotations | pairs("annotations"),
    )
    return Draft(rule, check(rule) | errors)


def form_of(rule: OwnRule) -> dict[str, str]:
    """The form that reads back as the rule."""
    rest = {k: v for k, v in rule.labels.items() if k != "severity"}
    more = {k: v for k, v in rule.annotations.items() if k not in _OWN_FIELDS}
    return {
        "name": rule.name,
        "kind": rule.kind,
        "expr": rule.expr,
        "query": rule.query,
        "by": rule.by,
        "window": show_duration(rule.window_s),
        "op": rule.op,
        "threshold": f"{rule.threshold:g}",
        "for": show_duration(rule.for_s) if rule.for_s else "",
        "keep": show_duration(rule.keep_firing_for_s) if rule.keep_firing_for_s else "",
        "severity": rule.labels.get("severity", ""),
        "labels": _lines(rest),
        "summary": rule.annotations.get("summary", ""),
        "description": rule.annotations.get("description", ""),
        "annotations": _lines(more),
    }


def check(rule: OwnRule) -> dict[str, str]:
    """What is wrong with a rule, by field of the form; empty where nothing is."""
    errors = _check_logs(rule) if rule.kind == "logs" else _check_metric(rule)
    if not rule.name or len(rule.name) > 200:
        errors["name"] = gettext("A rule needs a name of 200 characters at most.")
    for key in rule.labels:
        if not _LABEL.fullmatch(key) or key in {"__name__", "alertname"}:
            errors["labels"] = gettext("not a label's name: %s") % key[:80]
    for field, values in (("labels", rule.labels), ("annotations", rule.annotations)):
        if len(values) > MOST_LABELS:
            errors[field] = gettext("There may be %s of them at most.") % MOST_LABELS
        for key, value in values.items():
            where = key if key in _OWN_FIELDS or key == "severity" else field
            if message := _check_text(value):
                errors[where] = message
    return errors


def _check_metric(rule: OwnRule) -> dict[str, str]:
    from mamimon.metrics.promql import PromQLError, parse
    from mamimon.metrics.promql.ast import TYPE_NAMES, type_of

    if not rule.expr:
        return {"expr": gettext("Write what must be true for the alert, such as up == 0.")}
    if len(rule.expr) > LONGEST_EXPR:
        return {"expr": gettext("There may be %s characters at most.") % LONGEST_EXPR}
    try:
        kind = type_of(parse(rule.expr))
    except PromQLError as error:
        return {"expr": error.text}
    if kind not in {"vector", "scalar"}:
        return {"expr": gettext("This gives a %s; a rule needs one value a series.") % TYPE_NAMES[kind]}
    return {}


def _check_logs(rule: OwnRule) -> dict[str, str]:
    from mamimon.logs.lucene import Style, parse

    errors = {}
    try:
        parse(rule.query, Style())
    except Problem as problem:
        errors["query"] = problem.detail
    if not rule.query:
        errors["query"] = gettext("Write which lines to count, such as level:ERROR.")
    if rule.by and (message := _check_by(rule)):
        errors["by"] = message
    if not 10 <= rule.window_s <= MOST_WINDOW_S:
        errors["window"] = gettext("The window must be between 10 seconds and 7 days.")
    if rule.op not in OPERATORS:
        errors["op"] = gettext("not a comparison: %s") % rule.op[:10]
    if not math.isfinite(rule.threshold):
        errors["threshold"] = gettext("not a number")
    return errors


def _check_by(rule: OwnRule) -> str:
    if not _FIELD.fullmatch(rule.by):
        return gettext("not a field's name: %s") % rule.by[:80]
    label = label_name(rule.by)
    if label in rule.labels or label in {"rule", "alertname"} or label.startswith("__"):
        return gettext("The label %s is taken.") % label
    return ""


def _check_text(text: str) -> str:
    if len(text) > LONGEST_TEXT:
        return gettext("There may be %s characters at most.") % LONGEST_TEXT
    try:
        parse_template(text)
    except TemplateError as error:
        return str(error)
    return ""


def _number(text: str) -> float:
    try:
        return float(text.strip().replace(",", "."))
    except ValueError:
        return math.nan


def _pairs(text: str) -> tuple[Labels, str]:
    """`name=text` a line; and the first line that is not."""
    found: Labels = {}
    for line in text.splitlines():
        if not line.strip():
            continue
        name, equals, value = line.partition("=")
        if not equals or not name.strip():
            return found, line.strip()
        found[name.strip()] = value.strip().strip('"')
    return found, ""


def _lines(pairs: Labels) -> str:
    return "\n".join(f"{name}={value}" for name, value in sorted(pairs.items()))
