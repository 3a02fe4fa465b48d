"""The verb evaluate."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional

from timbral.cli.common_options import (
    DEFAULT_RUNNING,
    Encoder,
    PriorsOption,
    Running,
    SpeakersOption,
    count_failures,
    load_embedder,
    option,
)
from timbral.cli.early_checks import check_folders
from timbral.cli.standard_streams import STANDARD, text_input
from timbral.io.progress import bar

__all__ = ["run"]


def run(
    encoder: Encoder,
    trials: Annotated[
        Positional[Path],
        option(
            "TRIALS",
            "lines `label path path`, label 1 for the same speaker, else 0; - is standard input",
        ),
    ],
    *,
    root: Annotated[Path, option("FOLDER", "the folder that the paths start from")] = Path(),
    output: Annotated[
        Path | None,
        option(
            "FOLDER",
            "for evaluation.json and scores.txt; default: evaluation/TRIALS in the run folder, or "
            "evaluation/ENCODER/TRIALS in this folder for a name",
        ),
    ] = None,
    speakers: SpeakersOption = None,
    p_target: PriorsOption = (0.01, 0.05),
    running: Running = DEFAULT_RUNNING,
) -> int:
    """EER and minDCF of an encoder on a list of trials.

    example: timbral evaluate campplus-zh-en trials.txt --root VoxCeleb1/wav
    """
    from timbral import api
    from timbral.scoring.trials import read_trials

    list_name = "stdin" if trials == STANDARD else trials.stem
    with text_input(trials) as path:
        check_folders(root)
        listed = read_trials(path)  # before torch is imported
        embedder = load_embedder(encoder, running)
        from timbral.scoring.evaluation_job import EvaluationJob, folder_for

        job = EvaluationJob.of(embedder, listed, root)
        target = output or folder_for(job, _home(encoder) / list_name)
        with bar("embedding") as advance:
            result = api.evaluate(
                embedder, path, root, target, advance, speakers=speakers, p_target=p_target
            )
    code = count_failures(result.num_failures, target)
    print(f"scores: {target / 'scores.txt'}")
    print(f"report: {target / 'report.html'}")
    if result.interval_note:
        print(result.interval_note.replace("`speakers`", "--speakers"), file=sys.stderr)
    print(result.line)
    return code


def _home(encoder: str) -> Path:
    """Where evaluations of an encoder lie: in its run folder, those of a name in this folder."""
    folder = Path(encoder)
    if not folder.is_dir():
        return Path("evaluation") / folder.stem
    run_folder = folder.parent.parent if folder.parent.name == "checkpoints" else folder
    return run_folder / "evaluation"
