"""How one encoder rates clones: cosines to their references, and the two anchors of each."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from timbral.calibration.calibration import Calibration
from timbral.calibration.conditions import Conditions
from timbral.calibration.log_odds import probability_of
from timbral.cloning.clones import Clone, CloneSet, RealRecording
from timbral.cloning.encoded_recording import EncodedRecording
from timbral.embeddings.vectors import unit_length, unit_mean
from timbral.inference.embedder import Embedder
from timbral.io.types import Floats, Vectors

__all__ = ["EncoderFacts", "EncoderView", "comparable", "have_same_samples"]

SAME_SAMPLES_COSINE = 0.99
"""one recording's vectors from two batches are closer than that in every precision"""


@dataclass(frozen=True)
class EncoderFacts:
    """What a comparison needs of an encoder besides its vectors: several fit into memory."""

    name: str
    weights_sha256: str
    calibration: Calibration | None

    @classmethod
    def of(cls, embedder: Embedder) -> EncoderFacts:
        return cls(embedder.name, embedder.weights_identity(), embedder.calibration)


@dataclass(frozen=True)
class EncoderView:
    """The cosines (N,) of the clones that an encoder could use, with their anchors.

    The anchors compare each clone's reference with real recordings: of the same speaker, and of the
    nearest other speaker.
    """

    encoder: str
    weights_sha256: str
    clones: tuple[Clone, ...]
    """the clones that could be compared (N)"""
    cosines: Floats
    """cosine of each clone to its references"""
    same: Floats
    """cosine of the same speaker's other recordings, from another session if there is one; NaN if
    there are none"""
    other: Floats
    """cosine of the nearest other speaker's recordings; NaN if there is no other speaker"""
    percentiles: Floats
    """percentage of real pairs of one speaker that are less similar; NaN without such pairs"""
    probabilities: Floats
    """calibrated probability of the same speaker, with prior 0.5; NaN without a calibration"""
    margins: Floats
    """how much nearer each clone is to its references than to other speakers on average; NaN if
    there are none. A common effect of the channel on all recordings cancels out"""
    real_margins: Floats
    """the same for the speaker's other recordings"""
    own_reference: NDArray[np.bool_]
    """whether a clone is the same recording as one of its references, or a copy of it (N)"""
    across_sessions: bool
    """whether `same` is from other sessions for all clones"""

    @classmethod
    def of(
        cls,
        encoder: EncoderFacts,
        found: CloneSet,
        encoded: Mapping[str, EncodedRecording],
        copied: Collection[tuple[str, str]] = (),
    ) -> EncoderView:
        """Compare all clones whose recording and references have vectors.

        Pairs that are `copied`, of a clone and a reference, are marked; those of a reference and a
        real recording are no anchors.
        """
        clones = comparable(found.clones, encoded)
        kept = [each for each in found.real if each.path in encoded]
        real = _RealVectors(kept, encoded, copied)
        sides = [_side(clone, encoded) for clone in clones]
        cosines = np.array(
            [
                float(side @ encoded[clone.synthesized].vector)
                for clone, side in zip(clones, sides, strict=True)
            ]
        )
        anchors = [real.anchors(clone, side) for clone, side in zip(clones, sides, strict=True)]
        other_speakers = [real.others_of(clone.speaker) for clone in clones]
        pooled = np.sort(np.concatenate([each.pairs for each in anchors] or [np.empty(0)]))
        percentiles = np.full(len(clones), np.nan)
        if pooled.size:
            percentiles = 100 * np.searchsorted(pooled, cosines) / pooled.size
        return cls(
            encoder=encoder.name,
            weights_sha256=encoder.weights_sha256,
            clones=clones,
            cosines=cosines,
            same=np.array([each.same for each in anchors]),
            other=np.array([each.other for each in anchors]),
            percentiles=percentiles,
            probabilities=_probabilities(encoder.calibration, clones, sides, encoded),
            margins=np.array(
                [
                    float((side - others) @ encoded[clone.synthesized].vector)
                    for clone, side, others in zip(clones, sides, other_speakers, strict=True)
                ]
            ),
            real_margins=np.array([each.margin for each in anchors]),
            own_reference=np.array(
                [_is_own_reference(clone, encoded, copied) for clone in clones], bool
            ),
            across_sessions=bool(anchors) and all(each.across_sessions for each in anchors),
        )


def comparable(
    clones: Iterable[Clone], encoded: Mapping[str, EncodedRecording]
) -> tuple[Clone, ...]:
    """The clones whose recording and references have vectors."""
    return tuple(
        clone
        for clone in clones
        if clone.synthesized in encoded and any(path in encoded for path in clone.references)
    )


@dataclass(frozen=True)
class _Anchors:
    same: float
    other: float
    pairs: Floats
    """cosines of single recordings of the same speaker"""
    margin: float
    """how much their mean exceeds that of other speakers"""
    across_sessions: bool


