"""Augmentation in items per second: timbral and audiomentations, alternating in one process.

    pip install audiomentations     # into an environment that has timbral
    python benchmarks/augment.py --noise DIR --rirs DIR --speech DIR

Each item is a crop of 3 seconds, to which an RIR, noise at 5 to 20 dB and a gain are always
applied. Both start from float32 crops in memory, 64 at a time, and both draw and read the
recordings within the measured time. All files are read once before, so that the page cache
contains them.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from timbral.audio.preprocessing import load
from timbral.data.augment.augment_config import (
    AugmentConfig,
    BackgroundConfig,
    GainConfig,
    RirConfig,
)
from timbral.data.augment.plan import Augmenter
from timbral.data.corpora.corpus_files import audio_files
from timbral.io.devices import tune_cpu

ITEMS, SECONDS, RATE = 64, 3, 16_000


def speech(folder: Path) -> np.ndarray:
    """64 crops of 3 seconds (B, T)."""
    crops = []
    for path in audio_files(folder):
        wave = load(path)
        if len(wave) >= SECONDS * RATE:
            crops.append(wave[: SECONDS * RATE])
        if len(crops) == ITEMS:
            return np.stack(crops)
    raise SystemExit(f"{folder}: {ITEMS} recordings of {SECONDS} s or more are needed")


def timbral(waves: np.ndarray, noise: str, rirs: str) -> Callable[[int], None]:
    config = AugmentConfig(
        noise=BackgroundConfig(1.0, (noise,), (5.0, 20.0)),
        rir=RirConfig(1.0, (rirs,)),
        gain=GainConfig(1.0, (-10.0, 6.0)),
    )
    augmenter = Augmenter(config, 0, Path(tempfile.mkdtemp()))
    batch, speakers = torch.from_numpy(waves), np.arange(ITEMS)

    def no_babble(speaker: int, offset: float) -> NDArray[np.int16]:
        raise AssertionError("this config has no babble")

    def run(step: int) -> None:
        plan = augmenter.plan(step, speakers, slice(None), waves.shape[1], no_babble)
        plan.apply(batch)

    return run


def audiomentations(waves: np.ndarray, noise: str, rirs: str) -> Callable[[int], None]:
    from audiomentations import AddBackgroundNoise, ApplyImpulseResponse, Compose, Gain

    chain = Compose(
        [
            ApplyImpulseResponse(rirs, p=1.0),
            AddBackgroundNoise(noise, min_snr_db=5.0, max_snr_db=20.0, p=1.0),
            Gain(-10.0, 6.0, p=1.0),
        ]
    )

    def run(step: int) -> None:
        for wave in waves:
            chain(wave, sample_rate=RATE)

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("noise", "rirs", "speech"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    tune_cpu()  # as every training does
    warnings.simplefilter("ignore")
    waves = speech(options.speech)
    contenders = {
        make.__name__: make(waves, str(options.noise), str(options.rirs))
        for make in (audiomentations, timbral)
    }
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for step in range(-1, options.rounds):
        for name, run in contenders.items():
            started = time.perf_counter()
            run(step + 1)
            if step >= 0:  # the first repetition reads the files
                seconds[name].append(time.perf_counter() - started)
    speed = {name: ITEMS / statistics.median(values) for name, values in seconds.items()}
    print(f"audiomentations {speed['audiomentations']:,.0f} items/s")
    print(f"timbral         {speed['timbral']:,.0f} items/s on {options.threads} thread(s)")
    print(f"ratio           {speed['timbral'] / speed['audiomentations']:.2f}")


if __name__ == "__main__":
    main()
