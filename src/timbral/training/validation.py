"""Validation of an encoder during training, on speakers that are not in training."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import ArrayLike

from timbral.data.prepared.base import PreparedData
from timbral.encoders.base import SpeakerEncoder
from timbral.encoders.layers.packing import unpack_weights
from timbral.errors import DataError
from timbral.inference.embedder import Embedder
from timbral.io.types import Ints, Vectors
from timbral.losses.ge2e import GE2EConfig, GE2ELoss
from timbral.scoring.metrics import eer, min_dcf
from timbral.scoring.trials import draw_pairs

__all__ = ["Validation", "ValidationResult"]

UTTERANCES_PER_SPEAKER = 20
"""enough for a steady error rate, few enough to be quick"""


@dataclass(frozen=True)
class ValidationResult:
    """Metrics of a validation, and the vectors that they were computed from."""

    metrics: dict[str, float]
    """val_loss, val_eer, val_threshold, val_min_dcf; with a teacher val_teacher_cosine"""
    vectors: Vectors
    """unit length (N, E)"""
    rows: Ints
    """each vector's row of the prepared data (N,)"""


class Validation:
    """Trials among `rows` of prepared data, drawn once, so that all validations use the same.

    Raises DataError for too few speakers to draw trials from.
    """

    _teacher: Vectors | None = None

    def __init__(
        self,
        data: PreparedData,
        rows: Ints,
        *,
        utterances: int = UTTERANCES_PER_SPEAKER,
        draw: Callable[[Sequence[str]], ArrayLike] = draw_pairs,
    ) -> None:
        """Draw the trials.

        Args:
            data: prepared data
            rows: of the validation speakers
            utterances: most utterances of each speaker
            draw: draws trials (label, row, row) from the speakers of all utterances
        """
        self.data = data
        codes = data.speaker_codes[rows]
        kept = [_evenly_spread(rows[codes == code], utterances) for code in np.unique(codes)]
        self.rows = np.concatenate([*kept, np.empty(0, np.int64)])
        self._speakers = [data.speaker_names[code] for code in data.speaker_codes[self.rows]]
        try:
            self._pairs = np.asarray(draw(self._speakers))
        except DataError as error:
            raise DataError(
                f"these validation speakers cannot be used: {error}; choose others with "
                "validation_speakers, or 0 for no validation"
            ) from None

    def with_teacher(self, vectors: Vectors) -> Self:
        """This validation, with a teacher's unit vectors (N, E) of `rows` to compare with."""
        taught = copy.copy(self)
        taught._teacher = vectors
        return taught

    def run(self, encoder: SpeakerEncoder) -> ValidationResult | None:
        """Score the trials with an encoder, without changing its mode or torch's random state.

        None if a vector is not finite.
        """
        vectors = self._embed(encoder)
        if not np.isfinite(vectors).all():
            return None
        labels = self.labels
        scores = self._scores(vectors)
        error_rate, threshold = eer(scores, labels)
        metrics = {
            "val_loss": _ge2e(vectors, self._speakers),
            "val_eer": error_rate,
            "val_threshold": threshold,
            "val_min_dcf": min_dcf(scores, labels),
        }
        if self._teacher is not None:
            cosines = np.einsum("ne,ne->n", vectors, self._teacher)
            metrics["val_teacher_cosine"] = float(cosines.mean())
        return ValidationResult(metrics, vectors, self.rows)

    def score(self, encoder: SpeakerEncoder) -> Vectors:
        """Only the cosines of the trials (N,), NaN for vectors that are not finite."""
        return self._scores(self._embed(encoder))

    @property
    def labels(self) -> Ints:
        """1 for target trials, 0 for non-target ones (N,)."""
        return np.asarray(self._pairs[:, 0])

    @property
    def sides(self) -> tuple[Ints, Ints]:
        """Speaker numbers, from 0, of both sides of each trial, (N,) and (N,)."""
        _, codes = np.unique(self._speakers, return_inverse=True)
        return codes[self._pairs[:, 1]], codes[self._pairs[:, 2]]

    @property
    def num_speakers(self) -> int:
        return len(set(self._speakers))

    def _embed(self, encoder: SpeakerEncoder) -> Vectors:
        device = next(encoder.parameters()).device
        embedder = Embedder(encoder, self.data.preprocessing, device=device)
        vectors = self.data.embed(embedder, self.rows.tolist())
        unpack_weights(encoder)  # packed copies would be stale after the next step
        return vectors

    def _scores(self, vectors: Vectors) -> Vectors:
        _, first, second = self._pairs.T
        return np.asarray(np.einsum("ne,ne->n", vectors[first], vectors[second]))


def _evenly_spread(rows: Ints, most: int) -> Ints:
    """At most `most` of a speaker's rows, evenly spread."""
    return rows[:: max(1, len(rows) // most)][:most]


def _ge2e(vectors: Vectors, speakers: Sequence[str]) -> float:
    """GE2E softmax with the paper's w = 10, b = -5, so that runs and losses can be compared.

    It uses all speakers with two or more utterances, and as many utterances of each as the one with
    fewest has.
    """
    counts = Counter(speakers)
    names = [name for name, count in counts.items() if count > 1]
    per_speaker = min(counts[name] for name in names)
    rows_of = {
        name: [row for row, speaker in enumerate(speakers) if speaker == name] for name in names
    }
    rows = [row for name in names for row in rows_of[name][:per_speaker]]
    labels = torch.arange(len(names)).repeat_interleave(per_speaker)
    with torch.no_grad():
        return float(GE2ELoss(GE2EConfig())(torch.from_numpy(vectors[rows]), labels))
