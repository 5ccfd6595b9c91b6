"""OTLP/HTTP logs: the real SDK and exporter, other people's examples, and requests that are wrong."""

from __future__ import annotations

import gzip
import json
import logging
import os
import random
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from google.rpc import status_pb2
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2
from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider

from mamimon import protobuf

FUZZ = int(os.environ.get("MAMIMON_FUZZ", "300"))
PROTO = {"Content-Type": "application/x-protobuf"}
FOREVER = {"logs": {"retention_days": 36_500}}


def search(server: Any, text: str = "", **parameters: Any) -> list[dict[str, Any]]:
    """The lines that match, oldest first, as stored."""
    asked = {"q": text, "start": "2000-01-01", "end": "2100-01-01", "size": 1000, **parameters}
    answer = server.client.get("/api/mamimon/logs/search", params=asked)
    assert answer.status_code == 200, answer.text
    return [hit["document"] for hit in answer.json()["hits"]][::-1]


def status(answer: httpx.Response) -> tuple[int, str]:
    """Code and message of a google.rpc.Status, whichever encoding it came in."""
    if answer.headers["content-type"] == "application/json":
        body = answer.json()
        return body["code"], body["message"]
    parts = dict(protobuf.fields(answer.content))
    return protobuf.number(parts[1]), protobuf.text(parts[2])


def logs_request(*bodies: str, time_ns: int = 0) -> Any:
    """A request as Google's protobuf builds it."""
    request = logs_service_pb2.ExportLogsServiceRequest()
    scope = request.resource_logs.add().scope_logs.add()
    for body in bodies:
        scope.log_records.add(time_unix_nano=time_ns).body.string_value = body
    return request


@pytest.mark.feature("L5")
@pytest.mark.parametrize("compression", [Compression.NoCompression, Compression.Gzip, Compression.Deflate])
def test_the_sdk_delivers_what_an_application_logged(start: Callable[..., Any], compression: Any) -> None:
    """opentelemetry-sdk with its HTTP exporter: level, service, trace, exception and attributes arrive."""
    server = start()
    resource = Resource.create(
        {"service.name": "Checkout API", "host.name": "web-1", "deployment.environment.name": "test"}
    )
    provider = LoggerProvider(resource=resource)
    exporter = OTLPLogExporter(f"{server.url}/v1/logs", compression=compression, timeout=10)
    provider.add_log_record_processor(BatchLogRecordProcessor(exporter))
    logger = logging.getLogger(f"shop.cart.{compression.value}")
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    handler = LoggingHandler(logger_provider=provider)
    logger.addHandler(handler)
    # The server's clock stands still at its start; the SDK's does not.
    server.server.clock.advance(5)
    with TracerProvider().get_tracer("t").start_as_current_span("buy") as span:
        logger.info("cart %s opened", 7, extra={"cart.items": 3, "tags": ["a", "b"]})
        trace = f"{span.get_span_context().trace_id:032x}"
    try:
        raise KeyError("ağaç")
    except KeyError:
        logger.exception("no such item")
    assert provider.force_flush(10_000)
    provider.shutdown()
    logger.removeHandler(handler)

    opened, failed = search(server, "service:Checkout*")
    assert opened["message"] == "cart 7 opened"
    assert (opened["level"], opened["service"], opened["host"]) == ("INFO", "Checkout API", "web-1")
    assert opened["environment"] == "test"
    assert opened["logger"] == logger.name
    assert (opened["trace_id"], opened["cart.items"], opened["tags"]) == (trace, 3, ["a", "b"])
    assert opened["resource"]["telemetry.sdk.language"] == "python"
    assert failed["level"] == "ERROR"
    assert failed["exception"]["type"] == "KeyError"
    assert "ağaç" in failed["exception"]["stacktrace"]
    assert len(search(server, "", dataset="checkout-api")) == 2
    assert search(server, f"trace_id:{trace}") == [opened]


