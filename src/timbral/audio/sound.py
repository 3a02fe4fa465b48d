"""An open recording: its true length, and its samples from anywhere in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import soundfile
from numpy.typing import NDArray

__all__ = ["BLOCK_SAMPLES", "Samples", "Sound", "from_libsndfile", "in_memory", "scaled_pcm"]

Samples = NDArray[np.float32]
"""(T, C), of any scale"""

BLOCK_SAMPLES = 65_536


@dataclass(frozen=True)
class Sound:
    """An open recording."""

    sample_rate: int
    channels: int
    num_samples: int
    """actual number of samples per channel"""
    stated_samples: int
    """number of samples by its header, at least `num_samples`"""
    read: Callable[[int, int], Samples]
    """(start, stop) -> samples (stop - start, C)"""


def in_memory(samples: Samples, sample_rate: int, stated_samples: int = 0) -> Sound:
    """A recording that is already decoded."""
    count = len(samples)
    stated = max(count, stated_samples)
    return Sound(
        sample_rate, samples.shape[1], count, stated, lambda start, stop: samples[start:stop]
    )


def from_libsndfile(file: soundfile.SoundFile, num_samples: int | None = None) -> Sound:
    """A recording that libsndfile reads; `num_samples` if that differs from its header.

    Codecs in which libsndfile cannot seek (GSM 6.10, G.721, G.723, NMS ADPCM) are decoded whole.
    """
    count = file.frames if num_samples is None else min(num_samples, file.frames)
    if file.seekable():
        return Sound(file.samplerate, file.channels, count, count, lambda *ends: _read(file, *ends))
    blocks = []
    while count > 0:
        block = file.read(min(count, BLOCK_SAMPLES), dtype="float32", always_2d=True)
        if not len(block):
            break
        blocks.append(block)
        count -= len(block)
    samples = np.concatenate(blocks) if blocks else np.zeros((0, file.channels), np.float32)
    return in_memory(samples, file.samplerate)


def _read(file: soundfile.SoundFile, start: int, stop: int) -> Samples:
    """16-bit audio is scaled here: libsndfile is slower at it."""
    if start:
        file.seek(start)
    if file.subtype != "PCM_16":
        floats: Samples = file.read(stop - start, dtype="float32", always_2d=True)
        return floats
    return scaled_pcm(file.read(stop - start, dtype="int16", always_2d=True))


def scaled_pcm(numbers: NDArray[np.int16]) -> Samples:
    """16-bit PCM as floats in [-1, 1]."""
    samples = numbers.astype(np.float32)
    samples *= np.float32(1 / 32_768)
    return samples
