"""A weighted sum of losses over the same embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from timbral.errors import ConfigError
from timbral.losses.base import SpeakerLoss

__all__ = ["SumConfig", "SumLoss"]


@dataclass(frozen=True)
class SumConfig:
    """Configs of other losses, and a weight for each."""

    terms: tuple[Any, ...] = ()
    weights: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if not self.terms or len(self.terms) != len(self.weights):
            raise ConfigError(
                "loss: sum needs terms and as many weights; got "
                f"{len(self.terms)} terms and {len(self.weights)} weights"
            )


class SumLoss(SpeakerLoss):
    """Σ weight · loss, of losses that are built already."""

    name = "sum"
    config_type = SumConfig

    def __init__(self, terms: Sequence[SpeakerLoss], weights: Sequence[float]) -> None:
        super().__init__()
        self.terms = nn.ModuleList(terms)
        self.weights = tuple(weights)
        self.knows_speakers = any(term.knows_speakers for term in terms)

    def forward(self, embeddings: Tensor, speakers: Tensor) -> Tensor:
        values = [term(embeddings, speakers) for term in self.terms]
        return torch.stack([w * v for w, v in zip(self.weights, values, strict=True)]).sum()

    def at_step(self, step: int) -> None:
        for term in self.terms:
            assert isinstance(term, SpeakerLoss)
            term.at_step(step)

    def scalars(self) -> dict[str, float]:
        found: dict[str, float] = {}
        for term in self.terms:
            assert isinstance(term, SpeakerLoss)
            found |= {f"{term.name}_{key}": value for key, value in term.scalars().items()}
        return found
