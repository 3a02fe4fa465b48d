"""The preprocessing that an encoder was trained with, recorded in stores and checkpoints."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from timbral.audio.decode import SAMPLE_RATE, Wave, decode, failures_of, resample
from timbral.audio.quiet_ends import loud_extent
from timbral.audio.vad import check_detector, kept_of_frames, voiced_frames
from timbral.errors import AudioError, ConfigError, did_you_mean
from timbral.io.types import Floats

__all__ = ["TRIMS", "Preprocessing", "gain_to", "load", "rms_dbfs_of", "seconds_in_recording"]

TRIMS = ("none", "energy", "silero", "edges", "quiet-ends", "webrtc")
"""ways to cut silence"""
POWER_BLOCK = 4096
"""samples whose squares are summed in float32"""
EDGE_POWER = 0.001
"""samples before the first and after the last one with more power are cut as edges"""


@dataclass(frozen=True)
class Preprocessing:
    """Preprocessing of every recording before it goes into an encoder.

    Stores and checkpoints record it, so that an encoder gets recordings like those in training.
    """

    trim: str = "none"
    """none | energy (pauses 40 dB below the loudest window) | silero (Silero's network; needs the
    extra [vad]) | edges (leading and trailing samples with x² ≤ 0.001, as ddvc does) | quiet-ends
    (what is 20 dB below the loudest, at both ends, as chatterbox does) | webrtc
    (WebRTC voice activity detection, as PaddleSpeech does; needs the extra [vad])"""
    min_rms_dbfs: float | None = -30.0
    """raise quieter recordings to this RMS level in dBFS; None leaves all as they are"""

    def __post_init__(self) -> None:
        if self.trim not in TRIMS:
            raise ConfigError(f"unknown trim {self.trim!r}{did_you_mean(self.trim, TRIMS)}")
        if self.min_rms_dbfs is not None and not -100.0 < self.min_rms_dbfs <= 0.0:
            raise ConfigError(
                f"min_rms_dbfs must be above -100 and at most 0 dBFS, or none: {self.min_rms_dbfs}"
            )

    def check_installed(self) -> None:
        """Raise MissingExtraError now, rather than for each recording."""
        check_detector(self.trim)

    def __call__(self, wave: Wave, source_rate: int, target_rate: int, name: str = "audio") -> Wave:
        """Resample a wave, raise its level and trim it: (T,) -> (T',).

        Raises AudioError, which calls it `name`, if nothing is left.
        """
        return self.with_times(wave, source_rate, target_rate, name)[0]

    def with_times(
        self, wave: Wave, source_rate: int, target_rate: int, name: str = "audio"
    ) -> tuple[Wave, Floats]:
        """The preprocessed wave, and the ranges (K, 2) of the recording in it, in seconds.

        ddvc trims before resampling, PaddleSpeech after raising the level. Raises AudioError if
        nothing is left.
        """
        kept = np.array([[0.0, wave.size / source_rate]])
        if self.trim == "edges":
            first, end = _loud_samples(wave)
            wave, kept = wave[first:end], np.array([[first, end]]) / source_rate
        wave = resample(wave, source_rate, target_rate)
        if self.min_rms_dbfs is not None and wave.size:
            wave = _raise_rms(wave, self.min_rms_dbfs)
        if self.trim == "quiet-ends" and wave.size:
            first, end = loud_extent(wave)
            wave, kept = wave[first:end], np.array([[first, end]]) / target_rate
        if self.trim in ("energy", "silero", "webrtc") and wave.size:
            flags, size = voiced_frames(wave, target_rate, self.trim)
            wave = kept_of_frames(wave, flags, size)
            kept = _runs(flags) * (size / target_rate)
        if wave.size == 0:
            reason = f"nothing is left after trimming silence ({self.trim})"
            raise AudioError(name, reason, "trimmed-away")
        return wave, kept

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def load(
    path: str | Path, preprocessing: Preprocessing | None = None, sample_rate: int = SAMPLE_RATE
) -> Wave:
    """Decode and preprocess one recording: mono float32 (T,) at `sample_rate`."""
    wave, source_rate = decode(path)
    if preprocessing is None:
        return resample(wave, source_rate, sample_rate)
    with failures_of(str(path)):
        return preprocessing(wave, source_rate, sample_rate, str(path))


def _raise_rms(wave: Wave, target_dbfs: float) -> Wave:
    gain = gain_to(target_dbfs, rms_dbfs_of(_mean_power(wave)))
    return wave if gain == 1 else wave * gain


def _mean_power(wave: Wave) -> float:
    """The mean of squares of a wave (T,), which are summed in blocks: that needs no second wave."""
    whole = wave.size - wave.size % POWER_BLOCK
    blocks, rest = wave[:whole].reshape(-1, POWER_BLOCK), wave[whole:]
    sums = np.einsum("nt,nt->n", blocks, blocks).sum(dtype=np.float64)
    return float(sums + np.einsum("t,t->", rest, rest)) / wave.size


def rms_dbfs_of(power: float) -> float:
    """The level of a mean power in dBFS; -200 for silence."""
    return float(20.0 * np.log10(max(float(np.sqrt(power)), 1e-10)))


def gain_to(target_dbfs: float, rms_dbfs: float) -> np.float32:
    """The gain that raises a level to a target; 1 if it is already louder."""
    return np.float32(10 ** (max(0.0, target_dbfs - rms_dbfs) / 20))


def _loud_samples(wave: Wave) -> tuple[int, int]:
    inside = np.flatnonzero(np.square(wave) > EDGE_POWER)
    return (int(inside[0]), int(inside[-1]) + 1) if inside.size else (0, 0)


def _runs(flags: NDArray[np.bool_]) -> Floats:
    """Start and end index (K, 2) of each run of set flags (F,)."""
    padded = np.zeros(flags.size + 2, dtype=bool)
    padded[1:-1] = flags
    edges = np.flatnonzero(padded[1:] != padded[:-1])
    return edges.reshape(-1, 2).astype(np.float64)


def seconds_in_recording(kept: Floats, seconds: float) -> float:
    """The time in a recording, from the time `seconds` in its trimmed version.

    `kept` (K, 2) is from `Preprocessing.with_times`. A time at a removed pause counts as after it.
    """
    lengths = kept[:, 1] - kept[:, 0]
    ends = np.cumsum(lengths)
    row = min(int(np.searchsorted(ends, seconds, side="right")), len(kept) - 1)
    return float(kept[row, 1] - (ends[row] - seconds))
