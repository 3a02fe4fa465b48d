"""Measure one recording."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from timbral.audio.quality.bandwidth import bandwidth_hz
from timbral.audio.quality.channels import channel_correlation, mix
from timbral.audio.quality.clipping import clipped_fraction
from timbral.audio.quality.measures import Quality
from timbral.audio.quality.short_time import analyze, frame_length
from timbral.audio.quality.sound_features import windows_of
from timbral.audio.quality.sound_model import classify
from timbral.audio.quality.speech_frames import mark_speech
from timbral.io.types import Vectors

__all__ = ["measure"]

LEAST_PAUSE = 0.1
"""seconds of pauses that an SNR needs"""
LEAST_DBFS = -120.0


def measure(samples: Vectors, sample_rate: int) -> Quality:
    """Measure samples (T,) or (T, C), float32 in [-1, 1], as decoded at the file's own rate in Hz.

    It makes one pass of spectra, and needs about 5 % of the samples' memory in addition. Samples
    must be finite, as decoding has checked.
    """
    columns = samples.reshape(len(samples), -1)
    wave = mix(columns)
    frames = analyze(wave, sample_rate)
    sounds = classify(*windows_of(frames))
    marks = mark_speech(frames.bands, sounds.speech)
    frame_seconds = frame_length(sample_rate) / sample_rate
    power = 10 ** (frames.levels.astype(np.float64) / 10)
    return Quality(
        seconds=len(columns) / sample_rate,
        speech_seconds=min(float(marks.sum()) * frame_seconds, len(columns) / sample_rate),
        speech_dbfs=_dbfs(power[marks] if marks.any() else power),
        snr_db=_snr_db(power, marks, frame_seconds),
        bandwidth_hz=bandwidth_hz(frames.spectrum, sample_rate),
        clipped_fraction=max(clipped_fraction(channel) for channel in columns.T),
        num_channels=columns.shape[1],
        channel_correlation=channel_correlation(columns, sample_rate),
        speech_probability=sounds.speech_probability,
        music_fraction=sounds.music_fraction,
    )


def _dbfs(power: NDArray[np.float64]) -> float:
    return max(LEAST_DBFS, 10 * float(np.log10(power.mean() + 1e-12)))


def _snr_db(
    power: NDArray[np.float64], marks: NDArray[np.bool_], frame_seconds: float
) -> float | None:
    """SNR in dB; the pauses' power is subtracted from that of the speech frames."""
    if not marks.any() or (~marks).sum() * frame_seconds < LEAST_PAUSE:
        return None
    noise = float(power[~marks].mean()) + 1e-12
    return 10 * float(np.log10(max(power[marks].mean() - noise, 1e-3 * noise) / noise))
