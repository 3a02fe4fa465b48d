"""A short run of the fuzzers; `make fuzz` does a long one, of readers in C++ too."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

FUZZ = Path(__file__).with_name("fuzz.py")
CASES = 4
"""of each target; the same ones every time"""


def test_changed_files_are_read_or_refused() -> None:
    command = [sys.executable, FUZZ, "--here", "--own-code", "--cases", str(CASES)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    lines = result.stdout.splitlines()
    assert len(lines) > 20
    assert all(f": {CASES} cases: " in line and ", 0 tracebacks" in line for line in lines)
