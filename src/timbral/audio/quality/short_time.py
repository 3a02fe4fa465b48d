"""One pass of short-time spectra over a recording, with features of each frame.

Frames of 32 ms lie side by side, so that each sample is transformed only once. The
speech features are taken below 4 kHz, where telephone and studio recordings are alike; the long
spectrum reaches up to half the rate.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from timbral.io.types import Floats, Vectors

__all__ = ["FRAME_SECONDS", "NUM_BANDS", "Frames", "analyze", "frame_length"]

FRAME_SECONDS = 0.032
BLOCK_FRAMES = 256
"""frames per rfft: 8 s, which fit the cache; with 16 s a frame takes three times as long"""
NUM_BANDS = 20
BAND_LIMITS_HZ = (100.0, 3_800.0)
VOICE_LIMITS_HZ = (70.0, 400.0)
"""fundamental frequencies of voices"""
LAG_RATE = 8_000
RUMBLE_HZ = 60.0
"""frequencies below are excluded from levels: handling noise, mains hum, offset"""
STEP_HZ = 250.0
"""resolution of the long spectrum"""
TINY = np.float32(1e-12)
LOUD_DB = 20.0
"""frames within this many dB of a block's loudest are included in the long spectrum"""


@dataclass(frozen=True)
class Frames:
    """Features of F frames."""

    levels: Vectors
    """(F,) dBFS, without rumble"""
    bands: Vectors
    """(F, NUM_BANDS) dBFS in mel bands"""
    flatness: Vectors
    """(F,) dB: geometric over arithmetic mean of the spectrum; 0 is white"""
    harmonicity: Vectors
    """(F,) highest autocorrelation at the lag of a voice"""
    pitch: Vectors
    """(F,) pitch of that lag in octaves above 70 Hz"""
    spectrum: Vectors
    """(steps,) mean power in steps of STEP_HZ, of the louder frames"""


def frame_length(sample_rate: int) -> int:
    """About 32 ms, a multiple of 32 samples: 512 at 16 kHz."""
    return max(32, 32 * round(sample_rate * FRAME_SECONDS / 32))


