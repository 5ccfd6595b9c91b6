"""What built-in rules say is shown in the reader's language."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from mamimon.alerts.translated import translated
from mamimon.i18n import current_locale
from tests.conftest import ROOT

pytestmark = pytest.mark.feature("D6")


@pytest.fixture
def turkish() -> Iterator[None]:
    """A request in Turkish."""
    token = current_locale.set("tr")
    yield
    current_locale.reset(token)


def texts() -> list[str]:
    """Every annotation of the built-in rules, with a value in each hole."""
    rules = yaml.safe_load((ROOT / "mamimon/alerts/builtin_rules.yml").read_text(encoding="utf-8"))
    found = [
        text
        for group in rules["groups"]
        for rule in group["rules"]
        for text in rule.get("annotations", {}).values()
    ]
    return [re.sub(r"\{\{.*?\}\}", "web-1:9100", one) for one in found]


@pytest.mark.usefixtures("turkish")
def test_every_sentence_of_the_builtin_rules_is_known() -> None:
    """No built-in annotation stays English, and each keeps its values."""
    assert len(texts()) >= 12
    for text in texts():
        shown = translated(text)
        assert shown != text, text
        assert shown.count("web-1:9100") == text.count("web-1:9100")
        assert translated(f"{text} (+3)") == f"{shown} (+3)"


@pytest.mark.usefixtures("turkish")
def test_what_people_wrote_stays() -> None:
    """A sentence of somebody's own rule is shown as it was written."""
    assert translated("The queue of shop is long") == "The queue of shop is long"
    assert translated("The disk of a is 91 % full, or so") == "The disk of a is 91 % full, or so"


def test_english_is_untouched() -> None:
    """Without a language nothing is looked up."""
    assert translated("The disk of a is 91 % full") == "The disk of a is 91 % full"


def test_pages_say_it_in_turkish(server: Any) -> None:
    """The alerts page shows a built-in rule's summary in the browser's language; the API has the text."""
    alert = {
        "labels": {"alertname": "DiskAlmostFull", "instance": "web-1"},
        "annotations": {"summary": "The disk of web-1 is 91 % full"},
    }
    assert server.client.post("/alertmanager/api/v2/alerts", json=[alert]).status_code == 200
    assert "web-1 diski %91 dolu" in server.client.get("/alerts", headers={"Accept-Language": "tr"}).text
    assert "The disk of web-1" in server.client.get("/alerts", headers={"Accept-Language": "en"}).text
    (given,) = server.client.get("/alertmanager/api/v2/alerts").json()
    assert given["annotations"]["summary"] == "The disk of web-1 is 91 % full"
