"""Degrade log filter banks: rooms, noise, other speakers, telephones and codecs.

All of these change the banks' power. Effects that are the same in every frame are left out, because
the student subtracts each band's mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from banks import banks_of, centered
from torch import Tensor

from timbral.audio.decode import decode, resample
from timbral.encoders.frontends import FbankConfig, KaldiFbank

__all__ = ["Conditions"]

ROOM, NOISE, BABBLE, TELEPHONE, FLOOR = 0.3, 0.5, 0.12, 0.15, 0.15
"""probability of each condition"""
ROOM_FRAMES = 40
NOISE_FILES = ("mycroft", "speech-commands-background")
"""the folders of CORPORA/noise that recipes/calibration does not test with"""
RATE = 16_000


class Conditions:
    """Changes of batches of log filter banks (B, F, M), frames every 10 ms."""

    def __init__(self, noise: Sequence[Tensor], seed: int) -> None:
        """`noise` are log filter banks (F, M) of recordings."""
        self._noise = [banks for banks in noise if len(banks) > 1]
        self._generator = torch.Generator().manual_seed(seed)

    @classmethod
    def read(cls, corpora: Path, seed: int) -> Conditions:
        fbank, found = KaldiFbank(FbankConfig()), []
        for folder in NOISE_FILES:
            for path in sorted((corpora / "noise" / folder).glob("*.flac")):
                wave, rate = decode(path)
                found.append(banks_of(fbank, resample(wave, rate, RATE)))
        return cls(found, seed)

    def apply(self, banks: Tensor) -> Tensor:
        """Crops in random conditions, then centered."""
        changed = self._room(banks)
        if len(banks) > 1:
            changed = self._mixed(changed, banks.roll(1, 0), BABBLE, (1.5, 5.0))
        noise = torch.stack([self._noise_of(banks.shape[1]) for _ in banks])
        changed = self._mixed(changed, noise, NOISE, (-0.5, 6.0))
        return centered(self._floor(self._telephone(changed)))

    def _uniform(self, count: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        drawn = torch.rand(count, generator=self._generator)
        return (low + (high - low) * drawn)[:, None, None]

    def _met(self, count: int, fraction: float) -> Tensor:
        return self._uniform(count) < fraction

    def _room(self, banks: Tensor) -> Tensor:
        """Reverberation: power that decays after every frame, by 60 dB in 0.15 to 1 s."""
        count = len(banks)
        decay = 13.8 * 0.01 / self._uniform(count, 0.15, 1.0)
        tail = torch.exp(-decay * torch.arange(ROOM_FRAMES)) * decay
        tail = tail * torch.exp(self._uniform(count, -3.0, 1.0))
        tail[:, :, 0] += 1.0
        power = torch.nn.functional.pad(banks.exp().transpose(1, 2), (ROOM_FRAMES - 1, 0))
        changed = torch.nn.functional.conv1d(
            power.transpose(0, 1), tail.flip(2), groups=count
        )  # bands are its batch, crops its groups
        changed = changed.permute(1, 2, 0).log()
        return torch.where(self._met(count, ROOM), changed, banks)

    def _mixed(
        self, banks: Tensor, other: Tensor, fraction: float, ratio: tuple[float, float]
    ) -> Tensor:
        """Mixed with another sound, with less mean power by `ratio` (range, nepers of power)."""
        count = len(banks)
        level, other_level = (
            values.exp().sum(2).mean(1).log()[:, None, None] for values in (banks, other)
        )
        other = other - other_level + level - self._uniform(count, *ratio)
        return torch.where(self._met(count, fraction), torch.logaddexp(banks, other), banks)

    def _noise_of(self, frames: int) -> Tensor:
        pick = int(torch.randint(len(self._noise), (1,), generator=self._generator))
        banks = self._noise[pick]
        start = int(torch.randint(len(banks), (1,), generator=self._generator))
        rows = (start + torch.arange(frames)) % len(banks)
        return banks[rows]

    def _telephone(self, banks: Tensor) -> Tensor:
        """A telephone line: little power below 300 Hz and above 3.4 kHz."""
        bands = torch.arange(banks.shape[2])
        outside = (bands < 10) | (bands > 54)
        least = banks.amax((1, 2), keepdim=True) - self._uniform(len(banks), 8.0, 12.0)
        weak = torch.where(outside, banks - self._uniform(len(banks), 4.0, 9.0), banks)
        return torch.where(self._met(len(banks), TELEPHONE), torch.maximum(weak, least), banks)

    def _floor(self, banks: Tensor) -> Tensor:
        """Weak power is lost, as in codecs."""
        least = banks.amax((1, 2), keepdim=True) - self._uniform(len(banks), 6.0, 11.0)
        return torch.where(self._met(len(banks), FLOOR), torch.maximum(banks, least), banks)
