"""Measure how close an exported model's vectors are to those of torch."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

import numpy as np

from timbral.audio.decode import Wave
from timbral.audio.preprocessing import load
from timbral.errors import CheckpointError
from timbral.exporting.shipped_trials import ShippedTrials
from timbral.inference.exported_model import Parity
from timbral.inference.shipped_voices import VOICES
from timbral.io.types import Vectors

__all__ = [
    "check_parity",
    "measure_parity",
    "parity_waves",
    "shipped_recordings",
    "with_error_rates",
]

Embed: TypeAlias = Callable[[Sequence[Wave]], Vectors]

LEAST_COSINE = {"fp32": 0.99999, "fp16": 0.9999, "int8": 0.99, "int8-static": 0.92}
LARGEST_DIFFERENCE = {"fp32": 1e-4, "fp16": 5e-3, "int8": 0.1, "int8-static": 0.2}
LARGEST_EER_RISE = 0.005
"""largest allowed rise of the EER in int8, on the trials of the shipped voices"""
LARGEST_BATCH_DIFFERENCE = {"fp32": 1e-4, "fp16": 1e-4, "int8": 1e-4, "int8-static": 0.03}
"""more for int8-static: a batch may change a number's last bit, which then rounds differently"""
SEED = 17
LONGEST_SECONDS = 30.0
NUM_LENGTHS = 6
"""number of random lengths, besides the shortest and the longest"""


def check_parity(parity: Parity, precision: str) -> None:
    """Raise CheckpointError if vectors are not as close as a precision promises."""
    least, largest = LEAST_COSINE[precision], LARGEST_DIFFERENCE[precision]
    in_batch = LARGEST_BATCH_DIFFERENCE[precision]
    near = parity.cosine >= least and parity.max_difference <= largest
    if not (near and parity.batch_difference <= in_batch):
        raise CheckpointError(
            f"the exported model's vectors differ from those of torch: cosine {parity.cosine:.6f} "
            f"(needed {least}), largest difference {parity.max_difference:.1e} (allowed "
            f"{largest:g}), in a batch {parity.batch_difference:.1e} (allowed {in_batch:g}); "
            "nothing was written"
        )
    if parity.eer is None or parity.eer_fp32 is None:
        return
    if parity.eer > parity.eer_fp32 + LARGEST_EER_RISE:
        raise CheckpointError(
            f"with precision {precision} the encoder makes more errors: EER "
            f"{100 * parity.eer:.2f} instead of {100 * parity.eer_fp32:.2f} % on "
            f"{parity.num_trials:,} trials of the shipped voices (allowed: "
            f"{100 * LARGEST_EER_RISE:g} points more). Nothing was written; export it in fp16"
        )


def with_error_rates(
    parity: Parity, trials: ShippedTrials, reference: Embed, exported: Embed
) -> Parity:
    """Parity with the EERs of two functions, both from waves (T,) to vectors (N, E)."""
    return replace(
        parity,
        num_trials=len(trials.labels[0]),
        eer=trials.eer(exported),
        eer_fp32=trials.eer(reference),
    )


def parity_waves(min_samples: int, sample_rate: int) -> list[Wave]:
    """Shipped voices, joined and cut: the shortest allowed length, 30 s, and lengths between."""
    random = np.random.default_rng(SEED)
    recordings = shipped_recordings()
    longest = int(LONGEST_SECONDS * sample_rate)
    lengths = np.geomspace(min_samples, longest, NUM_LENGTHS + 1)
    between = [int(random.uniform(low, high)) for low, high in itertools.pairwise(lengths)]
    waves = []
    for length in (min_samples, *between, longest):
        wave = np.zeros(0, np.float32)
        while len(wave) < length:
            chosen = recordings[random.integers(len(recordings))]
            wave = np.concatenate([wave, load(chosen, sample_rate=sample_rate)])
        start = random.integers(len(wave) - length + 1)
        waves.append(wave[start : start + length])
    return waves


def shipped_recordings() -> list[Path]:
    """A fifth of the shipped voices' recordings."""
    return sorted(VOICES.glob("*/*.ogg"))[::5]


def measure_parity(
    reference: Embed,
    exported: Embed,
    waves: Sequence[Wave],
    sample_rate: int,
) -> Parity:
    """Compare the vectors (N, E) that two functions compute from prepared waves (T,)."""
    expected = np.concatenate([reference([wave]) for wave in waves])
    alone = np.concatenate([exported([wave]) for wave in waves])
    together = exported(waves)
    cosines = [*(expected * alone).sum(1), *(expected * together).sum(1)]
    return Parity(
        num_recordings=len(waves),
        seconds=round(sum(map(len, waves)) / sample_rate, 2),
        cosine=float(min(cosines)),
        max_difference=float(np.abs(expected - alone).max()),
        batch_difference=float(np.abs(together - alone).max()),
    )
