"""Train the student of learn.py further, on short crops and on crops in rooms, noise and codecs.

    python recipes/distillation/cut_down/harden.py CORPORA SHARDS WAVES FITTED LEARNED OUTPUT
                                         [--every N] [--rate R] [--seconds N] [--seed N]

SHARDS, FITTED and LEARNED are those of learn.py, WAVES are the shards of waves.py. Every second
batch (--every) is from WAVES: its crops are degraded (wave_conditions.py), and half of these
batches are cut to 1 to 2 s, while the student still learns the teacher's vectors of the whole clean
crops. Weights are rounded to few bits throughout. OUTPUT becomes a state like LEARNED, from which a
second call continues.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from banks import banks_of, centered
from conditions import Conditions
from few_bits import rounded_weights
from learn import BATCH, DEGRADED, EXAMPLES, Run, Student, watch
from shards import SEEDS_APART, batches, held_shards
from torch import Tensor
from wave_conditions import WaveConditions
from waves import samples_of

from timbral.encoders.campplus_small import SmallCampplusConfig, SmallCampplusEncoder
from timbral.encoders.frontends import FbankConfig, KaldiFbank

CUT = 0.5
"""fraction of the batches of WAVES that are cut"""
LENGTHS = (100, 140, 200)
"""lengths of cut crops, in frames"""
WATCH_STEPS = 50


class DegradedCrops:
    """Degrades batches of crops, at random."""

    def __init__(self, conditions: WaveConditions, seed: int) -> None:
        self._conditions, self._fbank = conditions, KaldiFbank(FbankConfig())
        self._rng = np.random.default_rng(seed)

    def features(self, pcm: Tensor) -> tuple[Tensor, bool]:
        """The features (N, F, M) of crops (N, T) in 16-bit PCM, and whether they are cut."""
        waves = pcm.numpy() / 32_768
        cut = self._rng.random() < CUT
        size = samples_of(int(self._rng.choice(LENGTHS))) if cut else waves.shape[1]
        banks = []
        for wave in waves:
            start = int(self._rng.integers(len(wave) - size + 1))
            degraded = self._conditions.apply(wave[start : start + size], self._rng)
            banks.append(banks_of(self._fbank, degraded))
        return centered(torch.stack(banks)), cut


def train(run: Run, corpora: Path, shards: Path, waves: Path, every: int, seed: int) -> None:
    """Continue a run until its time is over; `every` so many batches one is from `waves`."""
    seed += run.step
    on_banks = Conditions.read(corpora, seed)
    degraded_crops = DegradedCrops(WaveConditions.read(corpora), seed)
    plain_batches = batches(shards, BATCH, seed)
    wave_batches = batches(waves, BATCH, seed, "waves")
    held = held_shards(waves)
    means: dict[str, float] = {}
    while run.spent < run.seconds:
        began = time.monotonic()
        if run.step % every == 1:
            kind, batch = "degraded ", next(wave_batches)
            features, cut = degraded_crops.features(batch.values["waves"])
            losses = run.take(batch, features, in_bits=True, with_blocks=not cut)
        else:
            kind, batch = "", next(plain_batches)
            changed = on_banks.apply(batch.banks) if run.step % DEGRADED == 0 else None
            losses = run.take(batch, changed, in_bits=True)
        for name, value in losses.items():
            means[kind + name] = 0.96 * means.get(kind + name, value) + 0.04 * value
        run.spent += time.monotonic() - began
        if run.step % WATCH_STEPS == 0:
            run.save()
            told = ", ".join(f"{name} {value:.3f}" for name, value in means.items())
            with rounded_weights(run.averaged):
                of_held = watch(run.averaged, held)
            print(f"{run.step} ({run.spent:.0f} s): {told}; {of_held}", flush=True)
    run.save()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("corpora", "shards", "waves", "fitted", "learned", "output"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--every", type=int, default=2)
    parser.add_argument("--rate", type=float, default=1e-4, help="the highest")
    parser.add_argument("--seconds", type=float, default=2700.0)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    seed = SEEDS_APART * options.seed
    torch.set_num_threads(1)
    network = SmallCampplusEncoder(SmallCampplusConfig())
    network.load_state_dict(torch.load(options.learned, weights_only=True)["averaged"])
    student = Student(network, torch.load(options.fitted, weights_only=True)["channels"])
    student.front_learns = True
    degraded_crops = DegradedCrops(WaveConditions.read(options.corpora), seed)
    drawn = batches(options.waves, BATCH, seed, "waves")
    examples = [degraded_crops.features(next(drawn).values["waves"])[0] for _ in range(EXAMPLES)]
    run = Run(student, options.output, options.seconds, examples, options.rate)
    train(run, options.corpora, options.shards, options.waves, options.every, seed)


if __name__ == "__main__":
    main()
