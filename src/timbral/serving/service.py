"""What the endpoints do, without HTTP: the Embedder answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from threading import BoundedSemaphore
from typing import Literal, TypeAlias

import numpy as np

from timbral.audio.length_limit import LengthLimit
from timbral.embeddings.similarity import similarity
from timbral.gallery.encoder_identity import EncoderIdentity
from timbral.gallery.gallery import Gallery
from timbral.inference.decision import Question
from timbral.inference.embedder import Embedder
from timbral.inference.recordings import check_finite
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

TimelineOf: TypeAlias = Literal["none", "first", "second"]


class Service:
    """One encoder for many requests at once.

    Its methods take the contents of audio files and block until they are answered; they raise what
    the Embedder raises.

    Attributes:
        embedder: the encoder, whose vectors are computed in batches
        gallery: its voices; None without a gallery
        metrics: what was counted
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
            embedder: what computes; it stays as it is
            settings: limits
            workers: batches that are computed at once: as many as cores on a CPU whose torch uses
                one thread, 1 on a GPU
            threads_alone: threads of torch for a batch while nothing else is to be computed
            gallery: of this encoder's vectors; None: nobody can be enrolled

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
        decoders = BoundedSemaphore(workers + 1)  # more decode no faster, and take memory
        self.embedder = embedder.with_inference(
            runtime=self._batches, limit=LengthLimit(settings.max_seconds, decoders)
        )
        self.gallery = None if gallery is None else GalleryService(gallery, self.embedder)

    def close(self) -> None:
        """End the workers, after all that waits."""
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
        """A vector for each recording, with its measures if these are asked for."""
        self.check_count(contents)
        vectors, recordings = [], []
        for row, content in enumerate(contents):  # one after another: memory holds one of them
            name = f"audio[{row}]" if measures or len(contents) > 1 else "audio"
            if measures:
                (side,) = self._sides({name: content})
                vectors.append(side.voice)
                recordings.append(_recording(side))
            else:
                vectors.append(self._vector(content, name))
        return EmbeddingAnswer(
            encoder=self.embedder.name,
            weights_sha256=self.embedder.weights_sha256,
            embeddings=[vector.tolist() for vector in vectors],
            recordings=recordings if measures else None,
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
    ) -> ComparisonAnswer:
        """Are two recordings of one speaker? As `Embedder.verify`."""
        embedder = self.embedder
        question = Question(
            threshold, embedder.threshold, embedder.calibration, false_accept, prior
        )
        one, other = self._sides({"first": first, "second": second})
        decision = compare_sides(one, other, question)
        windows = None
        if timeline != "none":
            content, voice = (first, other.voice) if timeline == "first" else (second, one.voice)
            windows = self._timeline(timeline, content, voice)
        return ComparisonAnswer(
            encoder=embedder.name,
            weights_sha256=embedder.weights_sha256,
            first=_recording(one),
            second=_recording(other),
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
        """ServiceError for more recordings than one request may have."""
        most = self.settings.max_files
        if len(contents) > most:
            message = f"audio: {len(contents)} recordings are more than the {most} of one request"
            raise ServiceError(413, "too-many-files", message)

    def _vector(self, content: bytes, name: str) -> Vectors:
        vectors = self.embedder.encode_preprocessed(
            [self.embedder.loader.load(content, name, None)]
        )
        check_finite(vectors, [name])
        return np.asarray(vectors[0])

    def _sides(self, given: dict[str, bytes]) -> list[Side]:
        embedder = self.embedder
        return load_sides(embedder.loader, embedder.encode_preprocessed, given, None)


def _recording(side: Side) -> RecordingAnswer:
    """The measures of a side that is one recording."""
    ((_, quality),) = side.measured
    return RecordingAnswer.of(quality)
