"""Calibrate the cosines between mapped vectors and vectors of the new encoder."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from timbral.calibration.calibration import Calibration
from timbral.calibration.conditions import Ranges
from timbral.embeddings.vectors import unit_length
from timbral.errors import DataError
from timbral.gallery.bridge import Bridge, Unlabeled, fold_of, held_out_scores, pairs_within
from timbral.gallery.encoder_identity import EncoderIdentity
from timbral.gallery.from_embeddings import EmbeddedSpeakers
from timbral.gallery.voices import EnrolledRecording, conditions_of
from timbral.io.types import Floats, Ints, Vectors
from timbral.scoring.calibration_fit import TrialData, fit_trials

__all__ = ["PairedVectors", "calibrate_bridge"]

NONTARGETS = 10
"""pairs with other speakers per recording"""
MOST_TARGETS = 20_000


@dataclass(frozen=True)
class PairedVectors:
    """N recordings with vectors of two encoders."""

    old: Vectors
    """(N, E)"""
    new: Vectors
    """(N, F)"""
    speakers: tuple[str, ...]
    recordings: Sequence[EnrolledRecording]
    """the rows of the table of new vectors, with their measures"""

    @classmethod
    def read(
        cls, old: str | Path, new: str | Path, of_old: EncoderIdentity, of_new: EncoderIdentity
    ) -> Self:
        """Read two `embed` folders, and match their recordings by utterance.

        Raises DataError for vectors of other encoders than these, and if no recording is in both.
        """
        one, other = EmbeddedSpeakers.read(old), EmbeddedSpeakers.read(new)
        one.encoder.check_same(of_old, str(old))
        other.encoder.check_same(of_new, str(new))
        rows = {name: row for row, name in enumerate(one.table["utterance"].to_pylist())}
        names = other.table["utterance"].to_pylist()
        both = [row for row, name in enumerate(names) if name in rows]
        if not both:
            raise DataError(
                f"{old} and {new} have no utterance in common: embed the same corpus with both "
                "encoders"
            )
        speakers = other.table["speaker"].to_pylist()
        return cls(
            one.vectors[[rows[names[row]] for row in both]],
            other.vectors[both],
            tuple(speakers[row] for row in both),
            other.recordings(np.array(both)),
        )

    @property
    def unlabeled(self) -> Unlabeled:
        """The same without speakers."""
        return Unlabeled(self.old, self.new)

    @property
    def numbers(self) -> Ints:
        """The index of each recording's speaker (N,)."""
        return np.asarray(np.unique(np.asarray(self.speakers), return_inverse=True)[1])


def calibrate_bridge(
    bridge: Bridge,
    paired: PairedVectors,
    old: EncoderIdentity,
    new: EncoderIdentity,
    *,
    unlabeled: Sequence[Unlabeled] = (),
    seed: int = 0,
) -> Calibration:
    """Fit a Calibration to trials of a mapped and a new vector, by maps fitted on other speakers.

    Raises the errors of `fit_trials`.
    """
    speakers = paired.numbers
    folds = fold_of(speakers, seed)
    first, second = pairs_within(speakers, folds, NONTARGETS, seed)
    kept = _thinned(speakers[first] == speakers[second], seed)
    first, second = first[kept], second[kept]
    scores = held_out_scores(bridge, paired.old, paired.new, folds, first, second, unlabeled)
    conditions = conditions_of(paired.recordings)
    data = TrialData(
        scores,
        (speakers[first] == speakers[second]).astype(np.int64),
        speakers[first],
        speakers[second],
        conditions.rows(first),
        conditions.rows(second),
    )
    ranges = Ranges.of(conditions)
    fit = fit_trials(data, ranges)
    return Calibration(
        encoder=f"{old.name} mapped to {new.name}",
        weights_sha256=new.weights_sha256,
        embedding_sha256=new.embedding_sha256,
        offset=fit.offset,
        scale=fit.scale,
        ranges=ranges,
        limits=fit.limits,
        points=fit.points,
        fitted_on=fit.fitted_on(
            data,
            f"recordings embedded by {old.name} and by {new.name}",
            hashlib.sha256(np.ascontiguousarray(unit_length(paired.old)).tobytes()).hexdigest(),
        ),
    )


def _thinned(same: Floats, seed: int) -> Ints:
    """Rows of all trials, with at most `MOST_TARGETS` target trials."""
    targets, others = np.flatnonzero(same), np.flatnonzero(~np.asarray(same, bool))
    generator = np.random.default_rng(seed)
    kept = generator.permutation(targets)[:MOST_TARGETS]
    return np.sort(np.concatenate((kept, others)))
