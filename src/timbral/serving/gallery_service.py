"""The endpoints of a gallery without HTTP: calls of the Gallery."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from timbral.gallery.gallery import Gallery
from timbral.gallery.searched_recordings import SearchedRecording
from timbral.gallery.voices import EnrolledRecording
from timbral.inference.embedder import Embedder
from timbral.inference.sides import load_sides
from timbral.serving.answers import (
    DeletionAnswer,
    EnrolledRecordingAnswer,
    EnrollmentAnswer,
    IdentificationAnswer,
    RecordingAnswer,
    RecordingRefusalAnswer,
    VoiceAnswer,
    VoiceListAnswer,
    VoiceSummaryAnswer,
)
from timbral.serving.identifiers import Identifiers
from timbral.serving.refusals import ServiceError

__all__ = ["GalleryService"]


class GalleryService:
    """Voices of one gallery; its methods block, and raise the errors of the Gallery."""

    def __init__(self, gallery: Gallery, embedder: Embedder) -> None:
        """Serve a gallery with vectors of the embedder's encoder."""
        self._gallery, self._embedder = gallery, embedder
        self._identifiers = Identifiers(gallery, embedder)

    def enroll(
        self, name: str, contents: Sequence[bytes], *, consent: str | None, force: bool
    ) -> EnrollmentAnswer:
        """Like `Gallery.enroll`: enroll all recordings or none."""
        names = [f"audio[{row}]" for row in range(len(contents))]
        result = self._gallery.enroll(
            name, list(contents), self._embedder, consent=consent, force=force, sources=names
        )
        refused = [RecordingRefusalAnswer(**each._asdict()) for each in result.refused]
        return EnrollmentAnswer(
            name=result.name,
            is_new=result.is_new,
            accepted=list(result.accepted),
            refused=refused,
            num_recordings=result.num_recordings,
            speech_seconds=result.speech_seconds,
            warnings=list(result.warnings),
        )

    def identify(
        self, content: bytes, *, top: int, false_accept: float | None, prior: float
    ) -> IdentificationAnswer:
        """Like `Gallery.identify`."""
        identifier = self._identifiers.get(top, false_accept, prior)
        embedder = self._embedder
        (side,) = load_sides(
            embedder.loader, embedder.encode_preprocessed, {"audio": content}, None
        )
        ((name, quality),) = side.measured
        identification = identifier.identify_searched(SearchedRecording(name, side.voice, quality))
        fields = asdict(identification) | {"recording": RecordingAnswer.of(quality)}
        return IdentificationAnswer(**fields)

    def voices(self) -> VoiceListAnswer:
        summaries = self._gallery.voices()
        return VoiceListAnswer(voices=[VoiceSummaryAnswer(**asdict(each)) for each in summaries])

    def voice(self, name: str) -> VoiceAnswer:
        """A voice with its recordings; ServiceError (404) if there is no voice of this name."""
        self._check(name)
        voice = self._gallery.voice(name)
        recordings = [_recording(each) for each in voice.recordings]
        return VoiceAnswer(recordings=recordings, **asdict(voice.summary))

    def remove(self, name: str) -> DeletionAnswer:
        """Like `Gallery.remove`; ServiceError (404) if there is no voice of this name."""
        self._check(name)
        return DeletionAnswer(name=name, overwritten=self._gallery.remove(name))

    def close(self) -> None:
        self._gallery.close()

    def _check(self, name: str) -> None:
        if name not in self._gallery:
            raise ServiceError(404, "no-such-voice", f"no voice {name!r} is enrolled")


def _recording(recording: EnrolledRecording) -> EnrolledRecordingAnswer:
    return EnrolledRecordingAnswer(
        id=recording.id,
        source=recording.source,
        sha256=recording.sha256,
        duration_seconds=recording.duration_seconds,
        speech_seconds=recording.speech_seconds,
        risks=list(recording.risks),
        added_at=recording.added_at,
    )
