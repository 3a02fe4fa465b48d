"""Short names of two systems, taken from the paths of their scores."""

from __future__ import annotations

from pathlib import Path

from timbral.scoring.llr_comparison import LLRS
from timbral.scoring.score_file import SCORES

__all__ = ["system_names"]

EVALUATION = "evaluation"
"""the folder of RUN/evaluation/LIST and evaluation/ENCODER/LIST"""


def system_names(first: str | Path, second: str | Path) -> tuple[str, str]:
    """The last parts of two paths that differ: ``old`` and ``new`` for ``runs/old/evaluation/list``
    and ``runs/new/evaluation/list``; ``first`` and ``second`` where none does.

    The name of the list comes last of all in the folders that `evaluate` chooses.
    """
    for one, other in zip(_parts(first), _parts(second), strict=False):
        if one != other:
            return one, other
    return "first", "second"


def _parts(path: str | Path) -> list[str]:
    """The parts of a path, the one that most likely names the system first."""
    names = [name for name in reversed(Path(path).absolute().parts) if name not in (SCORES, LLRS)]
    if EVALUATION in names[1:3]:
        names = [*names[1:], names[0]]
    return [name for name in names if name != EVALUATION]
