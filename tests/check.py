"""Every check of the project in one command: format, lint, types, layers, tests."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

BIN = Path(sys.executable).parent
COMMANDS = (
    ("ruff", "format", "--check", "."),
    ("ruff", "check", "."),
    ("mypy",),
    ("lint-imports",),
    ("pytest", "-q"),
)


def main() -> int:
    """Run them in order; the first failure ends the run with its exit code."""
    for name, *arguments in COMMANDS:
        print(f"== {name} {' '.join(arguments)}", flush=True)
        code = subprocess.run([str(BIN / name), *arguments]).returncode
        if code:
            return code
    return 0


if __name__ == "__main__":
    sys.exit(main())