@pytest.mark.feature("L5")
def test_drop_in_ports_are_where_clients_look(start: Callable[..., Any]) -> None:
    """With --drop-in, OTLP has a port of its own (4318 by default) and Loki too (3100)."""
    moved = "es=0,prometheus=0,alertmanager=0,ui=0,loki=0,otlp=0"
    server = start(server={"drop_in": True, "drop_in_ports": moved})
    ports = server.server.ports()
    answer = httpx.post(
        f"http://127.0.0.1:{ports['otlp']}/v1/logs",
        content=logs_request("x").SerializeToString(),
        headers=PROTO,
    )
    assert answer.status_code == 200
    body = {"streams": [{"stream": {"app": "x"}, "values": []}]}
    assert httpx.post(f"http://127.0.0.1:{ports['loki']}/loki/api/v1/push", json=body).status_code == 204


@pytest.mark.feature("L5")
def test_the_published_examples_are_taken(start: Callable[..., Any], material: Path) -> None:
    """opentelemetry-proto's own JSON examples arrive with every attribute, sent by curl and gzip."""
    server = start(**FOREVER)
    for name in ("logs.json", "events.json"):
        raw = gzip.compress((material / "otlp" / "examples" / name).read_bytes())
        command = [
            "curl", "-sS", "--data-binary", "@-", "-H", "Content-Type: application/json",
            "-H", "Content-Encoding: gzip", f"{server.url}/v1/logs",
        ]  # fmt: skip
        done = subprocess.run(command, input=raw, capture_output=True, timeout=20, check=True)
        assert done.stdout == b"{}"
    line = search(server, 'message:"Example log record"')[0]
    assert line["@timestamp"] == "2018-12-13T14:51:00.300Z"
    assert line["trace_id"] == "5b8efff798038103d269b633813fc60c"
    assert line["span_id"] == "eee19b7ec3c1b174"
    assert line["level"] == "INFO"
    assert line["service"] == "my.service"
    assert line["logger"] == "my.library"
    assert line["scope"] == {"version": "1.0.0", "my.scope.attribute": "some scope attribute"}
    assert (line["int.attribute"], line["boolean.attribute"]) == (10, True)
    assert line["double.attribute"] == 637.704
    assert line["array.attribute"] == ["many", "values"]
    assert line["map.attribute"] == {"some.map.key": "some value"}
    assert any(one.get("event_name") for one in search(server, "event_name:*"))


@pytest.mark.feature("L5")
def test_other_peoples_odd_requests(start: Callable[..., Any], material: Path) -> None:
    """Fluent Bit's 61 inputs: what it takes we take, what it refuses we refuse whole or by the record."""
    server = start(**FOREVER)
    cases = json.loads((material / "otlp" / "fluent-bit" / "opentelemetry" / "logs.json").read_text())
    # Fields that are absent are empty in protobuf's JSON: an export of nothing succeeds.
    empty = {"scopeLogs_missing", "resourceLogs_missing", "resource_valid_scope_missing"}
    for name, case in cases.items():
        answer = server.client.post("/v1/logs", json=case["input"])
        refused = answer.status_code == 400 or int(
            answer.json().get("partialSuccess", {}).get("rejectedLogRecords", "0")
        )
        assert answer.status_code in {200, 400}, (name, answer.text)
        assert bool(refused) == ("expected_error" in case and name not in empty), (name, answer.text)
    assert search(server, '"valid log from service-1"') == []  # its request was refused whole
    assert len(search(server, '"first valid log"')) == 1  # here only the middle record was


