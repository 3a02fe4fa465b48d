"""An encoder over time: a vector for each window, of a whole recording or of one that comes."""

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
    """What an Embedder has to encode windows."""

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
        """A vector for each of many windows of one recording, in order of time.

        Without `seconds` and `step` the d-vector (`lstm`) takes its own windows, 1.6 s every
        0.8 s, of which `encode` is the mean. Other encoders have none: they take 1.5 s every
        0.75 s. Windows of `seconds` are encoded each as a recording of its own. The last one ends
        with the recording.

        Args:
            audio: one recording
            seconds: length of a window; not shorter than the encoder's `min_samples`
            step: seconds from one window's start to the next; default half a window
            sample_rate: in Hz, of samples that come without a rate

        Returns:
            times (W, 2), start and end of each window in seconds of the preprocessed recording
            (where `preprocessing.trim` cuts silence, of what is left), and vectors (W, E)
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
        seconds: float | None = None,
        step: float | None = None,
        sample_rate: float | None = None,
        *,
        rms_dbfs: float | None = None,
    ) -> WindowStream:
        """The windows of `encode_windows`, of a recording that comes in chunks of any size.

        ``stream.push(samples)`` gives times and vectors of the windows that are complete,
        ``stream.close()`` the last ones. Together they are those of the whole recording (to 1e-6
        in fp32), and no more of it is held than a window and a step. A window comes with the chunk
        that holds its last sample; 0.04 s later for windows of the d-vector's own, up to 0.12 s
        later where it is resampled, and 0.24 s where WebRTC's detector trims it.

        Args:
            seconds, step: as for `encode_windows`
            sample_rate: of the samples that will come, in Hz; None: the encoder's
            rms_dbfs: level of the whole recording, where `preprocessing.min_rms_dbfs` would raise
                it; None: it is loud enough, and nothing is raised (a warning says at the end where
                that was wrong)

        Raises ConfigError as `encode_windows`, and for a preprocessing that needs the whole
        recording (`trim` energy, silero, edges and quiet-ends).
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
