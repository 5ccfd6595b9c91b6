"""Masking, measured on a labelled set, and what it may cost."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

import mamimon
from mamimon.client.mask import configure_masking, mask_sensitive_data, mask_text
from tests.client.corpus import negatives, positives


@pytest.fixture
def plain_masking() -> Iterator[None]:
    """Masking as it comes, before and after."""
    yield
    configure_masking()


@pytest.mark.feature("C2")
def test_the_missions_key_is_masked() -> None:
    """The mission's own line keeps its words and loses its key."""
    assert "API key: " + mamimon.mask_sensitive_data("sk_live_123456") == "API key: [masked:api_key]"


@pytest.mark.feature("C2")
def test_recall_and_precision_on_the_labelled_set() -> None:
    """At least 98 % of 600 secrets are masked, and 98 % of what is touched among 300 look-alikes was one."""
    secrets, lookalikes = positives(), negatives()
    assert len(secrets) >= 300 and len(lookalikes) >= 300
    missed = [line for line, secret in secrets if secret in mask_text(line)]
    touched = [line for line in lookalikes if mask_text(line) != line]
    found = len(secrets) - len(missed)
    recall, precision = found / len(secrets), found / (found + len(touched))
    print(f"masking: {len(secrets)} secrets, recall {recall:.4f}; {len(lookalikes)} look-alikes,", end=" ")
    print(f"{len(touched)} touched, precision {precision:.4f}")
    assert recall >= 0.98, missed
    assert precision >= 0.98, touched


@pytest.mark.feature("C2")
def test_masking_twice_changes_nothing_more() -> None:
    """What is masked already stays as it is."""
    for line, _ in positives():
        once = mask_text(line)
        assert mask_text(once) == once


@pytest.mark.feature("C2")
def test_structures_are_masked_by_key_and_by_value() -> None:
    """Mappings and lists keep their shape; the original is not changed."""
    given = {
        "user": "ada",
        "API-Key": "x",
        "deep": [{"accessToken": "y"}, "mail ada@example.com"],
        "n": 7,
        "empty": "",
    }
    masked = mask_sensitive_data(given)
    assert masked == {
        "user": "ada",
        "API-Key": "[masked]",
        "deep": [{"accessToken": "[masked]"}, "mail [masked:email]"],
        "n": 7,
        "empty": "",
    }
    assert given["API-Key"] == "x"
    assert mask_sensitive_data(4111111111111111) == "[masked:card]"
    assert mask_sensitive_data(None) is None


@pytest.mark.feature("C2")
def test_masking_can_be_extended_and_narrowed(plain_masking: None) -> None:
    """An application adds key names and patterns of its own and switches a kind off."""
    configure_masking(keys=("tckn",), patterns={"ticket": r"TK-\d{6}"}, disable=("email",))
    assert mask_sensitive_data({"TCKN": "1"}) == {"TCKN": "[masked]"}
    assert mask_text("TK-123456 of ada@example.com") == "[masked:ticket] of ada@example.com"


@pytest.mark.feature("C2")
def test_a_clean_message_costs_little() -> None:
    """200 characters without a secret take microseconds: far below what a single search of all would."""
    text = (
        "The quick request of user 4711 for chat c1 was handled by worker 3 in 12.5 ms: model gpt-4, "
        "cache hit ratio 0.93, queue depth 2, retries 0, region eu-west-1, build 2026.11.12, shelf b of 7, ok"
    )
    assert mask_text(text) == text and 185 < len(text) < 215
    best = 1e9
    for _ in range(60):
        began = time.perf_counter()
        for _ in range(100):
            mask_text(text)
        best = min(best, (time.perf_counter() - began) / 100)
    print(f"masking: {best * 1e6:.1f} µs for {len(text)} characters without a secret")
    assert best < 50e-6  # 5 µs on an idle machine; ten times that is a broken hint on any


@pytest.mark.feature("C2")
@pytest.mark.parametrize(
    "unit",
    [
        "a@",
        "eyJ",
        "+1 ",
        "5 ",
        "password=",
        "https://a:",
        "Bearer ",
        "-----BEGIN ",
        "sk-",
        "TR12 ",
        "é=:",
        "%40a.",
        "--token ",
        "otp:1",
        "sig=a?",
        "123456789:AA",
        '"token":"',
    ],
)
def test_no_text_makes_masking_slow(unit: str) -> None:
    """The time grows with the length, not with its square: 16 times the text is far below 256 times."""

    def cost(length: int) -> float:
        text = (unit * (length // len(unit) + 1))[:length]
        best = 1e9
        for _ in range(3):
            began = time.perf_counter()
            mask_text(text)
            best = min(best, time.perf_counter() - began)
        return best

    assert cost(64_000) < 100 * max(cost(4_000), 0.0002)
