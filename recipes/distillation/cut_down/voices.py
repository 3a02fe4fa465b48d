"""Crops of many voices as log filter banks, and what the teacher computes for them.

    python recipes/distillation/cut_down/voices.py CORPORA STORE SHARDS [--crops N] [--first N]
                                         [--vectors-only]

STORE is the prepared data of recipes/distillation/prepare_store.py. SHARDS becomes a folder of
files of 128 crops each, all of one length. The teacher labels any sound, so a crop need not be of a
real voice: the banks are stretched along time and along frequency, the spectrum's envelope (the
vocal tract) separately from its fine structure (the pitch), and some crops contain two speakers.
Crops come in pairs of one changed voice. In every fourth shard, noise, rooms and telephones are
applied before the teacher computes its vectors.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from banks import banks_of, centered
from conditions import Conditions
from shards import SHARD_CROPS, add_shard_options, missing_shards, write_shard
from torch import Tensor

import timbral
from timbral.data.prepared.open import open_prepared
from timbral.data.prepared.store import Store
from timbral.encoders.campplus import CampplusEncoder
from timbral.encoders.frontends import FbankConfig, KaldiFbank

TEACHER = "campplus-zh-en"
LENGTHS = (200, 280, 360)
"""lengths of crops, in frames of 10 ms"""
CORPORA = {"librispeech": 0.38, "speechocean762": 0.3, "wake-words": 0.17, "voices": 0.15}
MIXED = 0.08
"""fraction of crops with two speakers"""
CHANGED = 0.75
"""fraction of voices that are changed"""
TRACT, PITCH, TEMPO = 0.09, 0.07, 0.1
"""standard deviations of the logarithms of the factors"""
MOST = 0.25
"""largest of these logarithms"""
BEND = 1.5
"""standard deviation, in bands, of the slowest wave that bends the tract's frequencies"""
VOWELS, BREATH = 0.12, 0.25
"""standard deviations of the logarithms of `Change.vowels` and `Change.breath`"""
TEACHER_BATCH = 16
DEGRADED = 4
"""every fourth shard is degraded"""


@dataclass(frozen=True)
class Change:
    """A change of a voice: factors by which it is stretched, and others."""

    tract: float = 1.0
    pitch: float = 1.0
    tempo: float = 1.0
    bend: tuple[float, ...] = ()
    """bend of the tract's frequencies: heights, in bands, of waves of 1/2, 1, 3/2, … periods"""
    vowels: float = 1.0
    """how far the envelope moves about its mean"""
    breath: float = 1.0
    """how much the fine structure stands out"""

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Change:
        if rng.random() > CHANGED:
            return cls()
        tract, pitch, tempo = rng.normal(0.0, (TRACT, PITCH, TEMPO)).clip(-MOST, MOST)
        vowels, breath = rng.normal(0.0, (VOWELS, BREATH)).clip(-2 * MOST, 2 * MOST)
        return cls(
            math.exp(tract),
            math.exp(min(max(tract + pitch, -MOST), MOST)),
            math.exp(tempo),
            tuple(rng.normal(0.0, [BEND, BEND / 2, BEND / 3])),
            math.exp(vowels),
            math.exp(breath),
        )

    def apply(self, banks: Tensor) -> Tensor:
        """Log filter banks (F, M) changed: (F / tempo, M)."""
        if self == Change():
            return banks
        envelope = smoothed(banks)
        fine = stretched_bands(banks - envelope, self.pitch) * self.breath
        mean = envelope.mean(0)
        lively = mean + (envelope - mean) * self.vowels
        changed = stretched_bands(lively, self.tract, self.bend) + fine
        return stretched_time(changed, self.tempo)


def smoothed(banks: Tensor, reach: int = 3) -> Tensor:
    """The mean over neighboring bands, weighted by a triangle."""
    weights = 1.0 - torch.arange(-reach, reach + 1).abs() / (reach + 1)
    padded = torch.nn.functional.pad(banks[:, None], (reach, reach), mode="replicate")
    return torch.nn.functional.conv1d(padded, (weights / weights.sum())[None, None])[:, 0]


def stretched_bands(banks: Tensor, factor: float, bend: tuple[float, ...] = ()) -> Tensor:
    """Banks (F, M) of a voice whose frequencies are multiplied by `factor`, then bent."""
    count = banks.shape[1]
    low, high = (1127.0 * math.log1p(hz / 700.0) for hz in (20.0, 8000.0))
    step = (high - low) / (count + 1)
    mels = low + step * torch.arange(1, count + 1, dtype=torch.float64)
    source = 1127.0 * torch.log1p(torch.expm1(mels / 1127.0) / factor)
    bands = (source - low) / step - 1
    for number, height in enumerate(bend):
        bands += height * torch.sin(math.pi * (number + 1) * torch.arange(count) / count)
    return _between(banks.t(), bands.clamp(0, count - 1)).t()


def stretched_time(banks: Tensor, tempo: float) -> Tensor:
    frames = max(2, int((len(banks) - 1) / tempo))
    return _between(banks, (torch.arange(frames) * tempo).double())


def _between(rows: Tensor, positions: Tensor) -> Tensor:
    """Rows at fractional positions, interpolated linearly."""
    below = positions.floor().long().clamp(max=len(rows) - 2)
    fraction = (positions - below).float()[:, None]
    return rows[below] * (1 - fraction) + rows[below + 1] * fraction


