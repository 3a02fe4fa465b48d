"""Pools of speakers: how many of each corpus are in a batch, or how often it gets a batch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from timbral.data.batches.data_config import DataConfig
from timbral.errors import ConfigError
from timbral.io.types import Ints

__all__ = ["CYCLE_BATCHES", "SpeakerPool", "largest_remainder", "pool_schedule", "speaker_pools"]

CYCLE_BATCHES = 100
"""number of batches after which alternating pools repeat their order"""


@dataclass(frozen=True)
class SpeakerPool:
    """Speakers from whom every batch takes the same number, or who alternate with other pools."""

    name: str
    speakers: Ints
    speakers_per_batch: int
    batches_per_cycle: int = 0
    """how many of CYCLE_BATCHES consist of this pool only; 0: every batch has speakers of every
    pool"""


def speaker_pools(config: DataConfig, speakers: Ints, corpora: NDArray[Any]) -> list[SpeakerPool]:
    """The pools by `config`, for items with a speaker (N,) and a corpus (N,) each.

    Raises ConfigError if `corpus_weights` does not name the corpora of the data.
    """
    numbers, first_items = np.unique(speakers, return_index=True)
    corpus_of_speaker = corpora[first_items]
    names, sizes = np.unique(corpus_of_speaker, return_counts=True)
    weights = config.corpus_weights
    if weights and weights.keys() != set(names.tolist()):
        raise ConfigError(
            f"data.corpus_weights must name the corpora of the data, {', '.join(names)}; "
            f"got {weights}"
        )
    size = config.speakers_per_batch
    members = {name: numbers[corpus_of_speaker == name] for name in names.tolist()}
    if config.one_corpus_per_batch:  # without weights in proportion to the corpora's speakers
        weights = weights or dict(zip(names.tolist(), sizes.tolist(), strict=True))
        batches = largest_remainder(CYCLE_BATCHES, weights)
        return [
            SpeakerPool(name, members[name], size, count)
            for name, count in batches.items()
            if count
        ]
    if not weights:
        return [SpeakerPool("the data", numbers, size)]
    counts = largest_remainder(size, weights)
    return [SpeakerPool(name, members[name], count) for name, count in counts.items() if count]


def pool_schedule(pools: Sequence[SpeakerPool]) -> Ints:
    """The pool of each batch of a cycle (CYCLE_BATCHES,), with each pool evenly spread.

    Pool k's n batches are due at (0.5, 1.5, …) / n of the cycle; sorted, that is the order:

        A, 4 of 6    .125      .375      .625      .875
        B, 2 of 6         .250                .750
                     A    B    A         A    B    A
    """
    due = np.concatenate(
        [(np.arange(pool.batches_per_cycle) + 0.5) / pool.batches_per_cycle for pool in pools]
    )
    owners = np.repeat(np.arange(len(pools)), [pool.batches_per_cycle for pool in pools])
    schedule: Ints = owners[np.argsort(due, kind="stable")]
    return schedule


def largest_remainder(total: int, weights: Mapping[str, float]) -> dict[str, int]:
    """Whole numbers that sum to `total`, in proportion to `weights` (largest remainder method)."""
    exact = {name: total * weight / sum(weights.values()) for name, weight in weights.items()}
    counts = {name: math.floor(value) for name, value in exact.items()}
    by_remainder = sorted(exact, key=lambda name: (counts[name] - exact[name], name))
    for name in by_remainder[: total - sum(counts.values())]:
        counts[name] += 1
    return counts
