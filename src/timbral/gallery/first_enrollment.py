"""Enroll at a location; a gallery is created only if a first voice is accepted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from timbral.calibration.calibration import Calibration
from timbral.errors import ConfigError, EnrollmentError, Refusal
from timbral.gallery.enrollment_result import Enrollment
from timbral.gallery.evidence import Evidence, evidence_of
from timbral.gallery.from_embeddings import EmbeddedSpeakers, EnrolledSpeakers
from timbral.gallery.gallery import Gallery
from timbral.gallery.guard import Candidates, Guard
from timbral.gallery.measuring import measure_recordings
from timbral.gallery.opening_gallery import is_server
from timbral.gallery.voice_names import checked_name
from timbral.gallery.voices import EnrolledRecording, checked_recordings
from timbral.io.types import Progress

if TYPE_CHECKING:
    from timbral.inference.embedder import Embedder

__all__ = ["enroll_at", "enroll_embeddings_at"]


def enroll_at(
    location: str | Path,
    name: str,
    recordings: Sequence[object],
    encoder: Embedder,
    *,
    consent: str | None = None,
    force: bool = False,
    partial: bool = False,
    calibration: Calibration | str | Path | None = None,
) -> Enrollment:
    """Like `Gallery.enroll`, at a location where the gallery is created if needed.

    If nothing can be enrolled, no gallery is created.
    """
    if is_server(location) or Path(location).exists():
        return Gallery.create(location, encoder).enroll(
            name,
            recordings,
            encoder,
            consent=consent,
            force=force,
            partial=partial,
            calibration=calibration,
        )
    checked_name(name)
    evidence = evidence_of(encoder, calibration)
    measured = measure_recordings(encoder, recordings)
    given, unusable = measured.recordings, measured.refusals
    _refuse_first(name, given, unusable, evidence, force=force, partial=partial)
    enrolled = Gallery.create(location, encoder).enroll_vectors(
        name,
        given,
        evidence,
        consent=consent,
        force=force,
        partial=partial,
        refused=unusable,
    )
    return measured.with_warnings(enrolled)


def enroll_embeddings_at(
    location: str | Path,
    speakers: EmbeddedSpeakers,
    evidence: Evidence,
    *,
    consent: str | None = None,
    force: bool = False,
    progress: Progress = lambda done, total: None,
) -> EnrolledSpeakers:
    """Like `Gallery.enroll_embeddings`, at a location where the gallery is created if needed.

    If all speakers are refused, no gallery is created.
    """
    if not is_server(location) and not Path(location).exists():
        refused = _all_refused(speakers, evidence, force=force)
        if refused is not None:
            return EnrolledSpeakers(0, 0, 0, refused)
    return Gallery.create(location, speakers.encoder).enroll_embeddings(
        speakers, evidence, consent=consent, force=force, progress=progress
    )


def _all_refused(
    speakers: EmbeddedSpeakers, evidence: Evidence, *, force: bool
) -> dict[str, Sequence[Refusal]] | None:
    """Why an empty gallery would refuse all speakers; None if it would accept one of them."""
    refused: dict[str, Sequence[Refusal]] = {}
    for name, given in speakers:
        try:
            target = checked_name(name)
            measured = checked_recordings(given, speakers.encoder)
            _refuse_first(target, measured, (), evidence, force=force, partial=False)
            return None
        except EnrollmentError as error:
            refused[name] = error.refusals
        except ConfigError as error:
            refused[name] = (Refusal.of_name(name, error),)
    return refused


def _refuse_first(
    name: str,
    measured: Sequence[EnrolledRecording],
    unusable: Sequence[Refusal],
    evidence: Evidence,
    *,
    force: bool,
    partial: bool,
) -> None:
    """Raise EnrollmentError if an empty gallery would enroll none of these recordings."""
    found = {} if force or not measured else Guard(evidence).refusals(Candidates(name, measured))
    refusals = (*unusable, *dict.fromkeys(found.values()))
    if len(found) == len(measured) or (refusals and not (partial or force)):
        raise EnrollmentError(name, refusals, len(measured) - len(found), len(measured))
