"""OTLP metrics: protobuf or JSON in, series by Prometheus' translation rules out."""

from mamimon.metrics.wire.otlp.model import Batch, OtlpSettings
from mamimon.metrics.wire.otlp.translate import translate

__all__ = ["Batch", "OtlpSettings", "read", "translate"]


def read(body: bytes, as_json: bool) -> Batch:
    """An `ExportMetricsServiceRequest`; raises one of `protobuf.BROKEN` or what msgspec raises."""
    if as_json:
        from mamimon.metrics.wire.otlp.from_json import read_json

        return read_json(body)
    from mamimon.metrics.wire.otlp.from_protobuf import read_protobuf

    return read_protobuf(body)
