"""Mutilated pushes: the readers answer with their own errors only, whatever comes.

The default draws 10,000 inputs a reader; `MAMIMON_FUZZ=200000` draws more.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable

import cramjam
import msgspec
import pytest
from google.protobuf import json_format

from mamimon import protobuf
from mamimon.metrics.wire.otlp import OtlpSettings, read, translate
from mamimon.metrics.wire.pushgateway import families, grouping_key
from mamimon.metrics.wire.remote_read import read_request
from mamimon.problems import Problem
from tests.metrics.test_otlp import everything
from tests.metrics.test_remote_read import request_of

COUNT = int(os.environ.get("MAMIMON_FUZZ", "10000"))
OTLP_ERRORS = (*protobuf.BROKEN, TypeError, AttributeError, msgspec.DecodeError, Problem)
"""What `mamimon.otlp.serve` turns into an answer."""


def mutilated(body: bytes, draw: random.Random) -> bytes:
    """The body with some bytes changed, cut out, doubled or put in."""
    out = bytearray(body)
    for _ in range(draw.randrange(1, 6)):
        at = draw.randrange(len(out) + 1)
        how = draw.randrange(4)
        if how == 0 and at < len(out):
            out[at] = draw.randrange(256)
        elif how == 1:
            del out[at : at + draw.randrange(1, 9)]
        elif how == 2:
            out[at:at] = out[at : at + draw.randrange(1, 9)]
        else:
            out[at:at] = draw.randbytes(draw.randrange(1, 5))
    return bytes(out)


def fuzz(bodies: list[bytes], work: Callable[[bytes], object], errors: tuple[type[Exception], ...]) -> None:
    """Feed mutilated bodies; some must be read and some refused, or the test proves nothing."""
    draw = random.Random(11)
    good = bad = 0
    for _ in range(COUNT):
        body = mutilated(draw.choice(bodies), draw)
        try:
            work(body)
            good += 1
        except errors:
            bad += 1
    assert good
    assert bad


def small(at: float) -> list[bytes]:
    """Requests of one metric each, of every kind."""
    whole = everything(at)
    out = []
    for metric in whole.resource_metrics[0].scope_metrics[0].metrics[-8:]:
        one = type(whole)()
        one.CopyFrom(whole)
        metrics = one.resource_metrics[0].scope_metrics[0].metrics
        kept = type(metric)()
        kept.CopyFrom(metric)
        del metrics[:]
        metrics.append(kept)
        out.append(one)
    return [one.SerializeToString() for one in out]


@pytest.mark.feature("M2")
def test_otlp_in_protobuf() -> None:
    """No mutilated protobuf request raises what the door does not answer."""
    fuzz(small(1e9), lambda body: translate(read(body, False), OtlpSettings()), OTLP_ERRORS)


@pytest.mark.feature("M2")
def test_otlp_in_json() -> None:
    """No mutilated JSON request raises what the door does not answer."""
    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

    bodies = []
    for raw in small(1e9):
        request = ExportMetricsServiceRequest.FromString(raw)
        bodies.append(json_format.MessageToJson(request, indent=None).encode())
    fuzz(bodies, lambda body: translate(read(body, True), OtlpSettings()), OTLP_ERRORS)


@pytest.mark.feature("M4")
def test_remote_read_requests() -> None:
    """No mutilated ReadRequest raises anything but a `Problem`."""
    whole = request_of((2, "__name__", "a.*"), (3, "job", "b"), start=1, end=2, accepted=b"\x01\x00")
    fuzz([bytes(cramjam.snappy.decompress_raw(whole))], read_request, (Problem,))


@pytest.mark.feature("M2")
def test_pushgateway_bodies_and_paths() -> None:
    """No mutilated exposition or path raises anything but a `Problem`."""
    text = b'# TYPE a counter\na{b="c"} 1\n# TYPE h histogram\nh_bucket{le="+Inf"} 1\nh_count 1\n'
    fuzz([text], lambda body: families(body, "text/plain", {"job": "x"}), (Problem,))
    kind = "application/vnd.google.protobuf"
    raw = bytes.fromhex("0c0a016118002206120409000000")
    fuzz([raw], lambda body: families(body, kind, {"job": "x"}), (Problem,))
    path = b"job@base64/YWJj/instance/1%2F2/shard/x"
    fuzz([path], lambda body: grouping_key(body.decode("latin-1")), (Problem,))
