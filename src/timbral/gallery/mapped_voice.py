"""Check new recordings of a voice that was mapped from another encoder: same speaker or not?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from timbral.calibration.calibration import Calibration
from timbral.calibration.conditions import Conditions
from timbral.embeddings.vectors import unit_length
from timbral.errors import Refusal
from timbral.gallery.bridge import weighed
from timbral.gallery.evidence import CERTAIN_LLR, llr_in_words
from timbral.gallery.migration import Migration
from timbral.gallery.voices import EnrolledRecording, Voice, conditions_of
from timbral.io.types import Floats, Vectors

__all__ = ["MappedEvidence", "refuse_unlike_mapped"]


@dataclass(frozen=True)
class MappedEvidence:
    """Evidence about a mapped voice and a vector of the encoder itself, as in `identify`."""

    migration: Migration

    @property
    def calibration(self) -> Calibration:
        return self.migration.calibration

    @property
    def description(self) -> str:
        return f"the calibration of a migration from {self.migration.old_encoder}"

    @property
    def certain_llr(self) -> float:
        return CERTAIN_LLR

    def compensate(self, vectors: Vectors) -> Vectors:
        return self._weighed(vectors, self.migration.origin_matrix)

    def searched(self, vectors: Vectors) -> Vectors:
        return self._weighed(vectors, self.migration.backward_matrix)

    def _weighed(self, vectors: Vectors, matrix: Floats | None) -> Vectors:
        centered = np.asarray(unit_length(vectors) - np.array(self.migration.new_mean))
        found = unit_length(centered) if matrix is None else weighed(centered, matrix)
        return found.astype(np.float32)

    def llr(self, scores: Floats, first: Conditions, second: Conditions) -> Floats:
        return self.migration.calibration.unlimited_llr(scores, first, second)

    def describe(self, llr: float, cosine: float | None = None) -> str:
        return llr_in_words(llr, cosine)


def refuse_unlike_mapped(
    enrolled: Voice, given: Sequence[EnrolledRecording], migration: Migration | None
) -> dict[int, Refusal]:
    """The refusals, by row, of recordings that do not sound like the mapped voice.

    As soon as a voice has new recordings, only these count, so one of another speaker would take it
    over. They are compared as in `identify`: centered, with the migration's calibration. Voices
    that already have recordings of the new encoder are left to the Guard.
    """
    if migration is None or not given:
        return {}
    if not all(each.mapped for each in enrolled.recordings):
        return {}
    evidence = MappedEvidence(migration)
    (voice,) = evidence.compensate(enrolled.vector[None])
    others = evidence.searched(np.stack([each.vector for each in given]))
    rows = np.zeros(len(given), np.int64)
    known = conditions_of(enrolled.recordings).together.rows(rows)
    ratios = evidence.llr(others @ voice, known, conditions_of(given))
    return {
        row: Refusal(
            each.source,
            "disagrees",
            f"it does not sound like the voice that was mapped from {migration.old_encoder} (llr "
            f"{ratio:+.1f}): leave it out, or enroll it under another name",
        )
        for row, (each, ratio) in enumerate(zip(given, ratios, strict=True))
        if ratio < 0
    }
