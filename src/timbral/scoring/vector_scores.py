"""From vectors on disk to scored trials. The entry to scoring without audio."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from timbral.embeddings.named_vectors import NamedVectors, read_vectors
from timbral.errors import ConfigError, DataError, check_choice
from timbral.io.outputs import FileKind, claim_file
from timbral.io.types import Ints, Vectors
from timbral.scoring.figures import DEFAULT_P_TARGETS, Figures, compute_figures
from timbral.scoring.normalization import NORMS, cohort_statistics, subtract_mean
from timbral.scoring.pairs import pair_cosines, score_normalized
from timbral.scoring.score_file import write_scores
from timbral.scoring.trial_list import TrialList, read_trial_list
from timbral.scoring.trial_speakers import GUESSED, speakers_of

__all__ = ["ScoreSummary", "score"]

SCORE_FILE = FileKind(
    "scores of trials", line=r"-?\d+\.\d{6}[ \t][01][ \t]\S.*|\S.*[ \t]\S.*[ \t]-?\d+\.\d{6}"
)

FEW = 0.01
"""this fraction of a list's trials may lack a vector"""


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


def score(
    vectors: str | Path,
    trials: str | Path,
    output: str | Path | None = None,
    *,
    root: str | Path = "",
    norm: str = "none",
    cohort: str | Path | None = None,
    top_k: int = 300,
    speakers: str | Path | Mapping[str, str] | None = None,
    p_target: Sequence[float] = DEFAULT_P_TARGETS,
    draws: int = 1000,
    skip_missing: bool = False,
) -> ScoreSummary:
    """Score a list of trials from vectors: cosines, maybe normalized with a cohort.

    Args:
        vectors: what `read_vectors` takes: a folder or table that `embed` wrote, .npz,
            .safetensors, or Kaldi's .scp and .ark, also of other tools
        trials: a list as `read_trial_list` reads it; names are ids of the vectors, or paths
        output: a file for lines ``score label path path``; None: none
        root: where relative paths of the list start, when they stand for the paths of `embed`
        norm: ``none``; ``mean``, which subtracts the cohort's mean from every vector; ``as-norm``,
            adaptive s-norm
        cohort: vectors of speakers who are in no trial, as `vectors`; for ``as-norm`` best one a
            speaker
        top_k: how many of the cohort count in ``as-norm``; all of a smaller cohort
        speakers: for the intervals, the speaker of each name in the list, or a file of lines
            ``name speaker`` (Kaldi's utt2spk); None: the vectors' speakers, and where these are not
            known, recordings that target trials join
        p_target: priors of target trials for minDCF, each in (0, 1)
        draws: of speakers, for the intervals; 0: none
        skip_missing: leave out all trials without a vector; else 1 % may be missing

    Raises DataError for what cannot be read, for vectors of another encoder in the cohort, for a
    speaker of the trials in the cohort, and when too many trials have no vector; ConfigError for
    an unknown `norm` and for one without its cohort.
    """
    check_choice("norm", norm, NORMS)
    if (norm == "none") != (cohort is None):
        raise ConfigError("norm mean and as-norm need a cohort, and a cohort needs one of them")
    if output is not None:
        inputs = [vectors, trials, cohort, speakers]
        claim_file(Path(output), SCORE_FILE, [x for x in inputs if isinstance(x, str | Path)])
    listed, found = read_trial_list(trials), read_vectors(vectors)
    rows = found.rows_of(listed.names, root)
    listed, left_out, missing = _with_vectors(listed, rows, found, skip_missing)
    first, second = rows[listed.first], rows[listed.second]
    others = None if cohort is None else _read_cohort(cohort, found, np.union1d(first, second))
    scores = _scores(found.vectors, first, second, norm, others, top_k)
    figures = None
    if listed.is_labeled:
        of_names = _speakers(listed, found, rows, speakers)
        sides = of_names[listed.first], of_names[listed.second]
        figures = compute_figures(scores, listed.labels, *sides, p_targets=p_target, draws=draws)
        if speakers is None and found.speakers is None and figures.eer_interval is not None:
            figures = replace(figures, interval_note=GUESSED)
    if output is not None:
        write_scores(Path(output), listed, scores)
    return ScoreSummary(
        figures, len(listed), left_out, missing, found.encoder, found.weights_sha256
    )


def _with_vectors(
    trials: TrialList, rows: Ints, vectors: NamedVectors, skip_missing: bool
) -> tuple[TrialList, int, tuple[str, ...]]:
    """The trials whose recordings have vectors, how many have not, and which recordings."""
    missing = trials.names.filter(pa.array(rows < 0))
    if not len(missing):
        return trials, 0, ()
    kept = (rows[trials.first] >= 0) & (rows[trials.second] >= 0)
    left_out = len(trials) - int(kept.sum())
    if not kept.any() or (left_out > FEW * len(trials) and not skip_missing):
        advice = "`root` should be the folder that paths of the list start from"
        more = "" if not kept.any() else ", or set `skip_missing` to leave them out"
        raise DataError(
            f"{len(missing):,} of {len(rows):,} recordings in the list have no vector "
            f"({left_out:,} of {len(trials):,} trials), the first {missing[0].as_py()!r}; "
            f"vectors are those of {vectors.names[0].as_py()!r} and others; {advice}{more}"
        )
    return trials.select(kept), left_out, tuple(missing.to_pylist())


def _read_cohort(source: str | Path, vectors: NamedVectors, used: Ints) -> Vectors:
    """The cohort's vectors; DataError when they are of another encoder or of a trial's speaker."""
    cohort = read_vectors(source)
    sizes = vectors.vectors.shape[1], cohort.vectors.shape[1]
    if sizes[0] != sizes[1]:
        raise DataError(
            f"{source}: the cohort's vectors have {sizes[1]} dimensions, those of the trials "
            f"{sizes[0]}; they are of two encoders"
        )
    if vectors.weights_sha256 and cohort.weights_sha256 not in ("", vectors.weights_sha256):
        raise DataError(
            f"{source}: the cohort's vectors are of {cohort.encoder} "
            f"({cohort.weights_sha256[:8]}), the trials' of {vectors.encoder} "
            f"({vectors.weights_sha256[:8]})"
        )
    taken = pa.array(used)
    for known, others, what in (
        (vectors.speakers, cohort.speakers, "speakers"),
        (vectors.names, cohort.names, "utterances"),
    ):
        if known is not None and others is not None:
            both = pc.unique(others).filter(pc.is_in(pc.unique(others), known.take(taken)))
            if len(both):
                raise DataError(
                    f"{source}: {len(both)} {what} of the trials are in the cohort, the first "
                    f"{both[0]}; a cohort is of strangers"
                )
    return cohort.vectors


def _scores(
    vectors: Vectors, first: Ints, second: Ints, norm: str, cohort: Vectors | None, top_k: int
) -> Vectors:
    if cohort is None:
        return pair_cosines(vectors, first, second)
    if norm == "mean":
        return pair_cosines(subtract_mean(vectors, cohort), first, second)
    statistics = cohort_statistics(vectors, cohort, min(top_k, len(cohort)))
    return score_normalized(pair_cosines(vectors, first, second), first, second, statistics)


def _speakers(
    trials: TrialList,
    vectors: NamedVectors,
    rows: Ints,
    given: str | Path | Mapping[str, str] | None,
) -> Ints:
    """A number of a speaker for each name of the list (K,)."""
    if given is not None or vectors.speakers is None:
        return speakers_of(trials, given)
    return np.asarray(vectors.speakers.dictionary_encode().indices, dtype=np.int64)[rows]
