"""New recordings of a voice that was mapped from another encoder: are they of the same speaker?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from timbral.embeddings.vectors import unit_length
from timbral.errors import Refusal
from timbral.gallery.migration import Migration
from timbral.gallery.voices import EnrolledRecording, Voice, conditions_of

__all__ = ["refuse_unlike_mapped"]


def refuse_unlike_mapped(
    enrolled: Voice, given: Sequence[EnrolledRecording], migration: Migration | None
) -> dict[int, Refusal]:
    """Which recordings, by their rows, speak for another speaker than the mapped voice.

    A voice rests on new recordings alone as soon as it has some, so that one of somebody else's
    would take it over. They are compared as `identify` compares them: centered, by the migration's
    own calibration. Voices with recordings of the encoder's own are left to the Guard.
    """
    if migration is None or not given:
        return {}
    if not all(each.mapped for each in enrolled.recordings):
        return {}
    mean = np.asarray(migration.new_mean, np.float32)
    vectors = np.stack([enrolled.vector, *(each.vector for each in given)])
    voice, *others = unit_length(unit_length(vectors) - mean)
    rows = np.zeros(len(given), np.int64)
    known = conditions_of(enrolled.recordings).together.rows(rows)
    ratios = migration.calibration.unlimited_llr(
        np.stack(others) @ voice, known, conditions_of(given)
    )
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
