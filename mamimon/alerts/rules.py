"""Rule files as Prometheus reads them.

A file or a rule that cannot be read is reported with its line and left out; the rest is used.
"""

from __future__ import annotations

import glob
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import yaml

from mamimon.alerts.model import FileError, Labels, Rule, RuleGroup, duration
from mamimon.alerts.templates import TemplateError
from mamimon.alerts.templates import parse as parse_template
from mamimon.problems import Problem

MAX_BYTES = 16 * 1024 * 1024
BUILTIN = Path(__file__).with_name("builtin_rules.yml")

_GROUP_KEYS = {"name", "interval", "limit", "rules", "query_offset", "labels", "partial_response_strategy"}
_RULE_KEYS = {"alert", "record", "expr", "for", "keep_firing_for", "labels", "annotations"}
_LABEL = re.compile(r"^[a-zA-Z_][a-zA-Z0-9_]*$")

Check = Callable[[str], None]
"""Raises an exception whose text says why an expression cannot be parsed."""


class Loaded(msgspec.Struct):
    """What the rule files hold, and what of them could not be used."""

    groups: list[RuleGroup] = []
    errors: list[FileError] = []
    files: list[str] = []


def expand_globs(patterns: Iterable[str], base: Path) -> list[Path]:
    """The files that patterns name, each once; a plain name is kept even when it does not exist."""
    found: dict[Path, None] = {}
    for pattern in patterns:
        full = str(base / pattern)
        names = sorted(glob.glob(full)) if any(c in pattern for c in "*?[") else [full]  # noqa: PTH207
        found.update(dict.fromkeys(Path(name) for name in names))
    return list(found)


def load_files(paths: Sequence[Path], interval_s: float, check: Check, query_offset_s: float = 0.0) -> Loaded:
    """Read every file; `interval_s` and `query_offset_s` are those of groups that name none."""
    all_of_them = Loaded()
    for path in paths:
        name = "builtin" if path == BUILTIN else str(path)
        all_of_them.files.append(name)
        try:
            if path.stat().st_size > MAX_BYTES:
                raise OSError(0, f"larger than {MAX_BYTES} bytes")
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
            all_of_them.errors.append(FileError(name, 1, f"cannot be read: {reason}"))
            continue
        one = load_text(text, name, interval_s, check, query_offset_s)
        all_of_them.groups.extend(one.groups)
        all_of_them.errors.extend(one.errors)
    return all_of_them


