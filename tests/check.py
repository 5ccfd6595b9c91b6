"""Every check of the project in one command: format, lint, types, layers, tests.

The tests run as two processes side by side, for most of their time is waiting: for programs to start, for
browsers, for disks. Each half has its own rooms, so nothing of one half listens where the other does.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

BIN = Path(sys.executable).parent
TESTS = Path(__file__).resolve().parent
COMMANDS = (
    ("ruff", "format", "--check", "."),
    ("ruff", "check", "."),
    ("mypy",),
    ("lint-imports",),
)
# About half of the time; what is not named here is the other half.
ONE_HALF = ("accounts", "alerts", "browser", "client", "errors")


def halves() -> tuple[list[str], list[str]]:
    """The paths of all tests in two parts."""
    rooms = sorted({path.relative_to(TESTS).parts[0] for path in TESTS.glob("*/**/test_*.py")})
    files = sorted(path.name for path in TESTS.glob("test_*.py"))
    one = [name for name in rooms if name in ONE_HALF]
    other = [name for name in rooms if name not in ONE_HALF] + files
    return [f"tests/{name}" for name in one], [f"tests/{name}" for name in other]


def tests() -> int:
    """Run both halves; the second one's words come after the first one's. Returns the worse exit code."""
    one, other = halves()
    command = [str(BIN / "pytest"), "-q"]
    print(f"== pytest -q {' '.join(one)}\n== pytest -q {' '.join(other)}", flush=True)
    with tempfile.TemporaryFile() as said:
        behind = subprocess.Popen([*command, *other], stdout=said, stderr=subprocess.STDOUT)
        try:
            code = subprocess.run([*command, *one]).returncode
            code_behind = behind.wait()
        finally:
            if behind.poll() is None:
                behind.terminate()
                behind.wait()
        said.seek(0)
        sys.stdout.buffer.write(said.read())
        sys.stdout.flush()
    return max(code, code_behind)


def main() -> int:
    """Run them in order; the first failure ends the run with its exit code."""
    for name, *arguments in COMMANDS:
        print(f"== {name} {' '.join(arguments)}", flush=True)
        code = subprocess.run([str(BIN / name), *arguments]).returncode
        if code:
            return code
    return tests()


if __name__ == "__main__":
    sys.exit(main())
