"""Whether two vectors are of one speaker or of two, as a log-likelihood ratio."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from timbral.calibration.calibration import Calibration
from timbral.calibration.calibration_file import open_calibration
from timbral.calibration.conditions import Conditions
from timbral.embeddings.vectors import unit_length
from timbral.io.types import Floats, Vectors

if TYPE_CHECKING:
    from timbral.inference.embedder import Embedder

__all__ = [
    "CERTAIN_LLR",
    "CalibratedEvidence",
    "CosineEvidence",
    "Evidence",
    "evidence_of",
    "llr_in_words",
]

UNKNOWN_COSINE = 0.45
"""threshold for an unknown encoder; that of campplus-zh-en for 4 s of speech"""
CERTAIN_LLR = 2.0
"""recordings that are less alike than this are remarked on; docs/gallery.md has the rates"""
SLOPE = 20.0
"""llr per cosine of 1; campplus-zh-en's calibration has 22"""


class Evidence(Protocol):
    """Converts vectors to scores, and scores with their conditions to log-likelihood ratios."""

    @property
    def description(self) -> str:
        """What decisions are based on, as text."""

    @property
    def certain_llr(self) -> float:
        """The ratio below which recordings that are taken for one speaker may well be of two."""

    def compensate(self, vectors: Vectors) -> Vectors:
        """Voices (N, E) for comparison; their products with `searched` vectors are the scores."""

    def searched(self, vectors: Vectors) -> Vectors:
        """Vectors of recordings (N, E) for comparison with voices."""

    def llr(self, scores: Floats, first: Conditions, second: Conditions) -> Floats:
        """Ratios (N,) of scores (N,), same speaker : different speakers, without limits."""

    def describe(self, llr: float, cosine: float | None = None) -> str:
        """A ratio as text, with its cosine if that is known."""


@dataclass(frozen=True)
class CalibratedEvidence:
    """Evidence from a Calibration of the gallery's encoder."""

    calibration: Calibration

    @property
    def description(self) -> str:
        return f"a calibration on {self.calibration.fitted_on.num_speakers:,} speakers"

    @property
    def certain_llr(self) -> float:
        return CERTAIN_LLR

    def compensate(self, vectors: Vectors) -> Vectors:
        return self.calibration.compensate(vectors)

    def searched(self, vectors: Vectors) -> Vectors:
        return self.compensate(vectors)

    def llr(self, scores: Floats, first: Conditions, second: Conditions) -> Floats:
        return self.calibration.unlimited_llr(scores, first, second)

    def describe(self, llr: float, cosine: float | None = None) -> str:
        return llr_in_words(llr, cosine)


@dataclass(frozen=True)
class CosineEvidence:
    """Evidence without a calibration: the distance of a cosine from a threshold.

    The same for all conditions. It can order and refuse, but it is not a probability.
    """

    threshold: float = UNKNOWN_COSINE
    validated: bool = False

    @property
    def description(self) -> str:
        origin = "of the encoder's validation" if self.validated else "that is a guess"
        return f"a cosine of {self.threshold:.2f} {origin} (no calibration)"

    @property
    def certain_llr(self) -> float:
        return 0.0  # the distance from a threshold says no more than its sign

    def compensate(self, vectors: Vectors) -> Vectors:
        return unit_length(vectors)

    def searched(self, vectors: Vectors) -> Vectors:
        return self.compensate(vectors)

    def llr(self, scores: Floats, first: Conditions, second: Conditions) -> Floats:
        return np.asarray(SLOPE * (np.asarray(scores, np.float64) - self.threshold))

    def cosine(self, llr: float) -> float:
        """The cosine with this ratio."""
        return self.threshold + llr / SLOPE

    def describe(self, llr: float, cosine: float | None = None) -> str:
        cosine = self.cosine(llr) if cosine is None else cosine
        return f"cosine {cosine:.2f}, threshold {self.threshold:.2f}"


def llr_in_words(llr: float, cosine: float | None) -> str:
    """A calibrated ratio as text, with its cosine if that is known."""
    return f"{'' if cosine is None else f'cosine {cosine:.2f}, '}llr {llr:+.1f}"


def evidence_of(encoder: Embedder, calibration: Calibration | str | Path | None = None) -> Evidence:
    """The evidence for decisions about vectors of an encoder.

    This is the given calibration (or file); else the encoder's own; else the threshold of its
    validation; else a guess. Raises DataError for a calibration of other weights.
    """
    if calibration is not None:
        identity = (encoder.weights_identity(), encoder.embedding_identity())
        return CalibratedEvidence(open_calibration(calibration, *identity))
    if encoder.calibration is not None:
        return CalibratedEvidence(encoder.calibration)
    if encoder.threshold is not None:
        return CosineEvidence(encoder.threshold, validated=True)
    return CosineEvidence()
