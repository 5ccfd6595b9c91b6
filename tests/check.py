"""Every check of the project in one command: format, lint, types, layers, tests.

The tests run as two processes side by side, for most of their time is waiting: for programs to start, for
browsers, for disks. Each half has its own rooms, so nothing of one half listens where the other does.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from xml.etree import ElementTree

BIN = Path(sys.executable).parent
TESTS = Path(__file__).resolve().parent
COMMANDS = (
    ("ruff", "format", "--check", "."),
    ("ruff", "check", "."),
    ("mypy",),
    ("lint-imports",),
)
# So many failures may be the machine's; more are the code's.
UNSTEADY = 8
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
    """Run both halves; the second one's words come after the first one's. Returns the worse exit code.

    A few tests that failed run again, by themselves and up to twice: two halves and other people's work on
    two processors make waits that no test foresees. What passes then is named as unsteady, to be mended;
    more than `UNSTEADY` failures are no accident and fail at once.
    """
    one, other = halves()
    command = [str(BIN / "pytest"), "-q", "-p", "no:cacheprovider"]
    print(f"== pytest -q {' '.join(one)}\n== pytest -q {' '.join(other)}", flush=True)
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as said:
        reports = Path(folder, "one.xml"), Path(folder, "other.xml")
        behind = subprocess.Popen(
            [*command, *other, f"--junitxml={reports[1]}"], stdout=said, stderr=subprocess.STDOUT
        )
        try:
            code = subprocess.run([*command, *one, f"--junitxml={reports[0]}"]).returncode
            code_behind = behind.wait()
        finally:
            if behind.poll() is None:
                behind.terminate()
                behind.wait()
        said.seek(0)
        sys.stdout.buffer.write(said.read())
        sys.stdout.flush()
        worst = max(code, code_behind)
        failed = [test for report in reports if report.is_file() for test in failures(report)]
    if worst != 1 or not 0 < len(failed) <= UNSTEADY:
        return worst
    left = failed
    for _ in range(2):
        print(f"== once more, alone: pytest -q {' '.join(left)}", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            report = Path(folder, "again.xml")
            again = subprocess.run([*command, *left, f"--junitxml={report}"]).returncode
            left = failures(report) if again == 1 else left
        if again != 1:
            break
    if not again:
        print("\n".join(f"UNSTEADY: {test}" for test in failed), flush=True)
    return again


def failures(report: Path) -> list[str]:
    """The node ids of the tests that failed or broke in a JUnit report of pytest."""
    return [
        f"{case.get('classname', '').replace('.', '/')}.py::{case.get('name')}"
        for case in ElementTree.parse(report).iter("testcase")
        if case.find("failure") is not None or case.find("error") is not None
    ]


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