@pytest.mark.feature("L5")
def test_bad_records_are_rejected_alone(server: Any, clock: Any) -> None:
    """A record beyond retention is counted in partial_success with the reason; the rest is kept."""
    now = int(clock.now() * 1e9)
    request = logs_request("good", time_ns=now)
    request.resource_logs[0].scope_logs[0].log_records.add(time_unix_nano=5).body.string_value = "old"
    request.resource_logs[0].scope_logs[0].log_records.add(trace_id=b"short").body.string_value = "bad id"
    answer = server.client.post("/v1/logs", content=request.SerializeToString(), headers=PROTO)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/x-protobuf"
    response = logs_service_pb2.ExportLogsServiceResponse.FromString(answer.content)
    assert response.partial_success.rejected_log_records == 2
    assert "older than the 90 days" in response.partial_success.error_message
    assert "trace id" in response.partial_success.error_message
    assert [line["message"] for line in search(server)] == ["good"]
    whole = server.client.post("/v1/logs", content=logs_request("x").SerializeToString(), headers=PROTO)
    assert (whole.status_code, whole.content) == (200, b"")
    del request.resource_logs[0].scope_logs[0].log_records[0]
    none = server.client.post("/v1/logs", content=request.SerializeToString(), headers=PROTO)
    status = status_pb2.Status.FromString(none.content)
    assert (none.status_code, status.code) == (400, 3)
    assert status.message.startswith("none of 2 log records was taken: ") and "90 days" in status.message


@pytest.mark.feature("L5")
def test_values_of_every_kind_mean_the_same_in_both_encodings(start: Callable[..., Any]) -> None:
    """Bytes, NaN, 64-bit numbers, nested lists and maps come out alike from protobuf and JSON."""
    server = start(**FOREVER)
    request = logs_request("proto")
    record = request.resource_logs[0].scope_logs[0].log_records[0]
    for name, field, value in (
        ("raw", "bytes_value", b"\xff\x00"), ("nan", "double_value", float("nan")),
        ("big", "int_value", -(1 << 63)), ("no", "bool_value", False), ("level", "string_value", "mine"),
    ):  # fmt: skip
        attribute = record.attributes.add(key=name)
        setattr(attribute.value, field, value)
    inner = record.attributes.add(key="deep").value.kvlist_value.values.add(key="list")
    inner.value.array_value.values.add().int_value = 1
    record.attributes.add(key="none")
    assert server.client.post("/v1/logs", content=request.SerializeToString(), headers=PROTO).is_success
    pairs = [
        {"key": "raw", "value": {"bytesValue": "_wA"}}, {"key": "nan", "value": {"doubleValue": "NaN"}},
        {"key": "big", "value": {"intValue": str(-(1 << 63))}}, {"key": "no", "value": {"boolValue": False}},
        {"key": "level", "value": {"stringValue": "mine"}}, {"key": "none"},
        {"key": "deep", "value": {"kvlistValue": {"values": [
            {"key": "list", "value": {"arrayValue": {"values": [{"intValue": 1}]}}}]}}},
    ]  # fmt: skip
    json_record = {"body": {"stringValue": "json"}, "attributes": pairs}
    sent = {"resourceLogs": [{"scopeLogs": [{"logRecords": [json_record]}]}]}
    assert server.client.post("/v1/logs", json=sent).json() == {}
    first, second = (
        {k: v for k, v in search(server, f"message:{name}")[0].items() if k != "message"}
        for name in ("proto", "json")
    )
    assert first == second
    assert first == {
        "raw": "/wA=", "nan": "NaN", "big": -(1 << 63), "no": False, "attributes": {"level": "mine"},
        "deep": {"list": [1]}, "none": None,
    }  # fmt: skip


