"""Encode over time: a vector for each window of a recording or a stream."""

from __future__ import annotations

from collections.abc import Sequence

from timbral.audio.decode import Wave
from timbral.audio.preprocessing import Preprocessing
from timbral.audio.streamed import StreamedPreprocessing
from timbral.encoders.native_windows import Windows
from timbral.errors import InputError
from timbral.inference.loader import RecordingLoader
from timbral.inference.recordings import (
    Recording,
    check_finite,
    name_of,
    several_recordings,
    whole_rate,
)
from timbral.inference.runtime import Runtime
from timbral.inference.window_stream import (
    NativeWindows,
    SlidingWindows,
    StreamedEncoder,
    StreamedWindows,
    WindowStream,
)
from timbral.inference.windows import native_ranges, window_ranges, window_sizes
from timbral.io.types import Floats, Vectors

__all__ = ["WindowedEncoder"]


class WindowedEncoder:
    """The part of an Embedder that encodes windows."""

    preprocessing: Preprocessing
    windows: Windows | None
    sample_rate: int
    embedding_dim: int
    name: str
    _runtime: Runtime

    @property
    def loader(self) -> RecordingLoader:
        raise NotImplementedError

    def encode_preprocessed(self, waves: Sequence[Wave]) -> Vectors:
        raise NotImplementedError

    def encode_windows(
        self,
        audio: Recording,
        seconds: float | None = None,
        step: float | None = None,
        sample_rate: float | None = None,
    ) -> tuple[Floats, Vectors]:
        """Vectors of the windows of a recording, in order of time.

        Without `seconds` and `step` the d-vector (`lstm`) uses its own windows, 1.6 s every 0.8 s,
        whose mean is `encode`. Other encoders use 1.5 s every 0.75 s. Windows of `seconds` are
        encoded as separate recordings. The last window ends with the recording.

        Args:
            audio: one recording
            seconds: length of a window, at least the encoder's `min_samples`
            step: seconds between the starts of two windows; default: half a window
            sample_rate: rate in Hz of samples without a rate

        Returns:
            times (W, 2), start and end of each window in seconds of the preprocessed recording (if
            `preprocessing.trim` cuts silence, of what is left), and vectors (W, E)

        Raises InputError for several recordings, ConfigError for impossible windows, and the errors
        of `encode`.
        """
        if several_recordings(audio) is not None:
            raise InputError("encode_windows takes one recording, not several")
        wave = self.loader.load(audio, "audio", sample_rate)
        own = self.windows
        if own is not None and seconds is None and step is None:
            ranges = native_ranges(own, len(wave), self._runtime.network.hop_samples)
            vectors = self._runtime.embed_windows(wave, own)
        else:
            least = self._runtime.network.min_samples
            ranges = window_ranges(len(wave), self.sample_rate, seconds, step, least, self.name)
            vectors = self.encode_preprocessed([wave[start:end] for start, end in ranges])
        return ranges / self.sample_rate, check_finite(vectors, [name_of(audio, "audio")])

    def window_stream(
        self,
        *,
        seconds: float | None = None,
        step: float | None = None,
        sample_rate: float | None = None,
        rms_dbfs: float | None = None,
    ) -> WindowStream:
        """The windows of `encode_windows`, for a recording that arrives in chunks of any size.

        ``stream.push(samples)`` returns times and vectors of the windows that are complete,
        ``stream.close()`` the last ones. Together they equal those of the whole recording (to 1e-6
        in fp32); at most a window and a step of audio is held. A window is returned with the chunk
        that contains its last sample; 0.04 s later for the d-vector's own windows, up to 0.12 s
        later if resampled, and 0.24 s if WebRTC's detector trims it.

        Args:
            seconds, step: as for `encode_windows`
            sample_rate: rate in Hz of the stream; None: the encoder's rate
            rms_dbfs: level of the whole recording, to raise it to `preprocessing.min_rms_dbfs`;
                None: do not raise it (a warning at the end says if it should have been)

        Raises ConfigError as `encode_windows`, and for preprocessing that needs the whole recording
        (`trim` energy, silero, edges and quiet-ends).
        """
        rate = self.sample_rate if sample_rate is None else whole_rate(sample_rate, "samples")
        least, own = self._runtime.network.min_samples, self.windows
        windows: StreamedWindows
        if own is not None and seconds is None and step is None:
            hop = self._runtime.network.hop_samples
            windows = NativeWindows(self._runtime.embed_windows, own, hop)
        else:
            sizes = window_sizes(self.sample_rate, seconds, step, least, self.name)
            windows = SlidingWindows(self.encode_preprocessed, *sizes)
        prepared = StreamedPreprocessing(self.preprocessing, rate, self.sample_rate, rms_dbfs)
        facts = StreamedEncoder(self.name, self.sample_rate, self.embedding_dim, least)
        return WindowStream(prepared, windows, rate, facts)
