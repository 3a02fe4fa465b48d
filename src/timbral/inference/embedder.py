"""The Embedder: the only road from audio to vectors."""

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
"""batches whose audio is held while many recordings are encoded"""


class Embedder(SharedEncoder, WindowedEncoder):
    """A speaker encoder ready for use: recordings in, vectors out.

    It applies the preprocessing that the encoder was trained on. Vectors are float32 and of unit
    length, so that the cosine of two is their dot product; neither what else is encoded with a
    recording nor padding affects its vector (to 1e-5 in fp32; in bf16, whose rounding depends on
    the shapes of a batch, to 4e-3, a cosine of 0.9999).

    Wherever a recording is taken, it is a path or URL, the content of an audio file (bytes) or a
    file open for reading them, samples as a NumPy array or tensor of shape (T,) or (1, T), a tuple
    (samples, sample_rate), or a mapping with ``array`` and ``sampling_rate`` as Hugging Face
    datasets have it. Floats lie in [-1, 1]; signed integers are PCM. Samples without a rate are at
    `sample_rate` if that is given, else at the encoder's own rate. Files are decoded at their own
    rate, and their channels averaged.

    Attributes:
        embedding_dim: size E of a vector
        sample_rate: the encoder's rate in Hz; everything is resampled to it
        name, license: of the published weights; of others the architecture's name, and none
        weights_sha256: hash of the file of weights; vectors of another hash do not compare
        threshold: cosine at which misses and false alarms were equally frequent on the speakers
            that training held out; None when nothing was held out
        calibration, training_list: what its cosines are worth, what its run trained on; or None
        preprocessing: what is done to every recording before the encoder sees it
        windows: those whose mean is a recording's vector; None: recordings are encoded whole
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
        """Take a network as it is; `timbral.load_encoder` makes one from a name or a path.

        Args:
            network: the encoder; it is moved to `device` and put into evaluation mode; or a runtime
            preprocessing: what it was trained on; None is timbral's default
            device: ``cpu``, ``cuda`` or ``cuda:N``
            precision: ``fp32``; ``tf32``, faster on CUDA devices; or ``bf16``, faster where the
                processor multiplies in it
            compile: let torch compile the network: minutes at first, no gain (docs/encoders.md)
            name: what vectors and files call this encoder; empty: the architecture's name
            weights_sha256, license: hash of its file of weights; of the weights
            threshold: cosine from which `verify` says that the speaker is the same
            uninitialized_prefixes: starts of names of tensors that are random
            calibration, training_list: of these weights, as the attributes
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
        """Compute on another device from now on; returns itself, as modules of torch do."""
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
        """An Embedder of the same network, which both hold, that prepares recordings another way.

        Args:
            preprocessing: what is done to every recording; None: as this one does
            windows: whose mean is a recording's vector; None: those of this one
            runtime: computes the vectors of this network; None: that of this one
            limit: longer recordings are refused; None: as this one does
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
        """Hash of preprocessing and windows: with the weights', what decides a vector."""
        return embedding_identity(self.preprocessing, self.windows)

    def encode(
        self,
        audio: Recording | Sequence[Recording],
        sample_rate: float | None = None,
    ) -> Vectors:
        """One recording to one vector (E,), a list or tuple of N recordings to N vectors (N, E).

        Args:
            audio: a recording, in any form that the class describes, or a list or tuple of them
            sample_rate: in Hz, of samples that come without a rate; None is the encoder's rate

        Returns:
            float32 vectors of unit length, in the order of the recordings

        Raises:
            AudioError: a recording cannot be used: missing, unreadable, silent, too short, …; of
                many the first such, whose error names it
            InputError: what was given is no recording
            ConfigError: the sample rate is impossible
        """
        recordings = several_recordings(audio)
        if recordings is None:
            return self._encode_one(audio, "audio", sample_rate)
        return self._encode_many(recordings, "audio", sample_rate)

    def encode_speaker(
        self, recordings: Sequence[Recording], sample_rate: float | None = None
    ) -> Vectors:
        """Several recordings of one speaker to one vector (E,): the mean of theirs, unit length.

        `sample_rate` is that of samples that come without one, in Hz.

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
        """Are two recordings of one speaker?

        Args:
            first: a recording; or a list of several of one speaker, of which the mean is taken
            second: what it is compared with, likewise
            threshold: cosine in [-1, 1] from which the answer is yes; None: that of the calibration
                at this `prior`; without one the encoder's own (`threshold`), and without that there
                is a score but no answer
            sample_rate: in Hz, of samples that come without a rate
            calibration: of this encoder, or its file; None: the encoder's own (`calibration`)
            false_accept: fraction of different speakers that may be taken for one, in (0, 1): the
                threshold is then one that the calibration promises
            prior: probability of the same speaker before anything was compared, in (0, 1)

        The decision's `warnings` name what speaks against a recording, as `timbral.check` does.

        Raises ConfigError for a `false_accept` that the calibration cannot promise, DataError for a
        calibration of other weights, and as `encode`.
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
        """Compare a speaker with somebody who still talks, until it is clear who that is.

        Args:
            enrolled: a recording of the speaker, or a list of several
            sample_rate: of the samples that will come, in Hz; None: the encoder's
            calibration: as for `verify`
            false_accept: fraction of other speakers that are taken for this one, at most
            false_reject: fraction of cases in which this speaker is refused, at most

        Raises ConfigError for rates that the calibration cannot promise, or without one, InputError
        for an enrolled side without speech.
        """
        known = self._known_calibration(calibration)
        StoppingBounds.of(known, false_accept, false_reject)  # may not be promised
        measured = self._measured_speech(enrolled, "enrolled", None)
        if measured is None:
            raise InputError(
                "enrolled: no speech was found in it; noise, music and tones are nobody"
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
        """A recording as the encoder sees it, preprocessed (T,); errors as of `encode`."""
        return self.loader.load(audio, "audio", sample_rate)

    def try_load_audio(self, path: str | Path) -> Wave | AudioError:
        """As `load_audio`, but a recording that cannot be used gives its error."""
        return self.loader.try_load(path)

    def try_load_many(
        self, paths: Iterable[str | Path], threads: int = 4
    ) -> Iterator[Wave | AudioError]:
        """Load recordings in threads, in order, a failure in its place."""
        return map_ahead(self.try_load_audio, paths, threads)

    def encode_preprocessed(self, waves: Sequence[Wave]) -> Vectors:
        """Waves (T,) as `load_audio` gives them or a store holds them to vectors (N, E).

        What the encoder makes of damaged weights or of absurdly large samples may not be finite;
        `finite_rows` tells which vectors are.
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
        """Vectors (N, E); recordings are loaded in threads, and so many held as memory bears."""
        limit = BATCHES_IN_MEMORY * self._runtime.seconds_per_batch * self.sample_rate
        batches = self.loader.load_in_batches(recordings, argument, sample_rate, limit)
        vectors = [self.encode_preprocessed(waves) for waves in batches]
        names = [name_of(audio, f"{argument}[{row}]") for row, audio in enumerate(recordings)]
        return check_finite(np.concatenate(vectors), names)

    def _measured_speech(
        self, audio: object, argument: str, sample_rate: float | None
    ) -> tuple[Vectors, Conditions] | None:
        """The vector (E,) of a recording, or of a speaker with several, and its conditions.

        None where no recording of it holds speech.
        """
        (side,) = self._sides({argument: audio}, sample_rate)
        return (side.voice, side.conditions) if side.holds_speech else None

    def _sides(self, given: Mapping[str, object], sample_rate: float | None) -> list[Side]:
        return load_sides(self.loader, self.encode_preprocessed, given, sample_rate)
