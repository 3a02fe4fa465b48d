"""The preprocessing that an encoder was trained on; it travels with stores and checkpoints."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from timbral.audio.decode import SAMPLE_RATE, Wave, decode, failures_of, resample
from timbral.audio.quiet_ends import cut_quiet_ends
from timbral.audio.vad import check_detector, keep_voiced
from timbral.errors import AudioError, ConfigError, did_you_mean

__all__ = ["TRIMS", "Preprocessing", "gain_to", "load", "rms_dbfs_of"]

TRIMS = ("none", "energy", "silero", "edges", "quiet-ends", "webrtc")
"""ways to cut silence"""
EDGE_POWER = 0.001
"""what lies before the first and behind the last sample of more power is cut as an edge"""


@dataclass(frozen=True)
class Preprocessing:
    """What is done to every recording before it goes into an encoder.

    A store and a checkpoint carry it, so that an encoder gets what it was trained on.
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
                f"min_rms_dbfs must lie in (-100, 0] dBFS or be none: {self.min_rms_dbfs}"
            )

    def check_installed(self) -> None:
        """Raise MissingExtraError now rather than once a recording."""
        check_detector(self.trim)

    def __call__(self, wave: Wave, source_rate: int, target_rate: int, name: str = "audio") -> Wave:
        """Resample, raise and trim one recording: (T,) -> (T',). AudioError when nothing is left.

        ddvc trims before it resamples, PaddleSpeech after it has raised the level.
        """
        if self.trim == "edges":
            wave = _trim_edges(wave)
        wave = resample(wave, source_rate, target_rate)
        if self.min_rms_dbfs is not None and wave.size:
            wave = _raise_rms(wave, self.min_rms_dbfs)
        if self.trim == "quiet-ends" and wave.size:
            wave = cut_quiet_ends(wave)
        if self.trim in ("energy", "silero", "webrtc") and wave.size:
            wave = keep_voiced(wave, target_rate, self.trim)
        if wave.size == 0:
            reason = f"nothing is left after trimming silence ({self.trim})"
            raise AudioError(name, reason, "trimmed-away")
        return wave

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
    gain = gain_to(target_dbfs, rms_dbfs_of(float(np.mean(np.square(wave)))))
    return wave if gain == 1 else wave * gain


def rms_dbfs_of(power: float) -> float:
    """The level of a mean power, in dBFS; that of silence is -200."""
    return float(20.0 * np.log10(max(float(np.sqrt(power)), 1e-10)))


def gain_to(target_dbfs: float, rms_dbfs: float) -> np.float32:
    """What raises a recording of a level to another one; 1 where it is louder already."""
    return np.float32(10 ** (max(0.0, target_dbfs - rms_dbfs) / 20))


def _trim_edges(wave: Wave) -> Wave:
    inside = np.flatnonzero(np.square(wave) > EDGE_POWER)
    return wave[inside[0] : inside[-1] + 1] if inside.size else wave[:0]
