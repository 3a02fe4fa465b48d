"""Trial lists: which pairs of recordings are judged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from timbral.errors import DataError

__all__ = ["Trial", "draw_pairs", "read_trials"]


@dataclass(frozen=True, slots=True)
class Trial:
    """One pair; label 1 for a target trial (same speaker), 0 for a non-target trial."""

    label: int
    first: str
    second: str


def read_trials(path: Path) -> list[Trial]:
    """Read lines ``label path path`` as VoxCeleb's lists have them.

    Labels are 1 and 0, or target and nontarget. Raises DataError naming the first bad line.
    """
    labels = {"1": 1, "0": 0, "target": 1, "nontarget": 0}
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as a list of trials ({error})") from None
    trials = []
    for number, line in enumerate(lines, start=1):
        words = line.split()
        if not words:
            continue
        if len(words) != 3 or words[0] not in labels:
            raise DataError(
                f"{path}:{number}: a trial is `label path path` with label 1 (same speaker) or 0, "
                f"got {line.strip()!r}"
            )
        trials.append(Trial(labels[words[0]], words[1], words[2]))
    kinds = {trial.label for trial in trials}
    if kinds != {0, 1}:
        raise DataError(f"{path}: trials of both kinds are needed, got {len(trials)} of {kinds}")
    return trials


def draw_pairs(
    speakers: Sequence[str], *, targets: int = 2000, seed: int = 0
) -> list[tuple[int, int, int]]:
    """Draw trials over rows: as many target as non-target ones, each (label, row, row).

    At most `targets` of each kind; fewer when fewer pairs exist. Raises DataError when there
    is no pair of one kind.
    """
    rows_of = {name: np.flatnonzero(np.asarray(speakers) == name) for name in sorted(set(speakers))}
    pairs = [
        (int(rows[i]), int(rows[j]))
        for rows in rows_of.values()
        for i in range(len(rows))
        for j in range(i + 1, len(rows))
    ]
    if not pairs or len(rows_of) < 2:
        raise DataError(
            "trials need two speakers, and one speaker with two utterances; got "
            f"{len(rows_of)} speakers and {len(speakers)} utterances"
        )
    generator = np.random.default_rng(seed)
    chosen = generator.permutation(len(pairs))[:targets]
    trials = [(1, *pairs[index]) for index in chosen]
    seen: set[tuple[int, int]] = set()
    for _ in range(20 * len(chosen)):
        if len(seen) == len(chosen):
            break
        first, second = sorted(generator.choice(len(speakers), size=2, replace=False).tolist())
        if speakers[first] != speakers[second]:
            seen.add((first, second))
    return trials + [(0, *pair) for pair in sorted(seen)]