def load_text(text: str, file: str, interval_s: float, check: Check, query_offset_s: float = 0.0) -> Loaded:
    """Read one file's text."""
    reader = _Reader(file, interval_s, check, query_offset_s)
    try:
        root = yaml.compose(text, Loader=yaml.CSafeLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        return Loaded(
            [], [FileError(file, line, f"not valid YAML: {error.problem or error.context}")], [file]
        )
    except yaml.YAMLError as error:
        return Loaded([], [FileError(file, 1, f"not valid YAML: {str(error)[:200]}")], [file])
    if root is not None:
        reader.top(root)
    return Loaded(reader.groups, reader.errors, [file])


class _Bad(Exception):  # noqa: N818 - caught where the part of the file ends
    def __init__(self, node: Any, message: str) -> None:
        super().__init__(message)
        self.line = node.start_mark.line + 1


class _Reader:
    """Walks one file's nodes, so that every complaint has a line."""

    def __init__(self, file: str, interval_s: float, check: Check, query_offset_s: float) -> None:
        self._file = file
        self._query_offset_s = query_offset_s
        self._interval_s = interval_s
        self._check = check
        self.groups: list[RuleGroup] = []
        self.errors: list[FileError] = []

    def _complain(self, bad: _Bad) -> None:
        self.errors.append(FileError(self._file, bad.line, str(bad)))

    def top(self, root: Any) -> None:
        try:
            fields = _mapping(root, {"groups"}, "the file")
            nodes = _sequence(fields["groups"], "groups") if "groups" in fields else []
        except _Bad as bad:
            self._complain(bad)
            return
        seen: set[str] = set()
        for node in nodes:
            try:
                group = self._group(node)
                if group.name in seen:
                    raise _Bad(node, f"groupname: {group.name!r} is repeated in the same file")
                seen.add(group.name)
                self.groups.append(group)
            except _Bad as bad:
                self._complain(bad)

    def _group(self, node: Any) -> RuleGroup:
        fields = _mapping(node, _GROUP_KEYS, "group")
        name = _scalar(fields["name"]) if "name" in fields else ""
        if not name:
            raise _Bad(node, "groupname must not be empty")
        rules: list[Rule] = []
        for one in _sequence(fields["rules"], "rules") if "rules" in fields else []:
            try:
                rules.append(self._rule(one))
            except _Bad as bad:
                self._complain(bad)
        return RuleGroup(
            name=name,
            file=self._file,
            rules=rules,
            interval_s=_seconds(fields.get("interval")) or self._interval_s,
            limit=int(_scalar(fields["limit"]) or 0) if "limit" in fields else 0,
            query_offset_s=_seconds(fields["query_offset"])
            if "query_offset" in fields
            else self._query_offset_s,
            labels=_strings(fields.get("labels")),
        )

    def _rule(self, node: Any) -> Rule:
        fields = _mapping(node, _RULE_KEYS, "rule")
        if ("alert" in fields) == ("record" in fields):
            raise _Bad(node, "only one of 'record' and 'alert' must be set")
        alerting = "alert" in fields
        name = _scalar(fields["alert" if alerting else "record"])
        expr = _scalar(fields["expr"]) if "expr" in fields else ""
        if not name or not expr:
            raise _Bad(node, "field 'expr' must be set" if name else "a rule needs a name")
        try:
            self._check(expr)
        except Exception as error:
            raise _Bad(fields["expr"], f"{name}: could not parse expression: {error}") from None
        labels, annotations = _strings(fields.get("labels")), _strings(fields.get("annotations"))
        for key in labels:
            if not _LABEL.match(key) or key == "__name__":
                raise _Bad(fields["labels"], f"{name}: invalid label name: {key[:80]}")
        if not alerting and (annotations or "for" in fields or "keep_firing_for" in fields):
            raise _Bad(node, f"{name}: a recording rule has no annotations, 'for' or 'keep_firing_for'")
        for where, values in (("labels", labels), ("annotations", annotations)):
            for key, value in values.items():
                try:
                    parse_template(value)
                except TemplateError as error:
                    raise _Bad(fields[where], f"{name}: template of {key}: {error}") from None
        return Rule(
            name=name,
            expr=expr.strip(),
            alerting=alerting,
            line=node.start_mark.line + 1,
            for_s=_seconds(fields.get("for")),
            keep_firing_for_s=_seconds(fields.get("keep_firing_for")),
            labels=labels,
            annotations=annotations,
        )


def _mapping(node: Any, known: set[str], what: str) -> dict[str, Any]:
    if not isinstance(node, yaml.MappingNode):
        raise _Bad(node, f"{what} must be a mapping")
    fields: dict[str, Any] = {}
    for key, value in node.value:
        name = _scalar(key)
        if name not in known:
            raise _Bad(key, f"unknown field {name[:80]!r} in {what}")
        if name in fields:
            raise _Bad(key, f"field {name!r} is given twice in {what}")
        fields[name] = value
    return fields


def _sequence(node: Any, what: str) -> list[Any]:
    if isinstance(node, yaml.SequenceNode):
        return list(node.value)
    if isinstance(node, yaml.ScalarNode) and node.tag.endswith(":null"):
        return []
    raise _Bad(node, f"{what} must be a list")


def _scalar(node: Any) -> str:
    if not isinstance(node, yaml.ScalarNode):
        raise _Bad(node, "expected a single value")
    return "" if node.tag.endswith(":null") else str(node.value)


def _strings(node: Any) -> Labels:
    if node is None or (isinstance(node, yaml.ScalarNode) and node.tag.endswith(":null")):
        return {}
    if not isinstance(node, yaml.MappingNode):
        raise _Bad(node, "expected a mapping of names to texts")
    return {_scalar(key): _scalar(value) for key, value in node.value}


def _seconds(node: Any) -> float:
    if node is None:
        return 0.0
    try:
        return duration(_scalar(node))
    except Problem as problem:
        raise _Bad(node, problem.detail) from None