@pytest.mark.feature("L5")
def test_errors_are_a_status_in_the_encoding_of_the_request(start: Callable[..., Any]) -> None:
    """415, 400, 413, 405, 401, 429 and 503 carry a google.rpc.Status; what may be tried again says when."""
    server = start(server={"max_body_bytes": 4096}, logs={"queue_rows": 100})
    post = server.client.post
    body = logs_request("x").SerializeToString()
    answer = post("/v1/logs", content=body, headers={"Content-Type": "text/plain"})
    assert (answer.status_code, status(answer)[0]) == (415, 3)
    assert post("/v1/logs", content=body).status_code == 415
    answer = post("/v1/logs", content=b"\x0a\xff", headers=PROTO)
    assert (answer.status_code, status(answer)[0]) == (400, 3)
    assert answer.headers["content-type"] == "application/x-protobuf"
    answer = post("/v1/logs", content=b"{", headers={"Content-Type": "application/json; charset=utf-8"})
    assert (answer.status_code, status(answer)[0]) == (400, 3)
    assert answer.headers["content-type"] == "application/json"
    answer = post("/v1/logs", content=b"\x00" * 5000, headers=PROTO)
    assert (answer.status_code, status(answer)[0]) == (413, 8)
    answer = post(
        "/v1/logs", content=gzip.compress(b"\x00" * 9000), headers={**PROTO, "Content-Encoding": "gzip"}
    )
    assert answer.status_code == 413
    answer = post("/v1/logs", content=body, headers={**PROTO, "Content-Encoding": "lzma"})
    assert answer.status_code == 415
    answer = server.client.get("/v1/logs")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    deep = '{"arrayValue":{"values":[' * 60 + "{}" + "]}}" * 60
    sent = '{"resourceLogs":[{"resource":{"attributes":[{"key":"a","value":' + deep + "}]}}]}"
    answer = post("/v1/logs", content=sent.encode(), headers={"Content-Type": "application/json"})
    assert (answer.status_code, status(answer)) == (
        400,
        (3, "the body is not an OTLP export request: a value is nested too deep"),
    )
    room = server.server.house.rooms[1]
    room.ingest._rows = 10_000
    answer = post("/v1/logs", content=body, headers=PROTO)
    assert (answer.status_code, status(answer)[0], answer.headers["retry-after"]) == (429, 8, "1")
    room.ingest._rows = 0
    core = server.server.house.core
    core.writable = lambda: False
    answer = post("/v1/logs", content=body, headers=PROTO)
    assert (answer.status_code, status(answer)[0], answer.headers["retry-after"]) == (503, 14, "5")
    core.writable = lambda: True
    made = server.client.post(
        "/api/mamimon/users", json={"name": "a", "role": "admin", "password": "correct horse"}
    )
    assert made.status_code == 201
    answer = post("/v1/logs", content=body, headers=PROTO)
    assert (answer.status_code, status(answer)[0]) == (401, 16)
    assert post("/v1/logs", content=body, headers=PROTO, auth=("a", "correct horse")).status_code == 200


@pytest.mark.feature("L5")
def test_fuzzed_requests_are_refused_never_our_mistake(server: Any, clock: Any, material: Path) -> None:
    """Mutated bodies in both encodings answer 200 or 400 (MAMIMON_FUZZ bodies an encoding)."""
    now = int(clock.now() * 1e9)
    dice = random.Random(5)
    sample = (material / "otlp" / "examples" / "logs.json").read_bytes()
    sample = sample.replace(b"1544712660300000000", str(now).encode())
    request = logs_request("one", "two", time_ns=now)
    request.resource_logs[0].resource.attributes.add(key="service.name").value.string_value = "f"
    for kind, raw in (("application/json", sample), ("application/x-protobuf", request.SerializeToString())):
        for _ in range(FUZZ):
            body = bytearray(raw)
            for _ in range(dice.randint(1, 6)):
                at = dice.randrange(len(body))
                choice = dice.random()
                if choice < 0.5:
                    body[at] = dice.randrange(256)
                elif choice < 0.75:
                    del body[at : at + dice.randint(1, 9)]
                else:
                    body[at:at] = dice.randbytes(dice.randint(1, 9))
            answer = server.client.post("/v1/logs", content=bytes(body), headers={"Content-Type": kind})
            assert answer.status_code in {200, 400}, (kind, bytes(body), answer.text)
