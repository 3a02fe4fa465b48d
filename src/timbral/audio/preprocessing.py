"""The preprocessing that an encoder was trained on; it travels with stores and checkpoints."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from timbral.audio.decode import SAMPLE_RATE, Wave, decode, resample
from timbral.audio.vad import check_detector, keep_voiced
from timbral.errors import AudioError, ConfigError, did_you_mean

__all__ = ["Preprocessing", "load"]

TRIMS = ("none", "energy", "vad", "edges", "webrtc")


@dataclass(frozen=True)
class Preprocessing:
    """What is done to every recording before an encoder hears it.

    A store and a checkpoint carry it, so that an encoder hears later what it was trained on.
    """

    trim: str = "none"
    """none | energy (own, no dependency) | vad (Silero's network; needs the extra [vad]) |
    edges (leading and trailing samples with x² ≤ 0.001) | webrtc (WebRTC voice activity
    detection; needs the extra [vad])"""
    min_rms_dbfs: float | None = -30.0
    """raise quieter recordings to this RMS level in dBFS; louder ones stay as they are"""

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
        """Resample, level and trim one recording: (T,) -> (T',). Raise AudioError if none is left.

        ddvc trims before it resamples, PaddleSpeech after it has raised the level.
        """
        if self.trim == "edges":
            wave = _trim_edges(wave)
        wave = resample(wave, source_rate, target_rate)
        if self.min_rms_dbfs is not None and wave.size:
            wave = _raise_level(wave, self.min_rms_dbfs)
        if self.trim in ("energy", "vad", "webrtc") and wave.size:
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
    return preprocessing(wave, source_rate, sample_rate, str(path))


def _raise_level(wave: Wave, target_dbfs: float) -> Wave:
    level = 20.0 * np.log10(max(float(np.sqrt(np.mean(np.square(wave)))), 1e-10))
    return wave if level >= target_dbfs else wave * np.float32(10 ** ((target_dbfs - level) / 20))


def _trim_edges(wave: Wave) -> Wave:
    loud = np.flatnonzero(np.square(wave) > 0.001)
    return wave[loud[0] : loud[-1] + 1] if loud.size else wave[:0]
