"""The verb score."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional

from timbral.cli.common_options import (
    OK,
    SOME_FAILED,
    option,
)
from timbral.cli.scoring_options import (
    DEFAULT_SCORING,
    Scoring,
    print_conditions,
    print_figures,
)
from timbral.cli.standard_streams import text_input
from timbral.cli.wording import count, name_flags

if TYPE_CHECKING:
    from timbral.scoring.vector_scores import ScoreSummary

__all__ = ["run"]

PriorOption = Annotated[
    float,
    option("P", "prior probability of the same speaker, for the probabilities in --llrs"),
]
SHOWN = 3
"""the most recordings without a vector that a message names"""


VectorsFile = Annotated[
    Positional[Path],
    option(
        "VECTORS",
        "a folder or table from `embed`, .npz, .safetensors, or Kaldi's .scp or .ark",
    ),
]
TrialsFile = Annotated[
    Positional[Path],
    option("TRIALS", "lines `label a b`, `a b label` or `a b`: ids or paths; - is standard input"),
]


def run(
    vectors: VectorsFile,
    trials: TrialsFile,
    *,
    output: Annotated[
        Path | None, option("FILE", "file for the scores, in the format of --order")
    ] = None,
    order: Annotated[
        Literal["score-first", "pair-first"],
        option(None, "format of --output: `score label a b`, or `a b score` as in Kaldi"),
    ] = "score-first",
    llrs: Annotated[
        Path | None,
        option(
            "FILE",
            "with --calibration: write lines `a b llr`, as in Kaldi's and NIST's tools; a .tsv "
            "also has label, score and probability",
        ),
    ] = None,
    prior: PriorOption = 0.5,
    root: Annotated[
        Path, option("FOLDER", "the folder that paths in the list are relative to")
    ] = Path(),
    scoring: Scoring = DEFAULT_SCORING,
) -> int:
    """Score trials from vectors on disk, also of other tools.

    example: timbral score embeddings trials.txt --root wavs --output scores.txt
    """
    from timbral import api
    from timbral.io.loaded_torch import torch_is_installed

    if torch_is_installed():
        from timbral.io.devices import tune_cpu

        tune_cpu()
    with text_input(trials) as path:
        result = api.score(
            vectors, path, output,
            root=root, order=order, llrs=llrs, prior=prior, **scoring.arguments(),
        )  # fmt: skip
    return _print_result(result, output, llrs)


def _print_result(result: ScoreSummary, output: Path | None, llrs: Path | None) -> int:
    """Print files and error rates; returns the exit code."""
    if result.missing:
        shown = ", ".join(result.missing[:SHOWN])
        print(
            f"{count(len(result.missing), 'recording')} without a vector, "
            f"{count(result.num_missing, 'trial')} left out: {shown}"
            f"{', …' if len(result.missing) > SHOWN else ''}",
            file=sys.stderr,
        )
    if result.note:
        print(name_flags(result.note, "score"), file=sys.stderr)
    if output is not None:
        print(f"scores: {output}")
    if llrs is not None:
        print(f"llrs: {llrs}")
    if result.figures is None:
        scored = count(result.num_trials, "trial")
        print(f"{scored} scored; error rates need target and non-target trials")
    else:
        if result.figures.interval_note:
            print(name_flags(result.figures.interval_note, "score"), file=sys.stderr)
        print_figures(result.figures)
    print_conditions(result.conditions)
    return SOME_FAILED if result.missing else OK
