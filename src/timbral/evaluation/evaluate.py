"""Evaluate an encoder on a list of trials. Start reading this package here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from timbral.bulk.engines import DEFAULT_ENGINE, Engine
from timbral.calibration.calibration import Calibration
from timbral.calibration.calibration_file import open_calibration, read_calibration
from timbral.evaluation.list_evaluation import Evaluation, ListEvaluation, ScoredRecordings
from timbral.evaluation.root import check_root
from timbral.inference.embedder import Embedder
from timbral.inference.load import embedder_of
from timbral.io.types import Progress
from timbral.scoring.condition_values import ByColumns
from timbral.scoring.figures import DEFAULT_FALSE_ACCEPTS, DEFAULT_P_TARGETS
from timbral.scoring.list_columns import with_list_columns
from timbral.scoring.list_speakers import listed_speakers
from timbral.scoring.score_options import ScoreOptions
from timbral.scoring.trial_list import TrialList, read_trial_list
from timbral.scoring.trials import read_labeled_list

__all__ = ["evaluate", "score_recordings"]


def evaluate(
    encoder: Embedder | str | Path,
    trials: str | Path,
    root: str | Path = ".",
    output: str | Path | None = None,
    progress: Progress = lambda done, total: None,
    *,
    vectors: str | Path | None = None,
    engine: Engine = DEFAULT_ENGINE,
    norm: str = "none",
    cohort: str | Path | None = None,
    top_k: int = 300,
    directions: int = 5,
    speakers: str | Path | Mapping[str, str] | None = None,
    p_target: Sequence[float] = DEFAULT_P_TARGETS,
    draws: int = 1000,
    skip_missing: bool = False,
    enrollment: str | Path | None = None,
    enrollment_average: str = "vectors",
    by: ByColumns = (),
    false_accept: Sequence[float] = DEFAULT_FALSE_ACCEPTS,
    allow_seen: bool = False,
    calibration: Calibration | str | Path | None = None,
    list_name: str | None = None,
) -> Evaluation:
    """Error rates of an encoder on a list of trials: EER and minDCF, with intervals over speakers.

    Recordings are embedded as in `timbral.embed`, then scored as in `timbral.score`.

    Args:
        encoder: an Embedder, or anything that `load_encoder` takes
        trials: a list as for `timbral.score`, with target and non-target trials. (Other lists have
            no error rates; embed their recordings and use `timbral.score`.)
        root: the folder or URL that relative paths of the list refer to
        output: a folder for evaluation.json, scores.txt, failures.jsonl and report.html; None: no
            files
        progress: called with the number of recordings embedded so far, and in all
        vectors: an `embed` folder for the vectors, which other lists of the same encoder and root
            may share, so that nothing is embedded twice. None: `output`/vectors
        engine: how to parallelize, such as ``timbral.Engine(workers=4)``
        norm: ``none``, ``mean``, ``as-norm`` or ``nap``, with `cohort`, `top_k` and `directions` as
            for `timbral.score`
        cohort: vectors of speakers who are in no trial
        top_k: number of closest cohort vectors for ``as-norm``
        directions: number of directions that ``nap`` removes
        speakers: for the intervals: the speaker of each name in the list, or a file of lines
            ``name speaker`` (Kaldi's utt2spk); None: TRIALS.utt2spk, which `trials` writes, else
            groups of recordings connected by target trials
        p_target: priors of target trials for minDCF, each in (0, 1)
        draws: bootstrap draws of speakers for the intervals, at least 100; 0: no intervals
        skip_missing: leave out all trials with unusable recordings; otherwise at most 1 %
        enrollment: models and their recordings, as for `timbral.score`
        enrollment_average: what to average over a model's recordings, ``vectors`` or ``scores``
        by: columns to report figures by, as for `timbral.score`
        false_accept: false accept rates to report thresholds for, each in [0, 1)
        allow_seen: allow speakers and recordings that the encoder was trained on, although the
            result then says nothing about new ones. Otherwise they are refused. (For published
            encoders the training data are unknown.)
        calibration: a calibration of this encoder, or its file; adds Cllr and actual DCF. None: the
            encoder's own, if it has one and scores are cosines
        list_name: the name of the list in the results; None: its path

    Recordings that cannot be used are counted in the result's `num_failures`.

    Raises DataError if the list cannot be read, its recordings are not below `root`, `output` holds
    other scores or anything else, `vectors` has those of another encoder, or too many trials cannot
    be scored (the vectors are kept).
    """
    options = ScoreOptions(
        norm=norm, cohort=cohort, top_k=top_k, directions=directions,
        speakers=listed_speakers(speakers, trials), p_target=p_target, draws=draws,
        skip_missing=skip_missing, enrollment=enrollment, enrollment_average=enrollment_average,
        by=with_list_columns(by, trials), false_accept=false_accept, calibration=_read(calibration),
    )  # fmt: skip
    listed = read_labeled_list(trials)
    job = _job(encoder, trials, listed, root, output, options, allow_seen, list_name)
    with job.vectors_folder(vectors) as folder:
        return job.run(folder, engine, progress)


def score_recordings(
    encoder: Embedder | str | Path,
    trials: str | Path,
    root: str | Path = ".",
    output: str | Path | None = None,
    progress: Progress = lambda done, total: None,
    *,
    vectors: str | Path | None = None,
    engine: Engine = DEFAULT_ENGINE,
    allow_seen: bool = False,
    speakers: str | Path | Mapping[str, str] | None = None,
    calibration: Calibration | str | Path | None = None,
    list_name: str | None = None,
    **scoring: Any,
) -> ScoredRecordings:
    """Like `evaluate`, for a list without error rates: without labels, or with one kind of trial.

    Writes scores, log-likelihood ratios if there is a calibration, and evaluation.json without
    figures, but no page. Raises the errors of `evaluate`.
    """
    known = listed_speakers(speakers, trials)
    options = ScoreOptions(**scoring, speakers=known, calibration=_read(calibration))
    listed = read_trial_list(trials)
    job = _job(encoder, trials, listed, root, output, options, allow_seen, list_name)
    with job.vectors_folder(vectors) as folder:
        return job.score(folder, engine, progress)


def _read(calibration: Calibration | str | Path | None) -> Calibration | None:
    return read_calibration(calibration) if isinstance(calibration, str | Path) else calibration


def _job(
    encoder: Embedder | str | Path,
    trials: str | Path,
    listed: TrialList,
    root: str | Path,
    output: str | Path | None,
    options: ScoreOptions,
    allow_seen: bool,
    list_name: str | None,
) -> ListEvaluation:
    """The evaluation to run. The encoder is loaded only after the list was checked."""
    check_root(options.recordings_of(listed).recordings.to_pylist(), root)
    embedder = embedder_of(encoder)
    if options.calibration is not None:
        identity = embedder.weights_identity(), embedder.embedding_identity()
        open_calibration(options.calibration, *identity)
    folder = None if output is None else Path(output)
    return ListEvaluation(
        embedder, Path(trials), listed, root, options, folder, allow_seen, list_name
    )
