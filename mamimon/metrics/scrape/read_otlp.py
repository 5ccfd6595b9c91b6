"""The `otlp` section of a prometheus.yml (Prometheus 3.14, configuration reference)."""

from __future__ import annotations

import msgspec

from mamimon.metrics.scrape.yaml_file import Node
from mamimon.metrics.wire.otlp.model import STRATEGIES, OtlpSettings

_FLAGS = (
    "promote_all_resource_attributes",
    "keep_identifying_resource_attributes",
    "convert_histograms_to_nhcb",
    "promote_scope_metadata",
    "label_name_underscore_sanitization",
    "label_name_preserve_multiple_underscores",
    "disable_target_info",
)
_LISTS = ("promote_resource_attributes", "ignore_resource_attributes")


def read_otlp(node: Node) -> OtlpSettings:
    """The settings; raises `ConfigError` with file and line."""
    node.only({*_FLAGS, *_LISTS, "translation_strategy"})
    default = OtlpSettings()
    flags = {name: node.get(name).flag(getattr(default, name)) for name in _FLAGS}
    lists = {name: _names(node.get(name)) for name in _LISTS}
    if flags["promote_all_resource_attributes"] and lists["promote_resource_attributes"]:
        node.fail(
            "promote_all_resource_attributes and promote_resource_attributes cannot be configured "
            "simultaneously"
        )
    if lists["ignore_resource_attributes"] and not flags["promote_all_resource_attributes"]:
        node.fail("ignore_resource_attributes needs promote_all_resource_attributes to be true")
    strategy = node.get("translation_strategy").choice(STRATEGIES, default.translation_strategy)
    return msgspec.convert({"translation_strategy": strategy, **flags, **lists}, OtlpSettings)


def _names(node: Node) -> tuple[str, ...]:
    names: list[str] = []
    for item in node.items():
        name = item.text().strip()
        if not name:
            item.fail("an OTel resource attribute is empty")
        if name in names:
            item.fail(f"the OTel resource attribute {name!r} stands twice")
        names.append(name)
    return tuple(names)
