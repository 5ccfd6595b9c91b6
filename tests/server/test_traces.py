"""OTLP traces: told politely that nothing is kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)


@pytest.mark.feature("L9")
def test_spans_are_rejected_and_never_to_be_sent_again(server: Any, material: Path) -> None:
    """A real exporter succeeds; the answer counts the rejected spans and says why, in both encodings."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult

    results = []

    class Watched(OTLPSpanExporter):
        def export(self, spans: Any) -> SpanExportResult:
            results.append(super().export(spans))
            return results[-1]

    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(Watched(endpoint=f"{server.url}/v1/traces")))
    with provider.get_tracer("t").start_as_current_span("work"):
        pass
    provider.shutdown()
    assert results == [SpanExportResult.SUCCESS]
    request = ExportTraceServiceRequest()
    scope = request.resource_spans.add().scope_spans.add()
    scope.spans.add(name="a")
    scope.spans.add(name="b")
    answer = server.client.post(
        "/v1/traces", content=request.SerializeToString(), headers={"Content-Type": "application/x-protobuf"}
    )
    assert answer.status_code == 200
    found = ExportTraceServiceResponse.FromString(answer.content).partial_success
    assert (found.rejected_spans, "keeps no spans" in found.error_message) == (2, True)
    example = json.loads((material / "otlp" / "examples" / "trace.json").read_text())
    partial = server.client.post("/v1/traces", json=example).json()["partialSuccess"]
    assert partial["rejectedSpans"] == "1"
    bad = server.client.post("/v1/traces", content=b"[", headers={"Content-Type": "application/json"})
    assert bad.status_code == 400
