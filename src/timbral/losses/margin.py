"""Additive angular margin softmax over the training speakers.

Deng et al., ArcFace: Additive Angular Margin Loss for Deep Face Recognition, CVPR 2019; for
sub-centers: Deng et al., Sub-center ArcFace, ECCV 2020.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from timbral.errors import check_ranges
from timbral.losses.base import SpeakerLoss, unit_vectors

__all__ = ["AamConfig", "AamLoss"]


@dataclass(frozen=True)
class AamConfig:
    """Scale s, margin m in radians, and the steps over which the margin rises from 0 to m."""

    scale: float = 32.0
    margin: float = 0.2
    sub_centers: int = 1
    """class weights per speaker, of which the nearest counts; 3 tolerates noisy labels"""
    margin_warmup_start: int = 0
    """up to this step the margin is 0; it then rises linearly"""
    margin_warmup_end: int = 0
    """from this step on, the margin is m"""

    def __post_init__(self) -> None:
        check_ranges(
            self,
            "loss",
            scale=(1e-6, 1e6),
            margin=(0.0, math.pi / 2),
            sub_centers=(1, 1000),
            margin_warmup_start=(0, math.inf),
            margin_warmup_end=(self.margin_warmup_start, math.inf),
        )


class AamLoss(SpeakerLoss):
    """Cross-entropy over s·cos θ, with s·cos(θ + m) for the own speaker (equation 3 of ArcFace).

    Beyond θ = π - m, where cos(θ + m) would rise again, it is replaced by cos θ - m sin m, which
    keeps falling, as in the authors' code.
    """

    name = "aam"
    config_type = AamConfig
    config: AamConfig
    has_class_weights = True

    @classmethod
    def build(cls, config: AamConfig, embedding_dim: int, num_speakers: int) -> Self:
        return cls(config, embedding_dim, num_speakers)

    def __init__(self, config: AamConfig, embedding_dim: int, num_speakers: int) -> None:
        super().__init__(config)
        self.margin = config.margin
        self.centers = nn.Parameter(torch.empty(num_speakers, config.sub_centers, embedding_dim))
        nn.init.normal_(self.centers, std=0.05)  # only directions count

    def at_step(self, step: int) -> None:
        start, end = self.config.margin_warmup_start, self.config.margin_warmup_end
        if step >= end:
            self.margin = self.config.margin
        elif step <= start:
            self.margin = 0.0
        else:
            self.margin = (step - start) / (end - start) * self.config.margin

    def forward(self, embeddings: Tensor, speakers: Tensor) -> Tensor:
        with torch.autocast(embeddings.device.type, enabled=False):
            unit = unit_vectors(embeddings)
            centers = functional.normalize(self.centers, dim=2).flatten(0, 1)
            cosines = (unit @ centers.T).view(len(unit), *self.centers.shape[:2]).amax(dim=2)
            target_cosines = cosines.gather(1, speakers[:, None])
            logits = cosines.scatter(1, speakers[:, None], self._with_margin(target_cosines))
            return functional.cross_entropy(self.config.scale * logits, speakers)

    def _with_margin(self, cosine: Tensor) -> Tensor:
        sine = (1 - cosine.square()).clamp(min=1e-12).sqrt()
        with_margin = cosine * math.cos(self.margin) - sine * math.sin(self.margin)
        beyond = cosine - self.margin * math.sin(self.margin)
        return torch.where(cosine > -math.cos(self.margin), with_margin, beyond)

    def scalars(self) -> dict[str, float]:
        return {"margin": self.margin}
