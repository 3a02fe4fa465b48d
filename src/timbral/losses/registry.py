"""Losses over one batch. A new one is a file with a config and a class, and a line in `LOSSES`."""

from __future__ import annotations

from typing import Any

from timbral.losses.base import SpeakerLoss
from timbral.losses.contrastive import SupConConfig, SupConLoss
from timbral.losses.ge2e import GE2EConfig, GE2ELoss
from timbral.losses.margin import AamConfig, AamLoss
from timbral.losses.prototypical import (
    AngularPrototypicalConfig,
    AngularPrototypicalLoss,
    PrototypicalConfig,
    PrototypicalLoss,
)
from timbral.losses.weighted import SumConfig, SumLoss

__all__ = [
    "LOSSES",
    "AamConfig",
    "AamLoss",
    "AngularPrototypicalConfig",
    "AngularPrototypicalLoss",
    "GE2EConfig",
    "GE2ELoss",
    "PrototypicalConfig",
    "PrototypicalLoss",
    "SpeakerLoss",
    "SumConfig",
    "SumLoss",
    "SupConConfig",
    "SupConLoss",
    "build_loss",
]

LOSSES: dict[str, type[SpeakerLoss]] = {
    "aam": AamLoss,
    "angular-prototypical": AngularPrototypicalLoss,
    "ge2e": GE2ELoss,
    "prototypical": PrototypicalLoss,
    "sum": SumLoss,
    "supcon": SupConLoss,
}


def build_loss(config: Any, embedding_dim: int, num_speakers: int) -> SpeakerLoss:
    """The loss of a config such as GE2EConfig, for E and a number of training speakers."""
    if isinstance(config, SumConfig):
        terms = [build_loss(term, embedding_dim, num_speakers) for term in config.terms]
        return SumLoss(terms, config.weights)
    if isinstance(config, AamConfig):
        return AamLoss(config, embedding_dim, num_speakers)
    cls: Any = next(cls for cls in LOSSES.values() if cls.config_type is type(config))
    loss: SpeakerLoss = cls(config)
    return loss
