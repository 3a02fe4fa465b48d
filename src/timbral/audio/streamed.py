"""Preprocess a recording in chunks, with the same samples as for the whole."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import soxr
from numpy.typing import NDArray

from timbral.audio.decode import SILENCE_PEAK, Wave, as_float32, silence_of_fewer_bits
from timbral.audio.preprocessing import Preprocessing, gain_to, rms_dbfs_of
from timbral.audio.vad import (
    FRAME_MS,
    FRAMES_AHEAD,
    FRAMES_BEFORE,
    kept_frames,
    webrtc_detector,
)
from timbral.errors import AudioError, ConfigError

__all__ = ["StreamedPreprocessing"]

STREAMED_TRIMS = ("none", "webrtc")
NOTHING = np.zeros(0, np.float32)


class StreamedPreprocessing:
    """From chunks at one rate to preprocessed samples at another, equal to those of the whole.

    A recording's level is known only at its end. So the level is raised only if `rms_dbfs` is
    given; otherwise a warning at the end says whether the whole would have been raised.

    Resampling delays samples by 0.12 s at most, WebRTC's detector by 0.24 s.
    """

    def __init__(
        self,
        preprocessing: Preprocessing,
        source_rate: int,
        target_rate: int,
        rms_dbfs: float | None,
    ) -> None:
        """`rms_dbfs` is the level of the whole recording, before it is raised; None: unknown.

        Raises ConfigError for a `preprocessing` that needs the whole recording first.
        """
        if preprocessing.trim not in STREAMED_TRIMS:
            raise ConfigError(
                f"trim {preprocessing.trim} needs the whole recording, so it cannot be used on a "
                "stream; allowed: none and webrtc. encoder.with_inference sets another trim, "
                "which changes the vectors"
            )
        if rms_dbfs is not None and not -200.0 <= rms_dbfs <= 0.0:  # also NaN
            raise ConfigError(f"rms_dbfs must be in [-200, 0] dBFS or None: {rms_dbfs}")
        self._least_dbfs, self._known_dbfs = preprocessing.min_rms_dbfs, rms_dbfs
        self._gain = np.float32(1)
        if self._least_dbfs is not None and rms_dbfs is not None:
            self._gain = gain_to(self._least_dbfs, rms_dbfs)
        self._resampler = None
        if source_rate != target_rate:
            self._resampler = soxr.ResampleStream(
                source_rate, target_rate, 1, dtype="float32", quality="HQ"
            )
        self._voiced = VoicedStream(target_rate) if preprocessing.trim == "webrtc" else None
        self._trim = preprocessing.trim
        self._squares, self._count, self._left, self._peak = 0.0, 0, 0, 0.0

    @property
    def rms_dbfs(self) -> float:
        """The level in dBFS of all samples so far, before it is raised."""
        return rms_dbfs_of(self._squares / max(1, self._count))

    def push(self, samples: NDArray[Any], name: str) -> Wave:
        """Take the next samples (T,) and return those that are now ready (T',).

        Raises AudioError, and takes none, for samples that are not finite or outside [-1, 1].
        """
        chunk = as_float32(samples, name)
        peak = float(np.abs(chunk).max(initial=0.0))  # NaN where one is
        if not math.isfinite(peak):
            raise AudioError(name, "the chunk contains NaN or infinite samples", "not-finite")
        if peak > 1.0:
            reason = (
                f"its samples reach {peak:.3g}, but chunks of a stream must be in [-1, 1]; scale "
                "or clip them (a stream cannot be divided by its peak, which may come later)"
            )
            raise AudioError(name, reason, "out-of-range")
        self._peak = max(self._peak, peak)
        if self._resampler is not None:
            chunk = self._resampler.resample_chunk(np.ascontiguousarray(chunk))
        return self._prepared(chunk)

    def close(self, name: str) -> Wave:
        """Return the last preprocessed samples (T',).

        Raises AudioError for an empty or silent recording, or if nothing is left.
        """
        last = NOTHING
        if self._resampler is not None:
            last = self._resampler.resample_chunk(NOTHING, last=True)
        wave = self._prepared(last)
        if self._voiced is not None:
            wave = np.concatenate([wave, self._voiced.close()])
            self._left += len(wave)
        if not self._count:
            raise AudioError(name, "the recording is empty (no samples)", "empty")
        if self._peak <= SILENCE_PEAK:
            reason = f"the recording is silent{silence_of_fewer_bits(self._peak)}"
            raise AudioError(name, reason, "silent")
        if not self._left:
            reason = f"nothing is left after trimming silence ({self._trim})"
            raise AudioError(name, reason, "trimmed-away")
        self._warn_of_level()
        return wave

    def _prepared(self, chunk: Wave) -> Wave:
        self._squares += float(np.dot(chunk, chunk))
        self._count += len(chunk)
        if self._gain != 1:
            chunk = chunk * self._gain
        wave = chunk if self._voiced is None else self._voiced.push(chunk)
        self._left += len(wave)
        return wave

    def _warn_of_level(self) -> None:
        least, level = self._least_dbfs, self.rms_dbfs
        if least is not None and self._known_dbfs is None and level < least:
            warnings.warn(
                f"the level of the stream was {level:.1f} dBFS. A whole recording would have been "
                f"raised to {least:g} dBFS: pass the expected level as rms_dbfs",
                stacklevel=4,
            )


class VoicedStream:
    """The samples that `voiced_frames` keeps with WebRTC's detector, from chunks."""

    def __init__(self, sample_rate: int) -> None:
        self._detect = webrtc_detector(sample_rate)
        self._size = sample_rate * FRAME_MS // 1000
        self._samples = NOTHING
        """samples from the first undecided frame on"""
        self._flags = np.zeros(0, dtype=bool)
        """flags from `FRAMES_BEFORE` frames before that frame, or from the beginning"""
        self._before = 0
        """number of flags before that frame"""

    def push(self, samples: Wave) -> Wave:
        """Take the next samples (T,) and return those that are now kept (T',)."""
        self._samples = np.concatenate([self._samples, samples])
        known = len(self._flags) - self._before
        count = len(self._samples) // self._size
        new = self._samples[known * self._size : count * self._size].reshape(-1, self._size)
        if len(new):
            self._flags = np.concatenate([self._flags, self._detect(new)])
        return self._decide(max(0, count - FRAMES_AHEAD))

    def close(self) -> Wave:
        """Return the last samples (T',); an incomplete frame at the end is dropped."""
        return self._decide(len(self._flags) - self._before)

    def _decide(self, count: int) -> Wave:
        """The kept ones of the next `count` frames, joined."""
        if not count:
            return NOTHING
        kept = kept_frames(self._flags)[self._before : self._before + count]
        frames = self._samples[: count * self._size].reshape(count, self._size)
        self._samples = self._samples[count * self._size :].copy()
        forgotten = max(0, self._before + count - FRAMES_BEFORE)
        self._before += count - forgotten
        self._flags = self._flags[forgotten:]
        voiced: Wave = frames[kept].reshape(-1)
        return voiced
