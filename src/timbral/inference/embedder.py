"""The Embedder turns recordings into vectors; all of timbral's vectors are computed here."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from timbral.audio.decode import Wave
from timbral.audio.length_limit import NO_LIMIT, LengthLimit
from timbral.audio.preprocessing import Preprocessing
from timbral.calibration.calibration import Calibration
from timbral.calibration.calibration_file import open_calibration
from timbral.calibration.conditions import Conditions
from timbral.embeddings.similarity import similarity
from timbral.embeddings.vectors import unit_length
from timbral.encoders.native_windows import Windows
from timbral.errors import AudioError, InputError
from timbral.inference.decision import Decision, Question
from timbral.inference.loader import RecordingLoader, embedding_identity
from timbral.inference.recordings import Recording, check_finite, name_of, several_recordings
from timbral.inference.runtime import Runtime, torch_network
from timbral.inference.runtimes import runtime_of
from timbral.inference.sharing import SharedEncoder
from timbral.inference.sides import Side, compare_sides, load_sides
from timbral.inference.streaming import Enrolled, StoppingBounds, StreamingVerifier
from timbral.inference.windowed import WindowedEncoder
from timbral.io.loaded_torch import Device
from timbral.io.threads import map_ahead
from timbral.io.types import Vectors

if TYPE_CHECKING:  # an exported model needs no torch
    import torch

    from timbral.encoders.base import SpeakerEncoder

__all__ = ["Embedder"]

BATCHES_IN_MEMORY = 16
"""batches of audio in memory while many recordings are encoded"""


class Embedder(SharedEncoder, WindowedEncoder):
    """A speaker encoder with its preprocessing: recordings in, vectors out.

    Vectors are float32 and of unit length, so the cosine of two is their dot product. Padding and
    other recordings in a call do not affect a vector (to 1e-5 in fp32; to 4e-3, a cosine of
    0.9999, in bf16, where rounding depends on the shape of the batch).

    A recording can be:

    - a path or URL
    - the content of an audio file (bytes), or a binary file open for reading
    - samples: a NumPy array or tensor of shape (T,) or (1, T), floats in [-1, 1] or signed PCM
      integers, at `sample_rate` if given, else at the encoder's rate
    - a tuple (samples, sample_rate)
    - a mapping with ``array`` and ``sampling_rate``, as in Hugging Face datasets

    Files are decoded at their own rate, and their channels are averaged.

    Attributes:
        embedding_dim: size E of a vector
        sample_rate: the encoder's rate in Hz; all audio is resampled to it
        name, license: of published weights; otherwise the architecture's name, and none
        weights_sha256: hash of the weights file; vectors with different hashes are not comparable
        threshold: cosine at the EER point of the validation speakers; None without validation
        calibration: turns cosines into likelihood ratios; or None
        training_list: file with the recordings that its run was trained on; or None
        preprocessing: applied to every recording before the encoder
        windows: windows whose vectors are averaged; None: recordings are encoded whole
        network: the encoder as a torch module; ConfigError for an exported model
    """

    def __init__(
        self,
        network: SpeakerEncoder | Runtime,
        preprocessing: Preprocessing | None = None,
        *,
        device: str | torch.device = "cpu",
        precision: str = "fp32",
        compile: bool = False,
        name: str = "",
        weights_sha256: str = "",
        license: str = "",
        threshold: float | None = None,
        uninitialized_prefixes: tuple[str, ...] = (),
        calibration: Calibration | None = None,
        training_list: Path | None = None,
    ) -> None:
        """Wrap a network; use `timbral.load_encoder` to load one by name or path.

        Args:
            network: the encoder, which is moved to `device` and put into evaluation mode, or a
                runtime
            preprocessing: the one it was trained with; None: timbral's default
            device: ``cpu``, ``cuda`` or ``cuda:N``
            precision: ``fp32``; ``tf32``, faster on CUDA devices; ``bf16``, faster on
                processors with bf16 instructions; or ``int8`` (CAM++ and ECAPA-TDNN on a
                CPU with VNNI)
            compile: use torch.compile, which takes minutes; no gain on CPUs (docs/encoders.md)
            name: name of the encoder in tables and files; empty: the architecture's name
            weights_sha256: hash of the weights file
            license: license of the weights
            threshold: lowest cosine that `verify` takes for the same speaker
            uninitialized_prefixes: name prefixes of tensors that are random
            calibration, training_list: see the attributes
        """
        self._runtime, self._limit = runtime_of(network, device, precision, compile), NO_LIMIT
        facts = self._runtime.network
        self.preprocessing = preprocessing or Preprocessing()
        self.windows, self.sample_rate = facts.windows, facts.sample_rate
        self.embedding_dim, self.name = facts.embedding_dim, name or facts.name
        self.weights_sha256, self.license, self.threshold = weights_sha256, license, threshold
        self.uninitialized_prefixes = uninitialized_prefixes
        self.calibration, self.training_list = calibration, training_list

    def __repr__(self) -> str:
        weights = f"weights {self.weights_sha256[:8]}" if self.weights_sha256 else "unsaved weights"
        size = f"{self.embedding_dim}-d, {self.sample_rate / 1000:g} kHz"
        return f"<Embedder {self.name}, {size}, {self.device} {self.precision}, {weights}>"

    @property
    def runtime(self) -> Runtime:
        return self._runtime

    @property
    def network(self) -> SpeakerEncoder:
        return torch_network(self._runtime)

    @property
    def device(self) -> Device:
        return self._runtime.device

    @property
    def precision(self) -> str:
        return self._runtime.precision

    def weights_identity(self) -> str:
        """`weights_sha256`; for an unsaved network a hash of its weights as they are now."""
        if self.weights_sha256:
            return self.weights_sha256
        from timbral.checkpoints.weights import hash_weights

        return hash_weights(self.network)

    def to(self, device: str | torch.device) -> Embedder:
        """Move to another device; returns itself, like torch modules."""
        self._runtime.to(device)
        return self

    def with_inference(
        self,
        preprocessing: Preprocessing | None = None,
        windows: Windows | None = None,
        *,
        runtime: Runtime | None = None,
        limit: LengthLimit | None = None,
    ) -> Embedder:
        """A copy that shares the network but prepares recordings differently.

        Args:
            preprocessing: applied to every recording; None: the same
            windows: windows whose vectors are averaged; None: the same
            runtime: computes the network's vectors; None: the same
            limit: longer recordings are refused; None: the same
        """
        other = copy.copy(self)
        other.preprocessing = preprocessing or self.preprocessing
        other.windows = windows or self.windows
        other._runtime = runtime or self._runtime
        other._limit = limit or self._limit
        if other.embedding_identity() != self.embedding_identity():
            other.calibration = None
        return other

    def embedding_identity(self) -> str:
        """Hash of preprocessing and windows; with the weights' hash, it identifies vectors."""
        return embedding_identity(self.preprocessing, self.windows)

    def encode(
        self,
        audio: Recording | Sequence[Recording],
        sample_rate: float | None = None,
    ) -> Vectors:
        """One recording to one vector (E,); a list or tuple of N recordings to vectors (N, E).

        Args:
            audio: a recording, in any form that the class describes, or a list or tuple of them
            sample_rate: rate in Hz of samples without a rate; None: the encoder's rate

        Returns:
            float32 vectors of unit length, in the order of the recordings

        Raises:
            AudioError: a recording cannot be used: missing, unreadable, silent, too short, …; the
                error names the first such recording
            InputError: an argument is not a recording
            ConfigError: the sample rate is impossible
        """
        recordings = several_recordings(audio)
        if recordings is None:
            return self._encode_one(audio, "audio", sample_rate)
        return self._encode_many(recordings, "audio", sample_rate)

    def encode_speaker(
        self, recordings: Sequence[Recording], sample_rate: float | None = None
    ) -> Vectors:
        """Several recordings of one speaker to one vector (E,): their mean, of unit length.

        `sample_rate` is the rate in Hz of samples without a rate.

        Raises:
            AudioError: one of them cannot be used
            InputError: one recording instead of several, or an empty list
        """
        if several_recordings(recordings) is None:
            raise InputError("encode_speaker takes a list of recordings; encode takes one")
        if not recordings:
            raise InputError("recordings: at least one recording is needed; the list is empty")
        return unit_length(self._encode_many(recordings, "recordings", sample_rate).mean(axis=0))

    def verify(
        self,
        first: Recording | Sequence[Recording],
        second: Recording | Sequence[Recording],
        threshold: float | None = None,
        sample_rate: float | None = None,
        *,
        calibration: Calibration | str | Path | None = None,
        false_accept: float | None = None,
        prior: float = 0.5,
    ) -> Decision:
        """Decide whether two recordings are of the same speaker.

        Args:
            first: a recording, or a list of recordings of one speaker, which are averaged
            second: the recording or list to compare with
            threshold: lowest cosine of the same speaker, in [-1, 1]. None: the calibration's
                threshold at this `prior`, else the encoder's own (`threshold`); without either
                there is a score but no decision
            sample_rate: rate in Hz of samples without a rate
            calibration: a calibration of this encoder, or its file; None: the encoder's own
            false_accept: highest false accept rate, in (0, 1), for which the calibration provides
                the threshold
            prior: prior probability of the same speaker, in (0, 1)

        The decision's `warnings` list problems of the recordings, as `timbral.check` does.

        Raises ConfigError for a `false_accept` that the calibration cannot promise, DataError for a
        calibration of other weights, and the errors of `encode`.
        """
        known = self._known_calibration(calibration)
        question = Question(threshold, self.threshold, known, false_accept, prior)
        one, other = self._sides({"first": first, "second": second}, sample_rate)
        return compare_sides(one, other, question)

    def verifier(
        self,
        enrolled: Recording | Sequence[Recording],
        *,
        sample_rate: int | None = None,
        calibration: Calibration | str | Path | None = None,
        false_accept: float = 0.01,
        false_reject: float = 0.05,
    ) -> StreamingVerifier:
        """Verify a speaker on a stream of audio, until the evidence is sufficient.

        Args:
            enrolled: a recording of the speaker, or a list of several
            sample_rate: rate in Hz of the stream; None: the encoder's rate
            calibration: as for `verify`
            false_accept: highest fraction of other speakers who are accepted
            false_reject: highest fraction of cases in which this speaker is rejected

        Raises ConfigError for rates that the calibration cannot promise, or without one, InputError
        for an enrolled side without speech.
        """
        known = self._known_calibration(calibration)
        StoppingBounds.of(known, false_accept, false_reject)  # may not be promised
        measured = self._measured_speech(enrolled, "enrolled", None)
        if measured is None:
            raise InputError(
                "enrolled: no speech was found in it; noise, music and tones identify nobody"
            )
        vector, conditions = measured
        seconds = float(conditions.speech_seconds[0])
        bounds = StoppingBounds.of(known, false_accept, false_reject, seconds)
        side = Enrolled(vector, conditions, bounds)
        return StreamingVerifier(self._measured_speech, side, sample_rate or self.sample_rate)

    def _known_calibration(self, given: Calibration | str | Path | None) -> Calibration | None:
        if given is None:
            return self.calibration
        return open_calibration(given, self.weights_identity(), self.embedding_identity())

    def similarity(self, first: Any, second: Any) -> Vectors:
        """Cosines of vectors, as `timbral.similarity`: (N, E), (M, E) -> (N, M)."""
        return similarity(first, second)

    def load_audio(self, audio: Recording, sample_rate: float | None = None) -> Wave:
        """The preprocessed recording (T,) as the encoder sees it; raises the errors of `encode`."""
        return self.loader.load(audio, "audio", sample_rate)

    def try_load_audio(self, path: str | Path) -> Wave | AudioError:
        """Like `load_audio`, but returns the error of an unusable recording."""
        return self.loader.try_load(path)

    def try_load_many(
        self, paths: Iterable[str | Path], threads: int = 4
    ) -> Iterator[Wave | AudioError]:
        """Load recordings in threads, in order; unusable ones give their error."""
        return map_ahead(self.try_load_audio, paths, threads)

    def encode_preprocessed(self, waves: Sequence[Wave]) -> Vectors:
        """Vectors (N, E) of preprocessed waves (T,), from `load_audio` or a store.

        Damaged weights or absurdly large samples can give non-finite vectors; `finite_rows` says
        which are finite.
        """
        return self._runtime.embed_waves(waves, self.windows)

    def encode_mels(self, mels: Sequence[Vectors]) -> Vectors:
        """Utterances of precomputed mels, (F, M) each, to vectors (N, E), in their order.

        Raises ConfigError for an encoder that takes something else.
        """
        self._runtime.network.check_takes_mels()
        assert self.windows is not None, "an encoder on these mels takes windows"
        return self._runtime.embed_mels(mels, self.windows)

    @property
    def loader(self) -> RecordingLoader:
        return RecordingLoader(
            self.preprocessing,
            self.sample_rate,
            self._runtime.network.min_samples,
            self.name,
            self._limit,
        )

    def _encode_one(self, audio: object, argument: str, sample_rate: float | None) -> Vectors:
        vectors = self.encode_preprocessed([self.loader.load(audio, argument, sample_rate)])
        return check_finite(vectors, [name_of(audio, argument)]).reshape(self.embedding_dim)

    def _encode_many(
        self, recordings: Sequence[object], argument: str, sample_rate: float | None
    ) -> Vectors:
        """Vectors (N, E); recordings are loaded in threads, as many at once as memory allows."""
        limit = BATCHES_IN_MEMORY * self._runtime.seconds_per_batch * self.sample_rate
        batches = self.loader.load_in_batches(recordings, argument, sample_rate, limit)
        vectors = [self.encode_preprocessed(waves) for waves in batches]
        names = [name_of(audio, f"{argument}[{row}]") for row, audio in enumerate(recordings)]
        return check_finite(np.concatenate(vectors), names)

    def _measured_speech(
        self, audio: object, argument: str, sample_rate: float | None
    ) -> tuple[Vectors, Conditions] | None:
        """The vector (E,) of a recording, or of several of one speaker, and their conditions.

        None if there is no speech in them.
        """
        (side,) = self._sides({argument: audio}, sample_rate)
        return (side.voice, side.conditions) if side.holds_speech else None

    def _sides(self, given: Mapping[str, object], sample_rate: float | None) -> list[Side]:
        return load_sides(self.loader, self.encode_preprocessed, given, sample_rate)
