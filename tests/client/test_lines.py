"""The short way from a log line to JSON writes what the long way writes."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from typing import Any

import pytest

from mamimon.client.lines import Lines
from mamimon.client.mask import configure_masking, is_clean, mask_text
from mamimon.client.plain import dump
from mamimon.client.records import Line, take
from mamimon.client.settings import Settings
from tests.client.corpus import negatives, positives

REQUEST = {"request_id": "r-1", "trace_id": "0af7651916cd43dd8448eb211c80319c", "_path": "/x"}


def line(message: str, extra: dict[str, Any] | None = None, context: dict[str, Any] | None = None) -> Line:
    return Line(1_764_000_000.001, 20, "INFO", "app", message, context or {}, extra, None, None)


LINES = [
    line("plain words"),
    line("İşlem başladı \x00 \ud800 \U0001f600 \\ \"quoted\""),
    line("fields", {"n": 1, "half": 0.5, "yes": True, "no": False, "none": None, "text": "a\nb"}, REQUEST),
    line("over", {"request_id": "other", "n": 1}, REQUEST),
    line("reserved", {"host": "h", "level": "x", "service": "s", "stack": "t"}),
    line("nested", {"list": [1, {"a": "b"}], "bytes": "x"}),
    line("numbers", {"big": 4111111111111111, "negative": -5, "huge": 10**30}),
    line("secret names", {"password": "x", "api_key": "", "token": None}),
    line("secret value", {"note": "mail ada@example.com"}),
    line("call +90 532 123 45 67 now", {"x": "y"}, REQUEST),
    line('split "token": "', {"next": '" and more words"'}),
]  # fmt: skip


@pytest.fixture
def extended() -> Iterator[None]:
    """Ends what a test configures of masking."""
    yield
    configure_masking()


@pytest.mark.feature("C1")
@pytest.mark.parametrize("one", LINES, ids=lambda one: one.message[:12])
@pytest.mark.parametrize("mask", [True, False])
@pytest.mark.parametrize("ecs", [True, False])
def test_both_ways_write_the_same(one: Line, mask: bool, ecs: bool) -> None:
    """A line has one text, whichever way it was written."""
    lines = Lines(Settings(service="s", mask=mask, ecs=ecs))
    for _ in range(2):
        assert lines.write(one) == dump(lines.documents.document(one))


@pytest.mark.feature("C1")
def test_plain_lines_go_the_short_way() -> None:
    """What most lines are needs no document; what masking changes does."""
    lines = Lines(Settings())
    assert [one.message[:8] for one in LINES if lines._plain(one) is not None] == [
        "plain wo", "İşlem ba", "fields",
    ]  # fmt: skip


@pytest.mark.feature("C2")
def test_a_look_at_many_texts_finds_what_one_look_each_finds() -> None:
    """Among clean texts any one with a secret is noticed, and clean ones together stay clean."""
    clean = [text for text in negatives() if mask_text(text) == text]
    for start in range(0, len(clean), 7):
        assert is_clean(clean[start : start + 7])
    for number, (text, _) in enumerate(positives()):
        if mask_text(text) != text:
            at = number % (len(clean) - 3)
            assert not is_clean([*clean[at : at + 2], text, clean[at + 2]])


@pytest.mark.feature("C2")
def test_a_secret_alone_in_a_field_is_masked_too() -> None:
    """Whatever masking finds in a text by itself reaches no line as a field's value."""
    lines = Lines(Settings())
    for _, secret in positives():
        if mask_text(secret) != secret:
            assert json.dumps(secret)[1:-1] not in lines.write(line("x", {"note": secret})).decode()


@pytest.mark.feature("C2")
def test_masking_configured_later_reaches_known_lines(extended: None) -> None:
    """A key name or pattern added while the program runs is masked from then on."""
    lines = Lines(Settings())
    one = line("ticket TK-1", {"tckn": "1"})
    assert json.loads(lines.write(one))["tckn"] == "1"
    configure_masking(keys=("tckn",), patterns={"ticket": r"TK-\d"})
    written = json.loads(lines.write(one))
    assert (written["tckn"], written["message"]) == ("[masked]", "ticket [masked:ticket]")


@pytest.mark.feature("C1")
def test_extras_are_found_wherever_a_record_has_them() -> None:
    """Extras come through after another formatter, from a factory's own fields, and with a field removed."""

    class Early(logging.LogRecord):
        def __init__(self, *arguments: Any, **named: Any) -> None:
            self.first = "1"
            super().__init__(*arguments, **named)

    arguments = ("app", 20, "", 0, "m", (), None)
    late = logging.LogRecord(*arguments)
    late.number = 5
    logging.Formatter("%(asctime)s %(message)s").format(late)
    assert take(late).extra == {"number": 5}
    assert take(Early(*arguments)).extra == {"first": "1"}
    short = logging.LogRecord(*arguments)
    short.number = 5
    del short.exc_text, short.relativeCreated
    short.other = [1]
    assert take(short).extra == {"number": 5, "other": [1]}


@pytest.mark.feature("C4")
def test_a_child_writes_its_own_process_id() -> None:
    """What is remembered of the parent's lines does not reach the child's."""
    lines = Lines(Settings())
    assert json.loads(lines.write(line("x")))["pid"] == os.getpid()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, lines.write(line("x")))
        os._exit(0)
    os.waitpid(child, 0)
    assert json.loads(os.read(reader, 10_000))["pid"] == child


@pytest.mark.feature("C4")
def test_an_answer_that_took_all_is_known_at_its_first_bytes() -> None:
    """Elasticsearch's, OpenSearch's and mamimon's way to say so is enough; anything else is read whole."""
    from mamimon.client.doors import _ALL_TAKEN

    for good in (
        b'{"took":30,"errors":false,"items":[{"create":{"_index":"x"}}]}',
        b'{"errors":false,"took":0,"items":[{"create":{"_index":"x"}}]}',
        b'{"took": 1, "errors": false, "items": [{"create": {"status": 201}}]}',
    ):
        assert _ALL_TAKEN.match(good)
    for other in (
        b'{"took":30,"errors":true,"items":[{"create":{}}]}',
        b'{"errors":false}',
        b'{"message":"\\"errors\\":false","items":[{"create":{}}]}',
        b"<html>welcome</html>",
    ):
        assert not _ALL_TAKEN.match(other)
