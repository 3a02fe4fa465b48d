"""Crops of recordings as samples, and what the teacher computes for them.

    python recipes/distillation/cut_down/waves.py STORE SHARDS [--crops N] [--first N]
                                        [--vectors-only]

STORE is the prepared data of recipes/distillation/prepare_store.py. SHARDS becomes a folder of
files waves-NUMBER.pt like those of voices.py, with `waves` in 16-bit PCM besides, so that harden.py
can degrade the samples while the student learns what the teacher computes for the clean crop. Crops
come in pairs of one speaker; half of the pairs are played faster or slower, which makes other
voices.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import soxr
import torch
from banks import banks_of
from shards import SHARD_CROPS, add_shard_options, missing_shards, write_shard
from voices import LENGTHS, Recordings, labeled, teacher_network

from timbral.audio.decode import Wave
from timbral.data.prepared.open import open_prepared
from timbral.data.prepared.store import Store
from timbral.encoders.frontends import FbankConfig, KaldiFbank

RATE = 16_000
SHIFT, WINDOW = 160, 400
"""samples from one frame to the next, and in a frame"""
CHANGED = 0.5
"""fraction of pairs that are played at another speed"""
SPEEDS = (0.85, 1.18)


def samples_of(frames: int) -> int:
    return WINDOW + SHIFT * (frames - 1)


def crop_of(store: Store, rows: np.ndarray, size: int, rng: np.random.Generator) -> Wave:
    """Samples (size,) of a speaker, from several recordings if one is too short."""
    parts: list[Wave] = []
    while (missing := size - sum(map(len, parts))) > 0:
        wave = store.wave(int(rng.choice(rows)))
        start = int(rng.integers(max(1, len(wave) - missing + 1)))
        parts.append(np.asarray(wave[start : start + missing], dtype=np.float32))
    return np.concatenate(parts)


def pair_of(store: Store, rows: np.ndarray, size: int, rng: np.random.Generator) -> list[Wave]:
    """Two crops of a speaker, both at one speed."""
    speed = float(rng.uniform(*SPEEDS)) if rng.random() < CHANGED else 1.0
    crops = [crop_of(store, rows, int(size * speed) + SHIFT, rng) for _ in range(2)]
    return [
        np.asarray(soxr.resample(crop, RATE * speed, RATE), dtype=np.float32)[:size]
        if speed != 1.0
        else crop[:size]
        for crop in crops
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("store", type=Path)
    parser.add_argument("shards", type=Path)
    add_shard_options(parser, crops=8_192)
    options = parser.parse_args()
    torch.set_num_threads(1)
    store = open_prepared(options.store)
    assert isinstance(store, Store)
    recordings, teacher = Recordings(store), teacher_network()
    fbank = KaldiFbank(FbankConfig())
    for number, path in missing_shards(options.shards, "waves", options.first, options.crops):
        rng = np.random.default_rng([number, 1])
        size = samples_of(LENGTHS[number % len(LENGTHS)])
        waves: list[Wave] = []
        while len(waves) < SHARD_CROPS:
            waves += pair_of(store, recordings.draw_speaker(rng), size, rng)
        pcm = np.stack([np.round(wave * 32_767).clip(-32_768, 32_767) for wave in waves])
        banks = [banks_of(fbank, row / 32_768) for row in pcm]
        shard = labeled(teacher, banks, vectors_only=options.vectors_only)
        shard["waves"] = torch.from_numpy(pcm.astype(np.int16))
        write_shard(path, shard)


if __name__ == "__main__":
    main()