class _RealVectors:
    """Real recordings, to compare with the references of a clone."""

    def __init__(
        self,
        real: Sequence[RealRecording],
        encoded: Mapping[str, EncodedRecording],
        copied: Collection[tuple[str, str]],
    ) -> None:
        self._real, self._encoded, self._copied = real, encoded, copied
        self._row = {each.path: row for row, each in enumerate(real)}
        vectors = [encoded[each.path].vector for each in real]
        size = next(iter(encoded.values())).vector.size
        self._vectors = np.stack(vectors) if vectors else np.zeros((0, size), np.float32)
        self._speakers, self._codes = np.unique(
            [each.speaker for each in real], return_inverse=True
        )
        self._counts = np.bincount(self._codes)
        sums = np.zeros((len(self._counts), self._vectors.shape[1]))
        np.add.at(sums, self._codes, self._vectors)
        self._voices = unit_length(sums)

    def others_of(self, speaker: str) -> Vectors:
        """The mean (E,) of all other speakers' voices; NaN if there are none."""
        others = self._speakers != speaker
        if not others.any():
            return np.full(self._vectors.shape[1], np.nan)
        return np.asarray(self._voices[others].mean(axis=0))

    def anchors(self, clone: Clone, side: Vectors) -> _Anchors:
        """The anchors of a clone, from the vector of its references (E,)."""
        cosines = self._vectors @ side  # (R,)
        means = np.bincount(self._codes, cosines) / self._counts
        is_other = self._speakers != clone.speaker
        used = {self._row[path] for path in clone.references if path in self._row}
        own = [
            row
            for row in np.flatnonzero(~is_other[self._codes]).tolist()
            if row not in used and not self._is_copy(clone, self._real[row].path)
        ]
        sessions = {self._real[row].session for row in used}
        other_sessions = [row for row in own if self._real[row].session not in sessions]
        rows = other_sessions or own
        pairs = np.asarray(cosines[rows], np.float64)
        if not own and len(used) > 1:  # all of the speaker's are references: leave out one of them
            rows = sorted(used)
            pairs = self._leave_one_out(rows)
        to_others = self._vectors[rows] @ self.others_of(clone.speaker)
        return _Anchors(
            float(pairs.mean()) if pairs.size else np.nan,
            float(means[is_other].max()) if is_other.any() else np.nan,
            pairs,
            float((pairs - to_others).mean()) if pairs.size else np.nan,
            bool(other_sessions),
        )

    def _is_copy(self, clone: Clone, path: str) -> bool:
        """Whether a recording is a copy of a clone's only reference."""
        if len(clone.references) > 1:
            return False
        prompt = clone.references[0]
        is_same = have_same_samples(self._encoded[prompt], self._encoded[path])
        return is_same or (prompt, path) in self._copied

    def _leave_one_out(self, rows: Sequence[int]) -> Floats:
        """The cosine of each recording to the mean of the others."""
        vectors = self._vectors[list(rows)]
        rest = unit_length(vectors.sum(axis=0) - vectors)
        return np.asarray((vectors * rest).sum(axis=1), np.float64)


def _side(clone: Clone, encoded: Mapping[str, EncodedRecording]) -> Vectors:
    """The mean of the references' vectors, at unit length (E,)."""
    vectors = [encoded[path].vector for path in clone.references if path in encoded]
    return unit_mean(np.stack(vectors))


def _is_own_reference(
    clone: Clone,
    encoded: Mapping[str, EncodedRecording],
    copied: Collection[tuple[str, str]],
) -> bool:
    """Whether a clone has the samples of a reference, or is a copy of one."""
    one = encoded[clone.synthesized]
    return any(
        (clone.synthesized, path) in copied or have_same_samples(one, encoded[path])
        for path in clone.references
        if path in encoded
    )


def have_same_samples(one: EncodedRecording, other: EncodedRecording) -> bool:
    """Whether all measures and the vectors of two recordings are equal."""
    return one.quality == other.quality and float(one.vector @ other.vector) > SAME_SAMPLES_COSINE


def _probabilities(
    calibration: Calibration | None,
    clones: Sequence[Clone],
    sides: Sequence[Vectors],
    encoded: Mapping[str, EncodedRecording],
) -> Floats:
    """Probabilities from the scores that the calibration takes, which may exclude directions."""
    if calibration is None:
        return np.full(len(clones), np.nan)
    probabilities = []
    for clone, side in zip(clones, sides, strict=True):
        given = [encoded[path].quality for path in clone.references if path in encoded]
        first, second = (
            Conditions.of(measured).together
            for measured in ([encoded[clone.synthesized].quality], given)
        )
        score = calibration.scores(side, encoded[clone.synthesized].vector)
        llr = float(calibration.llr(score, first, second)[0])
        probabilities.append(float(probability_of(llr)))
    return np.array(probabilities)
