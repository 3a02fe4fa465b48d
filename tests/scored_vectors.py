"""Random vectors of speakers, and a list of all their trials."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from timbral.cli.main import main as run_cli
from timbral.io.types import Vectors

NUM_SPEAKERS, EACH = 12, 6


def main(words: list[str]) -> int:
    """The exit code of a command line."""
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as end:
        patch.setattr("sys.argv", ["timbral", *words])
        patch.setattr("timbral.io.devices.tune_cpu", lambda: None)  # this process keeps denormals
        run_cli()
    return int(end.value.code or 0)


def made_vectors(seed: int, speakers: int = NUM_SPEAKERS, spread: float = 1.2) -> Vectors:
    """`EACH` vectors a speaker, with a mean that all share."""
    rng = np.random.default_rng(seed)
    means = np.repeat(rng.normal(size=(speakers, 16)), EACH, axis=0)
    return np.asarray(means + spread * rng.normal(size=means.shape) + 1, dtype=np.float32)


VECTORS = made_vectors(1)
NAMES = [f"s{row // EACH:02d}-{row % EACH}" for row in range(len(VECTORS))]


def all_trials() -> list[tuple[int, int, int]]:
    """Label and both rows of all pairs."""
    pairs = [(a, b) for a in range(len(NAMES)) for b in range(a + 1, len(NAMES))]
    return [(int(NAMES[a][:3] == NAMES[b][:3]), a, b) for a, b in pairs]


def write_files(folder: Path) -> None:
    """Write the vectors (v.npz), a list of all their trials (t.txt) and a cohort (cohort.npz)."""
    np.savez(folder / "v.npz", **dict(zip(NAMES, VECTORS, strict=True)))
    lines = (f"{label} {NAMES[a]} {NAMES[b]}\n" for label, a, b in all_trials())
    (folder / "t.txt").write_text("".join(lines))
    others = made_vectors(2)
    np.savez(folder / "cohort.npz", **{f"c{row}": vector for row, vector in enumerate(others)})
