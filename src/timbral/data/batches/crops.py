"""Crops of prepared data of any format."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from timbral.data.augment.plan import Augmenter
from timbral.data.batches.batch import Batch
from timbral.data.batches.data_config import DataConfig
from timbral.data.batches.mel_crops import MelCrops
from timbral.data.batches.source import BatchSource
from timbral.data.batches.wave_crops import WaveCrops
from timbral.data.prepared.base import PreparedData
from timbral.data.prepared.mels import PrecomputedMels
from timbral.data.prepared.store import Store
from timbral.io.types import Ints

__all__ = ["crops_of"]

CROPS: dict[
    type[PreparedData], Callable[[Any, Ints, DataConfig, int, Augmenter], BatchSource[Batch]]
] = {
    PrecomputedMels: MelCrops,
    Store: WaveCrops,
}
"""crops by class of prepared data"""


def crops_of(
    data: PreparedData, rows: Ints, config: DataConfig, seed: int, augmenter: Augmenter
) -> BatchSource[Batch]:
    """Batches of crops of `rows` of prepared data; ConfigError for unsupported augmentation."""
    return CROPS[type(data)](data, rows, config, seed, augmenter)
