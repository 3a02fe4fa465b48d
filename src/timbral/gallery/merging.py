"""Check whether two voices of a gallery may be merged: only if they are of one speaker."""

from __future__ import annotations

import numpy as np

from timbral.errors import Refusal
from timbral.gallery.evidence import Evidence
from timbral.gallery.mapped_voice import MappedEvidence
from timbral.gallery.migration import Migration
from timbral.gallery.voices import Voice, conditions_of, counted

__all__ = ["refusal_to_merge"]


def refusal_to_merge(
    into: Voice, other: Voice, evidence: Evidence, migration: Migration | None
) -> Refusal | None:
    """Why the recordings of `other` must not join the voice `into`; None if they may.

    As in enrollment, the llr of the two must be 0 or more. A voice mapped by a migration is
    compared with voices of the new encoder by the migration's calibration. Two mapped voices are
    not compared, because that calibration is not for such cosines.
    """
    sides = [counted(voice.recordings) for voice in (into, other)]
    mapped = [side[0].mapped for side in sides] if migration is not None else [False, False]
    if migration is not None and all(mapped):
        reason = (
            f"both voices were mapped from {migration.old_encoder}, and it is unknown how similar "
            "mapped voices of one speaker are: merge them in the original gallery, or enroll new "
            "recordings first"
        )
        return Refusal(other.name, "disagrees", reason)
    compared: Evidence = evidence
    if migration is not None and any(mapped):
        compared = MappedEvidence(migration)
    enrolled, searched = (other, into) if mapped[1] else (into, other)
    (voice,) = compared.compensate(enrolled.vector[None])
    scores = compared.searched(searched.vector[None]) @ voice
    conditions = [conditions_of(side).together for side in sides]
    (ratio,) = compared.llr(scores.astype(np.float64), *conditions)
    if ratio >= 0:
        return None
    said = compared.describe(float(ratio), min(float(scores[0]), 1.0))
    reason = (
        f"it does not sound like {into.name!r} ({said}, more like another speaker): listen to a "
        "recording of each"
    )
    return Refusal(other.name, "disagrees", reason)
