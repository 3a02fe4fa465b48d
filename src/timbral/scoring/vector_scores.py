"""Score trials from vectors on disk, without audio."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from timbral.calibration.argument_checks import check_prior
from timbral.calibration.calibration import Calibration
from timbral.calibration.calibration_file import read_calibration
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
    """The result of scoring a list of trials."""

    figures: Figures | None
    """None for a list without labels, or with only one kind of trial"""
    num_trials: int
    """number of scored trials"""
    num_missing: int
    """number of trials left out because a recording has no vector"""
    missing: tuple[str, ...]
    """recordings without a vector"""
    encoder: str
    weights_sha256: str
    conditions: tuple[Condition, ...] = ()
    """figures for the columns of `by`"""
    note: str = ""
    """remarks on the list and the cohort; empty if there are none"""

    @classmethod
    def of(cls, result: ListScores, table: NamedVectors) -> Self:
        """The summary of a scored list and the vectors used."""
        return cls(
            result.figures,
            len(result.scored.trials),
            result.num_missing,
            result.missing,
            table.encoder,
            table.weights_sha256,
            result.conditions,
            result.note,
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
    """Score a list of trials from vectors: cosines, optionally normalized with a cohort.

    Args:
        vectors: a folder or table from `embed`, .npz, .safetensors, or Kaldi's .scp and .ark, also
            of other tools (see `read_vectors`)
        trials: a trial list (see `read_trial_list`); names are ids of the vectors, or paths
        output: a file for the scores, in the format of `order`; None: none
        root: the folder that relative paths of the list refer to, to match the paths of `embed`
        norm: ``none``; ``mean``: subtract the cohort's mean from every vector; ``as-norm``:
            adaptive s-norm; ``nap``: remove from every vector the directions in which recordings of
            one speaker in the cohort differ most
        cohort: vectors of speakers who are in no trial, like `vectors`; ideally one per speaker for
            ``as-norm``, and for ``nap`` several per speaker, over the channels to compare
        top_k: number of closest cohort vectors for ``as-norm``, at most the whole cohort
        directions: number of directions that ``nap`` removes
        speakers: for the intervals: the speaker of each name in the list, or a file of lines
            ``name speaker`` (Kaldi's utt2spk); None: TRIALS.utt2spk, which `trials` writes, else
            the vectors' speakers, else groups of recordings connected by target trials
        p_target: priors of target trials for minDCF, each in (0, 1)
        draws: bootstrap draws of speakers for the intervals; 0: no intervals
        skip_missing: leave out all trials without a vector; otherwise at most 1 %
        enrollment: a file of lines ``model recording [recording …]``; a trial then names a model
            and a recording. None: trials name two recordings
        enrollment_average: what to average over a model's recordings: ``vectors`` (of unit length)
            or ``scores``
        by: columns to report figures by: ``duration``, ``session``, ``gender``, … of the vectors'
            table, or a mapping from columns to sources with values for utterances, paths or
            speakers: a table (.csv, .tsv, .jsonl, .parquet) with that column, a file of lines
            ``name value`` (Kaldi's spk2gender, utt2dur), or a mapping. A list from `timbral.trials`
            has its corpus's columns in a file next to it. Durations are binned by the shorter
            recording
        false_accept: false accept rates to report thresholds for, each in [0, 1)
        calibration: a calibration of the vectors' encoder, its file, or the name of an encoder that
            has one; adds Cllr and actual DCF. Needs a table from `embed`; None: none
        order: format of `output`: ``score-first``, lines ``score label path path`` (``path path
            score`` for a list without labels), or ``pair-first``, always ``path path score``
        llrs: a file for the log-likelihood ratios of the `calibration`, lines ``path path llr``; a
            .tsv also has label, score and probability. None: none
        prior: prior probability of the same speaker, for the probabilities in `llrs`

    Raises:
        DataError: a file cannot be read, the cohort has vectors of another encoder or speakers of
            the trials, the calibration is of other vectors, or too many trials have no vector
        ConfigError: unknown `norm`, `norm` without a cohort or with a calibration, or `llrs`
            without a calibration
    """
    check_choice("order", order, ORDERS)
    check_prior(prior)
    if llrs is not None and calibration is None:
        raise ConfigError("`llrs` needs a `calibration`, which computes them from scores")
    source = "" if isinstance(calibration, Calibration) else str(calibration)
    if isinstance(calibration, str | Path):
        calibration = _calibration_of(calibration)
    options = ScoreOptions(
        norm=norm, cohort=cohort, top_k=top_k, directions=directions,
        speakers=listed_speakers(speakers, trials), p_target=p_target, draws=draws,
        skip_missing=skip_missing, enrollment=enrollment, enrollment_average=enrollment_average,
        by=with_list_columns(by, trials), false_accept=false_accept, calibration=calibration,
    )  # fmt: skip
    _claim(output, llrs, [vectors, trials, *options.files])
    listed, table = read_trial_list(trials), read_vectors(vectors)
    if calibration is not None:
        check_vectors(calibration, table, vectors, source)
    recordings = options.recordings_of(listed)
    rows = table.rows_of(recordings.recordings, root)
    result = score_list(listed, recordings, table, rows, options)
    if output is not None:
        write_scores(Path(output), result.scored.trials, result.scored.scores, order)
    if llrs is not None and result.calibrated is not None:
        write_llrs(Path(llrs), result.scored, result.calibrated, prior)
    return ScoreSummary.of(result, table)


def _claim(
    output: str | Path | None, llrs: str | Path | None, inputs: Sequence[str | Path]
) -> None:
    """Raise DataError for a file that must not be overwritten."""
    if output is not None:
        claim_file(Path(output), SCORE_FILE, inputs)
    if llrs is not None:
        kind = LLR_TABLE if is_table(Path(llrs)) else LLR_FILE
        others = inputs if output is None else [*inputs, output]
        claim_file(Path(llrs), kind, others, "llrs")


def _calibration_of(source: str | Path) -> Calibration:
    """The calibration in a file, or of a named encoder."""
    if Path(source).is_file() or Path(source).suffix == ".json":
        return read_calibration(source)
    from timbral.calibration.known import calibration_of  # with torch

    return calibration_of(source)
