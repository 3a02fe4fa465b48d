"""Where batches come from: crops of prepared data, of whichever format it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol

from timbral.data.augment.plan import Augmenter
from timbral.data.batches.batch import Batch
from timbral.data.batches.data_config import DataConfig
from timbral.data.batches.mel_crops import MelCrops
from timbral.data.batches.wave_crops import WaveCrops
from timbral.data.prepared.base import PreparedData
from timbral.data.prepared.mels import PrecomputedMels
from timbral.data.prepared.store import Store
from timbral.io.types import Ints

__all__ = ["BatchSource", "batch_source"]


class BatchSource(Protocol):
    """Endless batches, of which any can be asked for at once."""

    @property
    def num_speakers(self) -> int:
        """How many speakers `Batch.speakers` tells apart."""

    def batch(self, step: int, rows: slice = slice(None)) -> Batch:
        """The batch of a step counted from 0, or those rows of it that one process trains on."""

    def batches(self, first_step: int, rows: slice = slice(None)) -> Iterator[Batch]:
        """The batches from a step on, or the same rows of each."""


CROPS: dict[type[PreparedData], Callable[[Any, Ints, DataConfig, int, Augmenter], BatchSource]] = {
    PrecomputedMels: MelCrops,
    Store: WaveCrops,
}
"""what draws batches, by the class of prepared data that it takes"""


def batch_source(
    data: PreparedData, rows: Ints, config: DataConfig, seed: int, augmenter: Augmenter
) -> BatchSource:
    """Batches of `rows` of prepared data. ConfigError for augmentation that it cannot have."""
    return CROPS[type(data)](data, rows, config, seed, augmenter)
