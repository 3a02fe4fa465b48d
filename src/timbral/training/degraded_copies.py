"""Degraded copies of recordings: what fine-tuning on clean speech forgets first.

A recording gets one of several conditions, and a speaker's recordings get different ones, so that
most pairs compare two conditions. Copies are made whenever they are embedded, and need no recorded
noise or rooms: babble is speech of other speakers, and the response of a room is decaying noise.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from timbral.audio.decode import SAMPLE_RATE, Wave
from timbral.data.augment.effects import Background, Reverberation, add_background, reverberate
from timbral.data.augment.rir import fast_size
from timbral.data.augment.telephone import Telephone, apply_telephone
from timbral.data.prepared.base import PreparedData, PreparedEmbedder
from timbral.data.prepared.store import Store
from timbral.encoders.base import SpeakerEncoder
from timbral.errors import ConfigError
from timbral.io.types import Ints, Vectors

__all__ = ["CONDITIONS", "DegradedCopies"]

CONDITIONS = ("as it is", "telephone", "babble", "room", "fast and loud", "slow and quiet")
FAST, SLOW = 1.06, 0.94
"""the pitch changes as well, as it does in a raised or a tired voice"""
LOUD_PEAK, QUIET = 4.0, 0.05
"""peak of loud speech, which is clipped at 1, and factor of quiet speech"""
BABBLE_SPEAKERS, BABBLE_SNR_DB = 4, 5.0
ROOM_SECONDS = (0.3, 0.8)
"""range of the reverberation time, in which the sound falls by 60 dB; the reverberation has as much
energy as the direct sound"""
FIRST = torch.tensor([0])
"""the only row of a batch of one"""


class DegradedCopies(PreparedData):
    """A store's recordings, each in one of the `CONDITIONS`; only its `rows` can be embedded.

    Random draws depend only on the row. The speed of a recording is not changed if it would become
    shorter than `min_samples`.
    """

    def __init__(self, store: Store, rows: Ints, min_samples: int) -> None:
        super().__init__(store.folder, store.table, store.samples, store.preprocessing)
        self._store = store
        self._rows = rows
        self._min_samples = min_samples
        self._raise_level = replace(store.preprocessing, trim="none")  # silence is cut already
        codes = store.speaker_codes[rows]
        self._numbers: dict[int, int] = {}
        for code in np.unique(codes).tolist():
            own = rows[codes == code].tolist()
            self._numbers |= {row: code + number for number, row in enumerate(own)}

    def condition(self, row: int) -> str:
        """The condition of a row; the recordings of a speaker take turns."""
        return CONDITIONS[self._numbers[row] % len(CONDITIONS)]

    def wave(self, row: int) -> Wave:
        """The degraded copy of a recording (T,), at the level of the encoder's preprocessing."""
        condition, random = self.condition(row), np.random.default_rng(row)
        speed = {"fast and loud": FAST, "slow and quiet": SLOW}.get(condition, 1.0)
        if self._store.samples[row] < speed * self._min_samples + 1:
            speed = 1.0
        wave = torch.from_numpy(self._store.wave(row, speed))[None]  # (1, T)
        if condition == "telephone":
            apply_telephone(wave, Telephone(FIRST, torch.tensor([random.random() < 0.5])))
        elif condition == "babble":
            ratio = torch.tensor([10 ** (-BABBLE_SNR_DB / 20)])
            add_background(wave, Background(FIRST, self._babble(row, wave, random), ratio))
        elif condition == "room":
            reverberate(wave, _room(wave.shape[1], random))
        elif condition == "fast and loud":
            wave *= LOUD_PEAK / wave.abs().max().clamp(min=1e-6)
        elif condition == "slow and quiet":
            wave *= QUIET
        return self._raise_level(wave[0].clamp(-1, 1).numpy(), SAMPLE_RATE, SAMPLE_RATE)

    def check_encoder(self, encoder: SpeakerEncoder) -> None:
        self._store.check_encoder(encoder)

    def embed(self, embedder: PreparedEmbedder, rows: Sequence[int], speed: float = 1.0) -> Vectors:
        """Vectors (N, E) of whole copies. ConfigError for a speed: conditions have their own."""
        if speed != 1.0:
            raise ConfigError("speed cannot be changed with degraded copies")
        return embedder.encode_preprocessed([self.wave(row) for row in rows])

    def update_hash(self, digest: hashlib._Hash, row: int) -> None:
        digest.update(self.condition(row).encode())
        self._store.update_hash(digest, row)

    def _babble(self, row: int, wave: Tensor, random: np.random.Generator) -> Tensor:
        """Some other speakers at once (1, T), all at one level."""
        codes = self._store.speaker_codes
        others = random.permutation(self._rows[codes[self._rows] != codes[row]])
        babble = np.zeros(wave.shape[1], dtype=np.float32)
        for other in others[:BABBLE_SPEAKERS].tolist():
            voice = np.resize(self._store.wave(other), len(babble))
            babble += voice / max(float(np.sqrt(np.mean(np.square(voice)))), 1e-6)
        return torch.from_numpy(babble)[None]


def _room(samples: int, random: np.random.Generator) -> Reverberation:
    """An impulse response of the direct sound and decaying noise, for waves of `samples`."""
    seconds = random.uniform(*ROOM_SECONDS)
    times = np.arange(1, round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    tail = random.standard_normal(len(times)) * 10 ** (-3 * times / seconds)
    response = np.append(1.0, tail / np.sqrt(np.sum(np.square(tail)))).astype(np.float32)
    size = fast_size(samples + len(response) - 1)
    spectrum = torch.fft.rfft(torch.from_numpy(response), n=size)
    return Reverberation(FIRST, spectrum[None])
