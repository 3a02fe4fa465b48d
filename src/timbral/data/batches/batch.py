"""A batch of waves or of mels, for a training step."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from timbral.data.augment.effects import FeatureMasks, mask_features
from timbral.data.augment.plan import AugmentPlan
from timbral.data.tensors import split_rows, to_device
from timbral.encoders.base import SpeakerEncoder

__all__ = ["Batch", "MelBatch", "WaveBatch"]


@dataclass(frozen=True, kw_only=True)
class Batch(ABC):
    """B utterances, or those of them that one process embeds."""

    speakers: Tensor
    """number of each utterance's speaker, counted from 0 (B,)"""
    rows: Tensor
    """each utterance's row of the prepared data (B,)"""
    speeds: Tensor | None = None
    """index of each utterance's speed in the augmentation's list (B,); None: all the first"""
    teacher: Tensor | None = None
    """a teacher's vector of each utterance (B, E); None without a teacher"""

    def __len__(self) -> int:
        return len(self.rows)

    def to(self, device: torch.device) -> Self:
        """The same batch on a device."""
        return to_device(self, device)

    def augmented(self) -> Self:
        """The batch with its augmentation applied, on its device."""
        return self

    @abstractmethod
    def features(self, encoder: SpeakerEncoder) -> tuple[Tensor, Tensor]:
        """The arguments of `encoder.embed_features`: features (B, F, M), frame lengths (B,)."""

    def split(self, count: int) -> list[Self]:
        """The rows of an augmented batch, split into `count` batches of nearly equal sizes."""
        return split_rows(self, count)


@dataclass(frozen=True, kw_only=True)
class WaveBatch(Batch):
    """Waves (B, T), zero after their lengths."""

    waves: Tensor
    lengths: Tensor
    """in samples (B,)"""
    masks: FeatureMasks | None = None
    """SpecAugment of the features that an encoder computes from the waves"""
    plan: AugmentPlan | None = None
    """augmentation that is still to be applied to the waves"""

    def augmented(self) -> Self:
        waves = self.waves if self.plan is None else self.plan.apply(self.waves)
        return replace(self, waves=waves, plan=None)

    def features(self, encoder: SpeakerEncoder) -> tuple[Tensor, Tensor]:
        features, frame_lengths = encoder.features(self.waves, self.lengths)
        if self.masks is not None:
            features = mask_features(features, frame_lengths, self.masks)
        return features, frame_lengths

    def split(self, count: int) -> list[Self]:
        assert self.plan is None, "a plan's rows are those of the whole batch: call augmented()"
        return super().split(count)


@dataclass(frozen=True, kw_only=True)
class MelBatch(Batch):
    """Precomputed mels (B, F, M), which an encoder takes in place of its own features."""

    mels: Tensor
    frame_lengths: Tensor
    """(B,)"""

    def features(self, encoder: SpeakerEncoder) -> tuple[Tensor, Tensor]:
        return self.mels, self.frame_lengths
