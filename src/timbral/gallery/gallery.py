"""The Gallery: enrolled voices, guarded enrollment, identification."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from timbral.calibration.calibration import Calibration
from timbral.errors import InputError, Refusal
from timbral.gallery.consistency import GalleryCheck, check_gallery
from timbral.gallery.encoder_identity import EncoderIdentity
from timbral.gallery.enrollment_result import Enrollment
from timbral.gallery.evidence import Evidence, evidence_of
from timbral.gallery.from_embeddings import EmbeddedSpeakers, EnrolledSpeakers
from timbral.gallery.voice_collection import VoiceCollection
from timbral.gallery.voice_names import checked_name
from timbral.gallery.voices import EnrolledRecording
from timbral.inference.recordings import several_recordings
from timbral.io.types import Progress

if TYPE_CHECKING:
    from timbral.gallery.identification import Identification
    from timbral.inference.embedder import Embedder
    from timbral.inference.recordings import Recording

__all__ = ["Gallery"]


class Gallery(VoiceCollection):
    """A database of enrolled voices, with vectors of one encoder.

    Any number of processes may use a gallery at the same time; each sees the others' enrollments at
    its next call. When a call returns, its enrollments are on disk; a killed process leaves no
    half-written voice. Threads may share a Gallery; they take turns.

    Audio is not kept, only each recording's vector, measures, source and hash.
    """

    def enroll(
        self,
        name: str,
        recordings: object,
        encoder: Embedder,
        *,
        consent: str | None = None,
        force: bool = False,
        partial: bool = False,
        calibration: Calibration | str | Path | None = None,
        sample_rate: float | None = None,
        sources: Sequence[str] | None = None,
    ) -> Enrollment:
        """Enroll recordings of one speaker, after checking them.

        A recording is refused if it has no or too little speech or a second speaker, does not match
        the voice's other recordings, is already enrolled, or is closer to another voice. A voice is
        refused if it is enrolled under another name. `timbral.gallery.guard` describes the checks,
        which use the encoder's calibration if there is one.

        Args:
            name: name of the voice, any text; recordings are added to an existing voice
            recordings: a recording as `Embedder.encode` takes it, or a list of several
            encoder: the gallery's encoder
            consent: what the speaker consented to, or where the form is kept; stored with the time
            force: skip the checks: enroll everything that gives a vector
            partial: enroll what is not refused; otherwise nothing is enrolled if anything is
                refused
            calibration: a calibration of this encoder, or its file; None: the encoder's own
            sample_rate: rate in Hz of samples without a rate
            sources: names of the recordings; None: their paths or numbers

        Returns:
            what was enrolled, with the risks of these recordings and, with `partial` or `force`,
            the refusals

        Raises EnrollmentError with a reason for each refused recording, DataError if the encoder is
        not the gallery's, ConfigError for an invalid name.
        """
        from timbral.gallery.measuring import measure_recordings

        checked_name(name)
        self.encoder.check_same(EncoderIdentity.of(encoder), self.location)
        several = several_recordings(recordings)
        given = [recordings] if several is None else several
        if not given:
            raise InputError("recordings: at least one is needed; the list is empty")
        measured = measure_recordings(encoder, given, sample_rate, sources)
        enrolled = self.enroll_vectors(
            name,
            measured.recordings,
            evidence_of(encoder, calibration),
            consent=consent,
            force=force,
            partial=partial,
            refused=measured.refusals,
        )
        return measured.with_warnings(enrolled)

    def enroll_vectors(
        self,
        name: str,
        recordings: Sequence[EnrolledRecording],
        evidence: Evidence,
        *,
        consent: str | None = None,
        force: bool = False,
        partial: bool = False,
        refused: Sequence[Refusal] = (),
    ) -> Enrollment:
        """Like `enroll`, for recordings that already have vectors.

        Args:
            name, consent, force, partial: as for `enroll`
            recordings: recordings with vectors of the gallery's encoder and measures
            evidence: a calibration or threshold for the checks, such as `evidence_of(encoder)`
            refused: recordings that were already refused
        """
        return self._enroller.enroll(
            name,
            recordings,
            evidence,
            consent=consent,
            force=force,
            partial=partial,
            refused=refused,
        )

    def enroll_embeddings(
        self,
        embeddings: str | Path | EmbeddedSpeakers,
        evidence: Evidence,
        *,
        consent: str | None = None,
        force: bool = False,
        progress: Progress = lambda done, total: None,
    ) -> EnrolledSpeakers:
        """Enroll every speaker of an `embed` folder, under the speaker's name.

        Each voice is enrolled whole or refused. After a killed call, the next one skips voices that
        are already enrolled.

        Args:
            embeddings: a folder or table from `embed`, with vectors of the gallery's encoder
            evidence, consent, force: as for `enroll_vectors`
            progress: called with the number of speakers done, and in all

        Raises DataError for vectors of another encoder.
        """
        return self._enroller.enroll_embeddings(
            embeddings, evidence, consent=consent, force=force, progress=progress
        )

    def check(self, evidence: Evidence) -> GalleryCheck:
        """Find voices that may be one speaker, and recordings that may be of another speaker.

        Changes nothing.

        Args:
            evidence: a calibration or threshold for the checks, such as `evidence_of(encoder)`
        """
        return check_gallery(self._store, self.snapshot(), evidence, self.migration)

    def identify(
        self,
        recording: Recording,
        encoder: Embedder,
        *,
        top: int = 5,
        false_accept: float | None = None,
        prior: float = 0.5,
        calibration: Calibration | str | Path | None = None,
        strangers: str | Path | None = None,
        sample_rate: float | None = None,
    ) -> Identification:
        """Find which enrolled speaker is in a recording, if any.

        Takes the arguments of `Identifier`, which is faster for many recordings. Raises AudioError
        for an unusable recording, and the errors of `Identifier`.
        """
        from timbral.gallery.identifier import Identifier

        identifier = Identifier(
            self, encoder, top=top, false_accept=false_accept, prior=prior,
            calibration=calibration, strangers=strangers,
        )  # fmt: skip
        return identifier.identify(recording, sample_rate)
