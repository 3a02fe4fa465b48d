"""Room impulse responses (RIR), as spectra that speech is multiplied with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np
import torch
from torch import Tensor

from timbral.audio.decode import SAMPLE_RATE, Wave
from timbral.data.augment.sound_files import Recordings
from timbral.io.types import Floats, Ints

__all__ = ["RoomImpulseResponses", "fast_size", "trim_response"]

MAX_RESPONSE_SECONDS = 1.0  # later reflections cost more than they matter
MAX_CACHED_BYTES = 2**28  # above this, spectra are computed when they are used


class RoomImpulseResponses:
    """The responses of some folders, ready for convolution by FFT."""

    def __init__(self, recordings: Recordings) -> None:
        self.recordings = recordings
        self.max_samples = max(len(recordings.wave(index)) for index in range(len(recordings)))
        self._cached: dict[int, Tensor] = {}

    @classmethod
    def open(cls, section: str, paths: Sequence[str], cache: Path) -> Self:
        """Like `Recordings.open`, for responses, which are cut to begin with the direct sound."""
        return cls(Recordings.open(section, paths, cache, trim=trim_response))

    def spectra(self, choices: Floats, samples: int) -> Tensor:
        """Spectra (n, N / 2 + 1) for speech of `samples`; choices (n,) of responses in [0, 1).

        N is `fast_size`, long enough that the convolution does not wrap around.
        """
        size = fast_size(samples + self.max_samples - 1)
        indices = (choices * len(self.recordings)).astype(np.int64)
        if 4 * size * len(self.recordings) > MAX_CACHED_BYTES:
            return self._transform(indices, size)
        if size not in self._cached:
            self._cached[size] = self._transform(np.arange(len(self.recordings)), size)
        return self._cached[size][torch.from_numpy(indices)]

    def _transform(self, indices: Ints, size: int) -> Tensor:
        responses = torch.zeros(max(2, len(indices)), size)  # MKL rounds single rows otherwise
        for response, index in zip(responses, indices, strict=False):
            pcm = self.recordings.wave(int(index))
            response[: len(pcm)] = torch.from_numpy(pcm.astype(np.float32))
        spectra: Tensor = torch.fft.rfft(responses / 32_768.0)[: len(indices)]
        return spectra


def fast_size(least: int) -> int:
    """The smallest even size that is at least `least` and has no prime factor above 5."""
    best = 1 << (least - 1).bit_length()
    five = 2
    while five < best:
        three = five
        while three < best:
            twos = (-(-least // three) - 1).bit_length()
            best = min(best, three << twos)
            three *= 3
        five *= 5
    return best


def trim_response(wave: Wave) -> Wave:
    """A response (T,) from the direct sound on, so that there is no delay, with peak 1.

    It is cut where less than a ten-thousandth of the energy follows, and after a second.
    """
    response = wave[int(np.abs(wave).argmax()) :][: round(MAX_RESPONSE_SECONDS * SAMPLE_RATE)]
    response = response / np.abs(response[0])
    remaining = np.cumsum(np.square(response[::-1], dtype=np.float64))[::-1]
    return np.asarray(response[: int((remaining >= 1e-4 * remaining[0]).sum())], dtype=np.float32)
