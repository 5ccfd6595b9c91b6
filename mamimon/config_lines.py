"""Where a setting stands in its file: lines of TOML keys and tables, and `.env` files."""

from __future__ import annotations

import re
from pathlib import Path


def read_env_file(path: Path) -> dict[str, str]:
    """Read `KEY=value` lines; quotes are stripped, `export` and comments are allowed."""
    values: dict[str, str] = {}
    for raw in path.read_text(encoding="utf-8").splitlines():
        line = raw.strip().removeprefix("export ").strip()
        if not line or line.startswith("#") or "=" not in line:
            continue
        key, _, value = line.partition("=")
        value = value.strip()
        if value[:1] in {'"', "'"} and value[-1:] == value[:1]:
            value = value[1:-1]
        else:
            value = value.split(" #")[0].rstrip()
        values[key.strip()] = value
    return values


def line_of(text: str, section: str, key: str | None) -> int:
    """The line of a section's header, or of a key in it; 1 where neither is found."""
    current = ""
    header = re.compile(r"^\s*\[+\s*\"?([\w.\-]+)\"?\s*\]+")
    for number, line in enumerate(text.splitlines(), 1):
        found = header.match(line)
        if found:
            current = found.group(1)
            if key is None and current.split(".")[0] == section:
                return number
            if key is not None and current == f"{section}.{key}":
                return number
        elif key is not None and current == section and re.match(rf"^\s*\"?{re.escape(key)}\"?\s*=", line):
            return number
    return 1


def table_lines(text: str, name: str) -> dict[str, int]:
    """Lines of each `[[name]]` table and its keys: `{"[0]": 3, "[0].kind": 4, …}`."""
    lines: dict[str, int] = {}
    index, inside = -1, False
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.split("#")[0].strip()
        if stripped.startswith("["):
            inside = stripped == f"[[{name}]]"
            if inside:
                index += 1
                lines[f"[{index}]"] = number
        elif inside and (found := re.match(r'"?([\w\-]+)"?\s*=', stripped)):
            lines[f"[{index}].{found.group(1)}"] = number
    return lines


def place_in_table(places: dict[tuple[str, str], str], section: str, where: str, reason: str) -> str:
    """The line of a mistake in an array of tables: `where` is msgspec's path, as `$.checks[0].kind`."""
    inside = where.removeprefix("$.")
    field = re.search(r"unknown field `([^`]+)`", reason)
    exact = f"{inside}.{field.group(1)}" if field else inside
    entry = re.match(r"[^\].]+\[\d+\]", inside)
    return places.get((section, exact)) or (places.get((section, entry.group())) if entry else "") or ""