class Recordings:
    """Log filter banks of a store's recordings, drawn by corpus and speaker."""

    def __init__(self, store: Store) -> None:
        self._banks = KaldiFbank(FbankConfig())
        self._store = store
        self._kept: dict[int, Tensor] = {}
        corpora = np.array(store.table["corpus"].to_pylist())
        self._speakers: dict[str, list[np.ndarray]] = {}
        long = store.samples > 16_000 * 0.6
        for corpus in CORPORA:
            mine = np.flatnonzero((corpora == corpus) & long)
            codes = store.speaker_codes[mine]
            self._speakers[corpus] = [mine[codes == code] for code in np.unique(codes)]

    def draw_speaker(self, rng: np.random.Generator) -> np.ndarray:
        """The rows of a random speaker's recordings."""
        corpus = rng.choice(list(CORPORA), p=list(CORPORA.values()))
        speakers = self._speakers[str(corpus)]
        return speakers[rng.integers(len(speakers))]

    def banks(self, row: int) -> Tensor:
        if row not in self._kept:
            self._kept[row] = banks_of(self._banks, self._store.wave(row)).half()
        return self._kept[row].float()

    def stretch(self, rows: np.ndarray, frames: int, rng: np.random.Generator) -> Tensor:
        """`frames` of a speaker, from several recordings if one is too short."""
        parts, count = [], 0
        while count < frames:
            banks = self.banks(int(rng.choice(rows)))
            start = int(rng.integers(max(1, len(banks) - (frames - count) + 1)))
            parts.append(banks[start : start + frames - count])
            count += len(parts[-1])
        return torch.cat(parts)


def changed_pair(recordings: Recordings, frames: int, rng: np.random.Generator) -> Iterator[Tensor]:
    """Two crops (F, M) of one changed voice."""
    rows, change = recordings.draw_speaker(rng), Change.draw(rng)
    for _ in range(2):
        source = recordings.stretch(rows, int(frames * change.tempo) + 3, rng)
        crop = change.apply(source)[:frames]
        if rng.random() < MIXED:
            other = recordings.stretch(recordings.draw_speaker(rng), frames, rng)
            crop = torch.logaddexp(crop, other + float(rng.uniform(-1.5, 1.5)))
        yield crop


@dataclass(frozen=True)
class Taught:
    """What the teacher computes for N crops of F frames."""

    first: Tensor
    """input of its first dense block, every 20 ms (N, F / 2, 128)"""
    blocks: list[Tensor]
    """outputs of its dense blocks, every 40, 80 and 80 ms"""
    vectors: Tensor
    """unit vectors (N, E)"""


@torch.inference_mode()
def teach(teacher: CampplusEncoder, banks: Tensor) -> Taught:
    """The teacher's computations for log filter banks (N, F, M)."""
    lengths = torch.full((len(banks),), banks.shape[1])
    seen: list[Tensor] = []
    hooks = [
        block.register_forward_hook(lambda _, inputs, output: seen.extend((inputs[0], output)))
        for block in teacher.blocks
    ]
    vectors = teacher.embed_features(centered(banks), lengths)
    for hook in hooks:
        hook.remove()
    blocks = [seen[1][:, ::2], seen[3][:, ::4], seen[5][:, ::4]]
    return Taught(seen[0], blocks, torch.nn.functional.normalize(vectors))


def labeled(
    teacher: CampplusEncoder, crops: list[Tensor], *, vectors_only: bool = False
) -> dict[str, Tensor]:
    """A shard of crops (F, M): their banks in float16, and what the teacher computes for them.

    With `vectors_only` that is without its blocks' inputs and outputs, nine tenths of the shard.
    """
    banks = torch.stack(crops)
    parts = [teach(teacher, piece) for piece in torch.split(banks, TEACHER_BATCH)]
    shard = {"banks": banks.half(), "vectors": torch.cat([piece.vectors for piece in parts])}
    if not vectors_only:
        shard["first"] = torch.cat([piece.first for piece in parts]).half()
        for number in range(3):
            shard[f"block{number}"] = torch.cat([piece.blocks[number] for piece in parts]).half()
    return {name: values.clone() for name, values in shard.items()}


def teacher_network() -> CampplusEncoder:
    network = timbral.load_encoder(TEACHER, device="cpu").runtime.network
    assert isinstance(network, CampplusEncoder)
    return network


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpora", type=Path)
    parser.add_argument("store", type=Path)
    parser.add_argument("shards", type=Path)
    add_shard_options(parser, crops=29_184)
    options = parser.parse_args()
    torch.set_num_threads(1)
    store = open_prepared(options.store)
    assert isinstance(store, Store)
    recordings, teacher = Recordings(store), teacher_network()
    conditions = Conditions.read(options.corpora, 1)
    for number, path in missing_shards(options.shards, "voices", options.first, options.crops):
        rng = np.random.default_rng(number)
        frames = LENGTHS[number % len(LENGTHS)]
        crops: list[Tensor] = []
        while len(crops) < SHARD_CROPS:
            crops += changed_pair(recordings, frames, rng)
        if number % DEGRADED == DEGRADED - 1:
            crops = list(conditions.apply(torch.stack(crops)))
        write_shard(path, labeled(teacher, crops, vectors_only=options.vectors_only))


if __name__ == "__main__":
    main()
