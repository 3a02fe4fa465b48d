"""Prototypical losses (Chung et al., In defence of metric learning for speaker recognition, 2020).

The last utterance of each speaker in the batch is the query; the mean of the others is the
speaker's prototype.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from timbral.losses.base import (
    ScaledCosinesLoss,
    SpeakerLoss,
    check_initial_values,
    group_by_speaker,
    unit_vectors,
)

__all__ = [
    "AngularPrototypicalConfig",
    "AngularPrototypicalLoss",
    "PrototypicalConfig",
    "PrototypicalLoss",
]


@dataclass(frozen=True)
class PrototypicalConfig:
    """The plain prototypical loss has no settings."""


@dataclass(frozen=True)
class AngularPrototypicalConfig:
    """Initial values of w and b."""

    init_weight: float = 10.0
    init_bias: float = -5.0

    def __post_init__(self) -> None:
        check_initial_values(self)


def _queries_and_prototypes(embeddings: Tensor, speakers: Tensor) -> tuple[Tensor, Tensor]:
    """Embeddings (B, E) -> queries (S, E), prototypes (S, E), in float32 or wider."""
    dtype = torch.promote_types(embeddings.dtype, torch.float32)
    grouped = group_by_speaker(embeddings.to(dtype), speakers)  # (S, U, E)
    return grouped[:, -1], grouped[:, :-1].mean(dim=1)


class PrototypicalLoss(SpeakerLoss):
    """Cross-entropy over negative squared distances of queries to prototypes (Snell et al. 2017).

    Equations 4 and 5 of Chung et al.
    """

    name = "prototypical"
    config_type = PrototypicalConfig

    def forward(self, embeddings: Tensor, speakers: Tensor) -> Tensor:
        with torch.autocast(embeddings.device.type, enabled=False):
            queries, prototypes = _queries_and_prototypes(embeddings, speakers)
            # -|q - p|² without its |q|², which is constant in a row and cancels in the softmax
            logits = 2 * queries @ prototypes.T - prototypes.square().sum(dim=1)
            return functional.cross_entropy(logits, torch.arange(len(logits), device=logits.device))


class AngularPrototypicalLoss(ScaledCosinesLoss):
    """Cross-entropy over w·cos + b of queries and prototypes, w > 0.

    Equations 8 and 9 of Chung et al.
    """

    name = "angular-prototypical"
    config_type = AngularPrototypicalConfig

    def forward(self, embeddings: Tensor, speakers: Tensor) -> Tensor:
        with torch.autocast(embeddings.device.type, enabled=False):
            queries, prototypes = _queries_and_prototypes(embeddings, speakers)
            cosines = unit_vectors(queries) @ unit_vectors(prototypes).T  # (S, S)
            logits = self.scaled(cosines)
            return functional.cross_entropy(logits, torch.arange(len(logits), device=logits.device))
