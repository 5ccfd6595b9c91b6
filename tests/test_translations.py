"""Every word of the pages is there in Turkish, once, and no catalogue holds what nobody says."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import pytest
from babel.messages.pofile import read_po
from jinja2 import Environment
from jinja2.ext import InternationalizationExtension

from tests.conftest import ROOT

pytestmark = pytest.mark.feature("D6")
_CALLS = {"gettext", "_", "ngettext", "N_", "said"}


def _templates() -> set[str]:
    environment = Environment(extensions=[InternationalizationExtension], trim_blocks=True)
    found: set[str] = set()
    for path in (ROOT / "web/templates").rglob("*.html"):
        for _, name, message in environment.extract_translations(path.read_text(encoding="utf-8")):
            if name in _CALLS:
                found |= {one for one in (message if isinstance(message, tuple) else (message,)) if one}
    return found


def _python() -> set[str]:
    found: set[str] = set()
    for path in (ROOT / "mamimon").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        if "gettext" not in text and "said(" not in text:
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in _CALLS:
                found |= {
                    one.value
                    for one in node.args[:2]
                    if isinstance(one, ast.Constant) and isinstance(one.value, str)
                }
    return found


def _data() -> set[str]:
    """Texts that are data: the built-in dashboards, the navigation and what settings mean."""
    from mamimon.config import table
    from mamimon.dashboards.builtin import builtin
    from mamimon.server.pages import NAVIGATION

    found = {entry[1] for entry in NAVIGATION if entry} | {row.about for row in table()}
    for one in builtin().values():
        found |= {one.title, one.about, *(panel.title for panel in one.panels)}
        found |= {variable.label for variable in one.variables}
    return found - {""}


def _catalogue() -> tuple[dict[str, str], list[str]]:
    said: dict[str, str] = {}
    repeated = []
    for path in sorted((ROOT / "web/locales/tr").glob("*.po")):
        with path.open(encoding="utf-8") as file:
            messages = [message for message in read_po(file, locale="tr") if message.id]
        for message in messages:
            ids = message.id if isinstance(message.id, tuple) else (message.id,)
            texts = message.string if isinstance(message.string, tuple) else (message.string,)
            if ids[0] in said:
                repeated.append(f"{path.name}: {ids[0]}")
            for one in ids:
                said[one] = min(texts, key=len) if all(texts) else ""
    return said, repeated


def test_every_string_is_translated() -> None:
    """What templates, Python and the built-in dashboards say has a Turkish text."""
    said, _ = _catalogue()
    missing = sorted(one for one in _templates() | _python() | _data() if not said.get(one))

    assert not missing, "\n".join(missing)


def test_no_catalogue_repeats_another() -> None:
    """A string is translated in one file only."""
    assert _catalogue()[1] == []


def test_no_catalogue_is_stale() -> None:
    """Every translated string is still said somewhere: by a call, or as a word that is data."""
    said, _ = _catalogue()
    used = _templates() | _python() | _data()
    # Words that reach `_()` through a variable (states, levels) stand somewhere as a plain literal.
    sources = [*(ROOT / "mamimon").rglob("*.py"), *(ROOT / "web/templates").rglob("*.html")]
    literals = "\n".join(path.read_text(encoding="utf-8") for path in sources)
    stale = [
        one for one in said if one not in used and f'"{one}"' not in literals and f"'{one}'" not in literals
    ]

    assert not stale, "\n".join(stale)


def test_placeholders_survive_translation() -> None:
    """A translation names the same placeholders as its source."""
    said, _ = _catalogue()
    holes = re.compile(r"%\((\w+)\)|\{(\w+)\}")
    broken = {
        one: text
        for one, text in said.items()
        if "%(num)" not in one and sorted(holes.findall(one)) != sorted(holes.findall(text))
    }

    assert not broken


def test_builtin_dashboards_are_the_listed_files() -> None:
    """Each JSON file beside the module is listed, and each listed one is its slug."""
    from mamimon.dashboards.builtin import ORDER

    files = sorted(Path(ROOT / "mamimon/dashboards/builtin").glob("*.json"))

    assert sorted(ORDER) == [path.stem for path in files]
    assert [json.loads(path.read_text())["slug"] for path in files] == [path.stem for path in files]
