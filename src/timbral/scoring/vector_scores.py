"""From vectors on disk to scored trials. The entry to scoring without audio."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from timbral.calibration.calibration import Calibration
from timbral.calibration.calibration_file import read_calibration
from timbral.calibration.questions import check_prior
from timbral.embeddings.named_vectors import NamedVectors, read_vectors
from timbral.errors import ConfigError, check_choice
from timbral.io.outputs import FileKind, claim_file
from timbral.scoring.calibrated_scores import check_vectors
from timbral.scoring.condition_figures import Condition
from timbral.scoring.condition_values import ByColumns
from timbral.scoring.figures import DEFAULT_FALSE_ACCEPTS, DEFAULT_P_TARGETS, Figures
from timbral.scoring.list_columns import with_list_columns
from timbral.scoring.list_scores import ListScores, score_list
from timbral.scoring.list_speakers import listed_speakers
from timbral.scoring.llr_file import LLR_FILE, LLR_TABLE, is_table, write_llrs
from timbral.scoring.score_file import ORDERS, write_scores
from timbral.scoring.score_options import ScoreOptions
from timbral.scoring.trial_list import read_trial_list

__all__ = ["ScoreSummary", "score"]

SCORE_FILE = FileKind(
    "scores of trials", line=r"-?\d+\.\d{6}[ \t][01][ \t]\S.*|\S.*[ \t]\S.*[ \t]-?\d+\.\d{6}"
)


@dataclass(frozen=True)
class ScoreSummary:
    """What scoring a list of trials ended with."""

    figures: Figures | None
    """None for a list without labels, or of one kind of trial"""
    num_trials: int
    """scored"""
    num_missing: int
    """trials left out, as a recording of theirs has no vector"""
    missing: tuple[str, ...]
    """the recordings without a vector"""
    encoder: str
    weights_sha256: str
    conditions: tuple[Condition, ...] = ()
    """figures of the columns that were asked for"""
    note: str = ""
    """what to know of the list and the cohort, in words; else empty"""

    @classmethod
    def of(cls, done: ListScores, found: NamedVectors) -> Self:
        """Of a list, and the vectors that it was scored from."""
        return cls(
            done.figures,
            len(done.scored.trials),
            done.num_missing,
            done.missing,
            found.encoder,
            found.weights_sha256,
            done.conditions,
            done.note,
        )


def score(
    vectors: str | Path,
    trials: str | Path,
    output: str | Path | None = None,
    *,
    root: str | Path = "",
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
    calibration: Calibration | str | Path | None = None,
    order: str = ORDERS[0],
    llrs: str | Path | None = None,
    prior: float = 0.5,
) -> ScoreSummary:
    """Score a list of trials from vectors: cosines, maybe normalized with a cohort.

    Args:
        vectors: what `read_vectors` takes: a folder or table that `embed` wrote, .npz,
            .safetensors, or Kaldi's .scp and .ark, also of other tools
        trials: a list as `read_trial_list` reads it; names are ids of the vectors, or paths
        output: a file for lines in the `order` below; None: none
        root: where relative paths of the list start, when they stand for the paths of `embed`
        norm: ``none``; ``mean``, which subtracts the cohort's mean from every vector; ``as-norm``,
            adaptive s-norm; ``nap``, which takes out of every vector what differs most between
            recordings of one speaker in the cohort
        cohort: vectors of speakers who are in no trial, as `vectors`; for ``as-norm`` best one a
            speaker, for ``nap`` several of each, over the lines that are to be compared
        top_k: how many of the cohort count in ``as-norm``; all of a smaller cohort
        directions: how many are taken out by ``nap``
        speakers: for the intervals, the speaker of each name in the list, or a file of lines
            ``name speaker`` (Kaldi's utt2spk); None: TRIALS.utt2spk, which `trials`
            writes, or the vectors' speakers, and where neither is known, recordings that target
            trials join
        p_target: priors of target trials for minDCF, each in (0, 1)
        draws: of speakers, for the intervals; 0: none
        skip_missing: leave out all trials without a vector; else 1 % may be missing
        enrollment: a file of lines ``model recording [recording …]``; a trial then names a model
            and a recording. None: two recordings
        enrollment_average: of a model's recordings, ``vectors`` (at unit length) or ``scores``
        by: columns, for whose values the figures are given, too: ``duration``, ``session``,
            ``gender``, … of the vectors' table, or a mapping from columns to sources, which hold
            values of utterances, paths or speakers: a table (.csv, .tsv, .jsonl, .parquet) with
            that column, a file of lines ``name value`` (Kaldi's spk2gender, utt2dur), a mapping.
            A list that `timbral.trials` drew has its corpus's columns beside it. Durations are
            binned by the shorter recording's
        false_accept: rates of false accepts, each in [0, 1), for which thresholds are given
        calibration: of the encoder of these vectors, its file, or the encoder that it comes with:
            Cllr and actual DCF of its log-likelihood ratios are given, too. Needs a table that
            `embed` wrote; None: none
        order: of `output`: ``score-first``, lines ``score label path path``, or ``path path score``
            for a list without labels; ``pair-first``, ``path path score`` always
        llrs: a file for the log-likelihood ratios of the `calibration`, lines ``path path llr``; a
            .tsv also has label, score and probability. None: none
        prior: probability of the same speaker before anything was compared, for the probabilities
            of `llrs`

    Raises DataError for what cannot be read, for vectors of another encoder in the cohort, for a
    speaker of the trials in the cohort, for a calibration of other vectors, and when too many
    trials have no vector; ConfigError for an unknown `norm`, for one without its cohort, for one
    with a calibration, and for `llrs` without a calibration.
    """
    check_choice("order", order, ORDERS)
    check_prior(prior)
    if llrs is not None and calibration is None:
        raise ConfigError("`llrs` are what a calibration makes of scores: give a `calibration`")
    source = "" if isinstance(calibration, Calibration) else str(calibration)
    if isinstance(calibration, str | Path):
        calibration = _calibration_of(calibration)
    options = ScoreOptions(
        norm, cohort, top_k, directions, listed_speakers(speakers, trials), p_target, draws,
        skip_missing, enrollment, enrollment_average, with_list_columns(by, trials), false_accept,
        calibration,
    )  # fmt: skip
    _claim(output, llrs, [vectors, trials, *options.files])
    listed, found = read_trial_list(trials), read_vectors(vectors)
    if calibration is not None:
        check_vectors(calibration, found, vectors, source)
    recordings = options.recordings_of(listed)
    rows = found.rows_of(recordings.recordings, root)
    done = score_list(listed, recordings, found, rows, options)
    if output is not None:
        write_scores(Path(output), done.scored.trials, done.scored.scores, order)
    if llrs is not None and done.calibrated is not None:
        write_llrs(Path(llrs), done.scored, done.calibrated, prior)
    return ScoreSummary.of(done, found)


def _claim(
    output: str | Path | None, llrs: str | Path | None, inputs: Sequence[str | Path]
) -> None:
    """DataError for a file that may not be written."""
    if output is not None:
        claim_file(Path(output), SCORE_FILE, inputs)
    if llrs is not None:
        kind = LLR_TABLE if is_table(Path(llrs)) else LLR_FILE
        others = inputs if output is None else [*inputs, output]
        claim_file(Path(llrs), kind, others, "llrs")


def _calibration_of(source: str | Path) -> Calibration:
    """A calibration's file, or the calibration that an encoder comes with."""
    if Path(source).is_file() or Path(source).suffix == ".json":
        return read_calibration(source)
    from timbral.calibration.known import calibration_of  # with torch

    return calibration_of(source)
