"""The rules of the house that no linter knows: sizes, names, places."""

from __future__ import annotations

import re
import subprocess

import pytest

from tests.conftest import ROOT

MAX_LINES = 400
# A longer module needs its reason here.
LONGER: dict[str, str] = {}


def _tracked(pattern: str) -> list[str]:
    done = subprocess.run(
        ["git", "ls-files", pattern], cwd=ROOT, capture_output=True, text=True, check=True, timeout=30
    )
    return done.stdout.split()


@pytest.mark.parametrize("path", _tracked("mamimon/*.py"))
def test_modules_are_small_and_say_what_they_are_for(path: str) -> None:
    """A module has at most 400 lines and a docstring, unless it is an empty package marker."""
    text = (ROOT / path).read_text(encoding="utf-8")
    lines = text.count("\n")
    limit = MAX_LINES if path not in LONGER else 10 * MAX_LINES

    assert lines <= limit, f"{path} has {lines} lines"
    assert not text.strip() or text.lstrip().startswith('"""'), f"{path} has no docstring"


def test_there_is_no_utils_module() -> None:
    """No module is named after nothing."""
    assert not [p for p in _tracked("*.py") if re.search(r"(^|/)(utils|helpers|misc|common)\.py$", p)]


def test_only_stores_and_storage_speak_sql() -> None:
    """SQL text stands in a room's store (or the storage room), nowhere else."""
    spoken = re.compile(r"\"\s*(SELECT |INSERT |DELETE FROM|UPDATE \w+ SET|CREATE TABLE)")
    allowed = re.compile(r"/store(\.py|/)|_store\.py|mamimon/storage/|/migrate\.py")
    found = [
        path
        for path in _tracked("mamimon/*.py")
        if not allowed.search(path) and spoken.search((ROOT / path).read_text(encoding="utf-8"))
    ]

    # The readiness probe asks the state database the shortest question there is; the health room's probes
    # ask other people's databases.
    assert set(found) <= {"mamimon/server/readiness.py", "mamimon/health/probes/databases.py"}


def test_pages_have_no_inline_script_or_style() -> None:
    """The content security policy forbids inline script and style, so templates have none."""
    bad = re.compile(r"<script(?![^>]*\bsrc=)|<style|\son[a-z]+=|\sstyle=|javascript:", re.IGNORECASE)
    found = {
        path: bad.search((ROOT / path).read_text(encoding="utf-8"))
        for path in _tracked("web/templates/*.html")
    }

    assert not {path for path, hit in found.items() if hit}


def test_no_commit_names_a_machine() -> None:
    """No file names this machine's folders or a registry's host."""
    bad = re.compile(r"/work/(?:main|wt|shared)|/root/|pypi\.org|registry\.npmjs|proxy\.golang|repo1?\.maven")
    files = [
        p
        for p in _tracked("*")
        if not p.endswith((".js", ".css", ".png")) and p != "tests/test_house_rules.py"
    ]
    found = [
        p for p in files if (ROOT / p).is_file() and bad.search((ROOT / p).read_text("utf-8", "replace"))
    ]

    assert not found


def test_every_setting_does_something() -> None:
    """A setting that no module reads is a dead option."""
    from mamimon.config import table

    text = "\n".join(
        (ROOT / path).read_text(encoding="utf-8")
        for path in _tracked("mamimon/*.py")
        if not re.fullmatch(r"mamimon/config(_\w+)?\.py", path)
    )

    assert not [f"{row.section}.{row.key}" for row in table() if not re.search(rf"\b{row.key}\b", text)]


def test_every_dependency_is_used() -> None:
    """Each library of pyproject.toml is imported by the package, or named here with what needs it."""
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    module = {
        "argon2-cffi": "argon2",
        "dnspython": "dns",
        "google-re2": "re2",
        "litestar-htmx": "litestar_htmx",
        "opentelemetry-proto": "opentelemetry",
        "prometheus-client": "prometheus_client",
        "pyyaml": "yaml",
    }
    # uvicorn finds these by itself.
    elsewhere = {"httptools", "websockets"}
    text = "\n".join((ROOT / path).read_text(encoding="utf-8") for path in _tracked("mamimon/*.py"))
    names = [re.split(r"[<>=\[;]", one)[0] for one in project["dependencies"]]

    unused = [
        name
        for name in names
        if name not in elsewhere and not re.search(rf"(from|import) {module.get(name, name)}\b", text)
    ]
    assert not unused
