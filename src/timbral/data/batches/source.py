"""Sources of batches: crops of prepared data of any format."""

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
    """Endless batches, any of which can be computed directly."""

    @property
    def num_speakers(self) -> int:
        """Number of speakers in `Batch.speakers`."""

    def batch(self, step: int, rows: slice = slice(None)) -> Batch:
        """The batch of a step counted from 0, or those rows of it that one process trains on."""

    def batches(self, first_step: int, rows: slice = slice(None)) -> Iterator[Batch]:
        """The batches from a step on, or the same rows of each."""


CROPS: dict[type[PreparedData], Callable[[Any, Ints, DataConfig, int, Augmenter], BatchSource]] = {
    PrecomputedMels: MelCrops,
    Store: WaveCrops,
}
"""sources of batches by class of prepared data"""


def batch_source(
    data: PreparedData, rows: Ints, config: DataConfig, seed: int, augmenter: Augmenter
) -> BatchSource:
    """Batches of `rows` of prepared data; ConfigError for unsupported augmentation."""
    return CROPS[type(data)](data, rows, config, seed, augmenter)
