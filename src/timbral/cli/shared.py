"""What the verbs share: exit codes, common arguments, the line about failures."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

__all__ = ["INTERRUPTED", "OK", "SOME_FAILED", "USAGE", "Device", "Encoder", "count_failures"]

OK, SOME_FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130

Encoder = Annotated[
    Positional[str],
    arg(metavar="ENCODER", help="a run folder, a checkpoint folder, or a name of `timbral models`"),
]
Device = Annotated[str, arg(metavar="DEVICE", help="auto, cpu, cuda or cuda:N")]


def count_failures(failures: int, folder: Path | str) -> int:
    """Say how many recordings failed, if any; returns the exit code."""
    if not failures:
        return OK
    reasons = f"{folder}/failures.jsonl"
    print(f"{failures:,} recordings could not be used; reasons: {reasons}", file=sys.stderr)
    return SOME_FAILED
