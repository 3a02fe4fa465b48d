"""The Gallery: enrolled voices, what may join them, and who among them speaks."""

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
from timbral.gallery.from_embeddings import EnrolledSpeakers
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
    """A database of enrolled voices, whose vectors are of one encoder.

    Any number of processes may use one gallery at once; each sees what the others have enrolled at
    its next call. What a call has enrolled is on the disk when it returns, and a process that is
    killed leaves no half voice. Threads may share a Gallery; they take turns.

    Audio is not kept: of each recording its vector, its measures, where it came from and its hash.
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
        """Enroll recordings of one speaker, if they are that: of each other, and of nobody else.

        Refused are recordings that hold no or too little speech, or a second speaker; that do not
        sound like the voice's others; that are enrolled already; that sound more like another
        voice; and a voice that is there under another name. `timbral.gallery.guard` says how that
        is decided, by the calibration of the encoder where there is one.

        Args:
            name: of the voice, any text; recordings are added where it is there
            recordings: a recording as `Embedder.encode` takes it, or a list of several
            encoder: the gallery's encoder
            consent: what the speaker agreed to, or where that is kept; noted with the time
            force: enroll everything that gives a vector
            partial: enroll what is not refused; without it nothing is enrolled when something is
                refused
            calibration: of this encoder, or its file; None: the encoder's own (`calibration`)
            sample_rate: in Hz, of samples that come without a rate
            sources: what the recordings are called; None: paths, or their number

        Returns:
            what was enrolled, with what speaks against these recordings, and, with `partial` or
            `force`, what was refused

        Raises EnrollmentError when something is refused, with a reason for each recording;
        DataError for another encoder than the gallery's, ConfigError for a name that is none.
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
        return measured.told_in(enrolled)

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
        """As `enroll`, of recordings whose vectors are there already.

        Args:
            name, consent, force, partial: as for `enroll`
            recordings: with vectors of the gallery's encoder, and measures
            evidence: what decisions rest on, such as `evidence_of(encoder)`
            refused: recordings that were refused before
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
        embeddings: str | Path,
        evidence: Evidence,
        *,
        consent: str | None = None,
        force: bool = False,
        progress: Progress = lambda done, total: None,
    ) -> EnrolledSpeakers:
        """Enroll every speaker of an `embed` folder, under the speaker's name.

        Each voice is enrolled whole or refused; what a killed call has enrolled is passed over by
        the next one.

        Args:
            embeddings: a folder or table that `embed` made, with vectors of the gallery's encoder
            evidence, consent, force: as for `enroll_vectors`
            progress: called with the speakers done so far, and their number

        Raises DataError for vectors of another encoder.
        """
        return self._enroller.enroll_embeddings(
            embeddings, evidence, consent=consent, force=force, progress=progress
        )

    def check(self, evidence: Evidence) -> GalleryCheck:
        """Which voices may be one speaker's, and which recordings another's; changes nothing.

        Args:
            evidence: what decisions rest on, such as `evidence_of(encoder)`
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
        """Who of the enrolled voices speaks in a recording, or nobody of them?

        Arguments as for `Identifier`, which searches many recordings. Raises AudioError for a
        recording that cannot be used, and as `Identifier` does.
        """
        from timbral.gallery.identifier import Identifier

        identifier = Identifier(
            self, encoder, top=top, false_accept=false_accept, prior=prior,
            calibration=calibration, strangers=strangers,
        )  # fmt: skip
        return identifier.identify(recording, sample_rate)