def analyze(wave: Vectors, sample_rate: int) -> Frames:
    """Features of the frames of a wave (T,); the last frame is padded with zeros."""
    length = frame_length(sample_rate)
    count = max(1, wave.size // length)  # what is left of the last frame is under 32 ms
    if wave.size < length:
        wave = np.pad(wave, (0, length - wave.size))
    rows = wave[: count * length].reshape(count, length)
    blocks = [
        _block(rows[start : start + BLOCK_FRAMES], sample_rate)
        for start in range(0, count, BLOCK_FRAMES)
    ]
    loud = np.array([block.spectrum.sum() for block in blocks])
    spectra = np.stack([block.spectrum for block in blocks])
    # Blocks without speech, which are much weaker, must not lower the mean of those with speech.
    kept = spectra[loud >= loud.max() * 10 ** (-LOUD_DB / 10)]
    return Frames(
        levels=np.concatenate([block.levels for block in blocks]),
        bands=np.concatenate([block.bands for block in blocks]),
        flatness=np.concatenate([block.flatness for block in blocks]),
        harmonicity=np.concatenate([block.harmonicity for block in blocks]),
        pitch=np.concatenate([block.pitch for block in blocks]),
        spectrum=kept.mean(axis=0),
    )


def _block(rows: Vectors, sample_rate: int) -> Frames:
    tools = _tools(sample_rate)
    spectra = np.fft.rfft(rows * tools.window)
    power = np.square(spectra.real, dtype=np.float32)
    power += np.square(spectra.imag, dtype=np.float32)  # (F, bins)
    total = power[:, tools.first_bin :].sum(axis=1)
    harmonicity, pitch = _voicing(power, tools)
    inner = power[:, tools.band_bins] + TINY
    flatness = np.log(inner).mean(axis=1) - np.log(inner.mean(axis=1))
    loud = total >= total.max() * np.float32(10 ** (-LOUD_DB / 10))
    return Frames(
        levels=_decibels(total),
        bands=_decibels(power[:, : tools.mel.shape[0]] @ tools.mel),
        flatness=(10 / np.log(10)) * flatness,
        harmonicity=harmonicity,
        pitch=pitch,
        spectrum=np.add.reduceat(power[loud].mean(axis=0), tools.steps),
    )


def _voicing(power: Vectors, tools: _Tools) -> tuple[Vectors, Vectors]:
    """The peak of the autocorrelation (Wiener-Khinchin) at lags of voices, and its pitch.

    The autocorrelation of the window is divided out (Boersma 1993, equation 9), so that a steady
    tone has the value 1.
    """
    around = power[:, : tools.to_lags.shape[0]] @ tools.to_lags
    inside = around[:, 1:] / (around[:, :1] + TINY)
    best = inside.argmax(axis=1)
    peak = np.take_along_axis(inside, best[:, None], axis=1)[:, 0]
    pitch = tools.pitches[best]
    return np.clip(peak, 0, 1), pitch


def _decibels(power: Vectors) -> Vectors:
    return np.asarray(10 * np.log10(power + TINY), dtype=np.float32)


@dataclass(frozen=True)
class _Tools:
    """Matrices that depend only on the sample rate."""

    window: Vectors
    bin_hz: float
    first_bin: int
    mel: Vectors
    """(bins below the last band's end, NUM_BANDS)"""
    band_bins: slice
    to_lags: Vectors
    """(bins to 4 kHz, 1 + lags): from power to autocorrelation at lag 0 and at lags of voices"""
    pitches: Vectors
    """(lags,) octaves above 70 Hz"""
    steps: NDArray[np.intp]
    """the first bin of each step of the long spectrum"""


@lru_cache(maxsize=8)
def _tools(sample_rate: int) -> _Tools:
    length = frame_length(sample_rate)
    window = np.hanning(length + 1)[:-1]
    # So that the sum of a frame's power is its mean square: both halves, Parseval, the window's.
    window *= np.sqrt(2.0 / (length * np.square(window).sum()))
    bin_hz = sample_rate / length
    bins = length // 2 + 1
    low, high = (round(limit / bin_hz) for limit in BAND_LIMITS_HZ)
    to_lags, pitches = _autocorrelation(window, sample_rate)
    step = STEP_HZ / bin_hz
    edges = np.unique(np.arange(0, bins, step).astype(np.intp))
    return _Tools(
        window=window.astype(np.float32),
        bin_hz=bin_hz,
        first_bin=max(1, round(RUMBLE_HZ / bin_hz)),
        mel=_mel_bank(min(bins, high + 2), bin_hz),
        band_bins=slice(min(low, bins - 1), min(high, bins)),
        to_lags=to_lags,
        pitches=pitches,
        steps=edges,
    )


def _autocorrelation(window: Floats, sample_rate: int) -> tuple[Vectors, Vectors]:
    """The matrix from power below 4 kHz to autocorrelation, and the pitches (lags,) in octaves.

    Lags are those of 8 kHz, lag 0 first; the window's own correlation is divided out.
    """
    length = window.size
    bin_hz = sample_rate / length
    low, high = VOICE_LIMITS_HZ
    lags = np.arange(int(LAG_RATE / high), int(LAG_RATE / low) + 1) / LAG_RATE  # seconds
    bins = np.arange(min(length // 2 + 1, round(LAG_RATE / 2 / bin_hz) + 1))
    matrix = np.cos(2 * np.pi * (bins * bin_hz)[:, None] * np.concatenate([[0.0], lags]))
    matrix[: round(RUMBLE_HZ / bin_hz)] = 0
    own = np.fft.irfft(np.abs(np.fft.rfft(window, 2 * length)) ** 2)[:length]
    matrix[:, 1:] /= np.interp(lags * sample_rate, np.arange(length), own) / own[0]
    pitches = np.log2(1 / lags / low)
    return matrix.astype(np.float32), pitches.astype(np.float32)


def _mel_bank(bins: int, bin_hz: float) -> Vectors:
    """Triangles (bins, NUM_BANDS) of equal width in mel."""
    low, high = (2595 * np.log10(1 + limit / 700) for limit in BAND_LIMITS_HZ)
    corners = 700 * (10 ** (np.linspace(low, high, NUM_BANDS + 2) / 2595) - 1)
    hertz = np.arange(bins)[:, None] * bin_hz
    left, middle, right = corners[:-2], corners[1:-1], corners[2:]
    rising, falling = (hertz - left) / (middle - left), (right - hertz) / (right - middle)
    return np.asarray(np.maximum(0, np.minimum(rising, falling)), dtype=np.float32)
