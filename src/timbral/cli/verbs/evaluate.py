"""The verb evaluate."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional

from timbral.cli.common_options import (
    DEFAULT_RUNNING,
    Encoder,
    Running,
    load_embedder,
    option,
    report_failures,
)
from timbral.cli.early_checks import check_files, check_folders
from timbral.cli.engine_options import DEFAULT_ENGINE, EngineChoice
from timbral.cli.scoring_options import (
    DEFAULT_SCORING,
    Scoring,
    print_conditions,
    print_figures,
)
from timbral.cli.standard_streams import STANDARD, STANDARD_INPUT, text_input
from timbral.cli.wording import count, name_flags
from timbral.errors import ConfigError
from timbral.io.progress import bar

if TYPE_CHECKING:
    from timbral.evaluation.list_evaluation import Evaluation, ScoredRecordings

__all__ = ["run"]


Trials = Annotated[
    Positional[Path],
    option(
        "TRIALS",
        "lines `label path path` with label 1 for the same speaker, else 0; - is standard input",
    ),
]
Output = Annotated[
    Path | None,
    option(
        "FOLDER",
        "folder for evaluation.json and scores.txt; default: evaluation/TRIALS in the run "
        "folder, or evaluation/ENCODER/TRIALS in the current folder for a name",
    ),
]
SharedVectors = Annotated[
    Path | None,
    option(
        "FOLDER",
        "an embed folder shared by several lists, so that nothing is embedded twice; default: "
        "vectors in --output, or next to the results without it",
    ),
]

AllowSeen = Annotated[
    bool, option(None, "allow trials with speakers and recordings that the encoder was trained on")
]


def run(
    encoder: Encoder,
    trials: Trials,
    *,
    root: Annotated[str, option("FOLDER", "the folder or URL that paths are relative to")] = ".",
    output: Output = None,
    vectors: SharedVectors = None,
    allow_seen: AllowSeen = False,
    scoring: Scoring = DEFAULT_SCORING,
    engine: EngineChoice = DEFAULT_ENGINE,
    running: Running = DEFAULT_RUNNING,
) -> int:
    """Compute EER and minDCF of an encoder on a list of trials.

    example: timbral evaluate campplus-zh-en trials.txt --root VoxCeleb1/wav
    """
    from timbral import api
    from timbral.evaluation.root import check_root
    from timbral.scoring.trial_list import read_trial_list

    _check_order(trials)
    short_name = "stdin" if trials == STANDARD else trials.stem
    with text_input(trials) as path:
        check_folders(root)
        check_files(scoring.calibration)
        listed = read_trial_list(path)  # before torch is imported
        if scoring.enrollment is None:
            check_root(listed.names.to_pylist(), root)
        embedder = load_embedder(encoder, running)
        from timbral.evaluation.evaluate import score_recordings
        from timbral.evaluation.evaluation_job import default_folders
        from timbral.scoring.score_options import ScoreOptions

        arguments = scoring.arguments()
        if output is None:
            options = ScoreOptions(**arguments)
            output, shared = default_folders(
                embedder, path, root, options, _home(encoder), short_name
            )
            vectors = vectors or shared
        evaluate = api.evaluate if listed.is_labeled else score_recordings
        with bar("embedding") as advance:
            result = evaluate(
                embedder, path, root, output, advance,
                vectors=vectors,
                allow_seen=allow_seen,
                engine=engine.engine_for(running),
                list_name=STANDARD_INPUT if trials == STANDARD else None,
                **arguments,
            )  # fmt: skip
    return _describe(result, output)


def _check_order(trials: Path) -> None:
    """ConfigError if ENCODER comes after TRIALS."""
    if trials.is_dir():
        raise ConfigError(
            f"TRIALS is {str(trials)!r}, a folder; evaluate takes ENCODER TRIALS, in this order"
        )


def _describe(result: Evaluation | ScoredRecordings, output: Path) -> int:
    """Print what came out; the exit code."""
    from timbral.evaluation.list_evaluation import Evaluation

    code = report_failures(result.num_failures, output)
    if result.num_missing:
        print(f"{count(result.num_missing, 'trial')} left out because of them", file=sys.stderr)
    if result.note:
        print(name_flags(result.note, "evaluate"), file=sys.stderr)
    print(f"scores: {output / 'scores.txt'}")
    if not isinstance(result, Evaluation):
        print("no error rates: they need target and non-target trials", file=sys.stderr)
        return code
    print(f"report: {output / 'report.html'}")
    if result.seen_note:
        print(result.seen_note, file=sys.stderr)
    if result.interval_note:
        print(name_flags(result.interval_note, "evaluate"), file=sys.stderr)
    print_figures(result)
    print_conditions(result.conditions)
    return code


def _home(encoder: str) -> Path:
    """Where evaluations of an encoder lie: in its run folder, those of a name in this folder."""
    folder = Path(encoder)
    if not folder.is_dir():
        return Path("evaluation") / folder.stem
    run_folder = folder.parent.parent if folder.parent.name == "checkpoints" else folder
    return run_folder / "evaluation"
