"""The endpoints without HTTP: calls of the Embedder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from threading import BoundedSemaphore
from typing import Literal, TypeAlias

from timbral.audio.decode import Wave
from timbral.audio.length_limit import LengthLimit
from timbral.audio.quality.measures import Quality
from timbral.audio.quality.risks import Risk
from timbral.embeddings.similarity import similarity
from timbral.gallery.encoder_identity import EncoderIdentity
from timbral.gallery.gallery import Gallery
from timbral.inference.decision import Decision, Question
from timbral.inference.embedder import Embedder
from timbral.inference.recordings import check_finite
from timbral.inference.several_speakers import several_speakers_of
from timbral.inference.sides import Side, compare_sides, load_sides
from timbral.io.types import Vectors
from timbral.serving.answers import (
    ComparisonAnswer,
    EmbeddingAnswer,
    HealthAnswer,
    RecordingAnswer,
    TimelineAnswer,
)
from timbral.serving.batching import BatchingRuntime
from timbral.serving.gallery_service import GalleryService
from timbral.serving.refusals import ServiceError
from timbral.serving.service_metrics import ServiceMetrics
from timbral.serving.settings import ServiceSettings

__all__ = ["Service", "TimelineOf"]

SECONDS_TOGETHER = 16.0
"""seconds of audio of one request that are loaded and computed together"""
TimelineOf: TypeAlias = Literal["none", "first", "second"]


class Service:
    """One encoder for many requests at once.

    Its methods take the contents of audio files, block until the result is there, and raise the
    errors of the Embedder.

    Attributes:
        embedder: the encoder, whose vectors are computed in batches
        gallery: the enrolled voices; None without a gallery
        metrics: counters
        settings: limits
    """

    def __init__(
        self,
        embedder: Embedder,
        settings: ServiceSettings,
        *,
        workers: int,
        threads_alone: int = 1,
        gallery: Gallery | None = None,
    ) -> None:
        """Start the workers that compute; `close` ends them.

        Args:
            embedder: computes the vectors; it is not changed
            settings: limits
            workers: number of batches computed at once: as many as cores on a CPU whose torch uses
                one thread, 1 on a GPU
            threads_alone: threads of torch for a batch while there are no others
            gallery: with vectors of this encoder; None: no voices can be enrolled

        Raises DataError for a gallery of another encoder.
        """
        if gallery is not None:
            gallery.encoder.check_same(EncoderIdentity.of(embedder), gallery.location)
        self.settings = settings
        self.metrics = ServiceMetrics(lambda: self._batches.num_waiting)
        self._batches = BatchingRuntime(
            embedder.runtime,
            workers=workers,
            timeout_seconds=settings.timeout_seconds,
            threads_alone=threads_alone,
            observe=self.metrics.count_batch,
        )
        decoders = BoundedSemaphore(workers + 1)  # more would not be faster, only take memory
        self.embedder = embedder.with_inference(
            runtime=self._batches, limit=LengthLimit(settings.max_seconds, decoders)
        )
        self.gallery = None if gallery is None else GalleryService(gallery, self.embedder)

    def close(self) -> None:
        """End the workers, after all waiting jobs."""
        self._batches.close()
        if self.gallery is not None:
            self.gallery.close()

    def health(self) -> HealthAnswer:
        return HealthAnswer(
            encoder=self.embedder.name,
            weights_sha256=self.embedder.weights_sha256,
            embedding_dim=self.embedder.embedding_dim,
            calibrated=self.embedder.calibration is not None,
            gallery=self.gallery is not None,
            max_seconds=self.settings.max_seconds,
            max_upload_bytes=self.settings.max_upload_bytes,
            max_files=self.settings.max_files,
        )

    def embed(self, contents: Sequence[bytes], *, measures: bool) -> EmbeddingAnswer:
        """A vector for each recording, with its measures if `measures`."""
        self.check_count(contents)
        vectors: list[Vectors] = []
        qualities: list[Quality] = []
        for waves, names, found in self._loaded(contents, measures):
            vectors += list(check_finite(self.embedder.encode_preprocessed(waves), names))
            qualities += found
        return EmbeddingAnswer(
            encoder=self.embedder.name,
            weights_sha256=self.embedder.weights_sha256,
            embeddings=[vector.tolist() for vector in vectors],
            recordings=[RecordingAnswer.of(each) for each in qualities] if measures else None,
        )

    def verify(
        self,
        first: bytes,
        second: bytes,
        *,
        threshold: float | None,
        false_accept: float | None,
        prior: float,
        timeline: TimelineOf,
        check_speakers: bool = False,
    ) -> ComparisonAnswer:
        """Are two recordings of one speaker? As `Embedder.verify`.

        With `check_speakers` both are checked for a second speaker, as by `timbral check
        --encoder`.
        """
        embedder = self.embedder
        question = Question(
            threshold, embedder.threshold, embedder.calibration, false_accept, prior
        )
        (one, other), waves = self._sides({"first": first, "second": second})
        decision = compare_sides(one, other, question)
        speaker_risks: list[Risk | None] = [None, None]
        if check_speakers:
            speaker_risks = [several_speakers_of(embedder, wave) for wave in waves]
            decision = _with_second_speakers(decision, speaker_risks)
        windows = None
        if timeline != "none":
            content, voice = (first, other.voice) if timeline == "first" else (second, one.voice)
            windows = self._timeline(timeline, content, voice)
        return ComparisonAnswer(
            encoder=embedder.name,
            weights_sha256=embedder.weights_sha256,
            first=_recording(one, speaker_risks[0]),
            second=_recording(other, speaker_risks[1]),
            timeline=windows,
            **asdict(decision),
        )

    def _timeline(
        self, of: Literal["first", "second"], content: bytes, voice: Vectors
    ) -> TimelineAnswer:
        seconds, vectors = self.embedder.encode_windows(content)
        scores = similarity(vectors, voice)
        return TimelineAnswer(of=of, seconds=seconds.tolist(), scores=scores.reshape(-1).tolist())

    def check_count(self, contents: Sequence[bytes]) -> None:
        """Raise ServiceError for more recordings than one request may have."""
        most = self.settings.max_files
        if len(contents) > most:
            message = (
                f"audio: {len(contents)} recordings were sent, but one request may have at "
                f"most {most}"
            )
            raise ServiceError(413, "too-many-files", message)

    def _loaded(
        self, contents: Sequence[bytes], measures: bool
    ) -> Iterator[tuple[list[Wave], list[str], list[Quality]]]:
        """Waves, names and measures of recordings to compute together, in groups to save memory."""
        loader = self.embedder.loader
        waves: list[Wave] = []
        names: list[str] = []
        qualities: list[Quality] = []
        for row, content in enumerate(contents):
            name = f"audio[{row}]" if len(contents) > 1 else "audio"
            if measures:
                wave, quality = loader.load_measured(content, name, None)
                qualities.append(quality)
            else:
                wave = loader.load(content, name, None)
            waves.append(wave)
            names.append(name)
            if sum(map(len, waves)) >= SECONDS_TOGETHER * self.embedder.sample_rate:
                yield waves, names, qualities
                waves, names, qualities = [], [], []
        if waves:
            yield waves, names, qualities

    def _sides(self, given: dict[str, bytes]) -> tuple[list[Side], list[Wave]]:
        """Sides of one recording each, and their preprocessed waves."""
        waves: list[Wave] = []

        def encode(prepared: Sequence[Wave]) -> Vectors:
            waves.extend(prepared)
            return self.embedder.encode_preprocessed(prepared)

        return load_sides(self.embedder.loader, encode, given, None), waves


def _with_second_speakers(decision: Decision, risks: Sequence[Risk | None]) -> Decision:
    """The decision of a first and a second recording, with a warning for each risk."""
    warnings = [
        f"{name}: {risk.kind}: {risk.message}"
        for name, risk in zip(("first", "second"), risks, strict=True)
        if risk is not None
    ]
    return replace(decision, warnings=(*decision.warnings, *warnings))


def _recording(side: Side, more: Risk | None = None) -> RecordingAnswer:
    """The measures of a side with one recording, and one more risk, if any."""
    ((_, quality),) = side.measured
    return RecordingAnswer.of(quality, [] if more is None else [more])
