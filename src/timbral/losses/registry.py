"""All losses by name, and the weighted sum of several.

A new loss is a file with a frozen config dataclass and a `SpeakerLoss`, and a line in `LOSSES`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor, nn

from timbral.errors import ConfigError
from timbral.losses.base import LossConfig, SpeakerLoss
from timbral.losses.contrastive import SupConLoss
from timbral.losses.distillation import DistillationLoss
from timbral.losses.ge2e import GE2ELoss
from timbral.losses.margin import AamLoss
from timbral.losses.prototypical import AngularPrototypicalLoss, PrototypicalLoss
from timbral.losses.unknown import UnknownLossConfig

__all__ = ["LOSSES", "SumConfig", "SumLoss", "build_loss"]


@dataclass(frozen=True)
class SumConfig:
    """Configs of other losses, and the weight of each."""

    terms: tuple[LossConfig, ...] = ()
    weights: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if not self.terms or len(self.terms) != len(self.weights):
            raise ConfigError(
                "loss: sum needs at least one term, and one weight for each; got "
                f"{len(self.terms)} terms and {len(self.weights)} weights"
            )


class SumLoss(SpeakerLoss):
    """Σ weight · loss."""

    name = "sum"
    config_type = SumConfig
    config: SumConfig

    @classmethod
    def build(cls, config: SumConfig, embedding_dim: int, num_speakers: int) -> Self:
        return cls(config, [build_loss(term, embedding_dim, num_speakers) for term in config.terms])

    def __init__(self, config: SumConfig, terms: Sequence[SpeakerLoss]) -> None:
        super().__init__(config)
        self.terms = nn.ModuleList(terms)
        self.has_class_weights = any(term.has_class_weights for term in terms)
        self.needs_teacher = any(term.needs_teacher for term in terms)

    def forward(self, embeddings: Tensor, speakers: Tensor) -> Tensor:
        return self.taught(embeddings, speakers, None)

    def taught(self, embeddings: Tensor, speakers: Tensor, teacher: Tensor | None) -> Tensor:
        values = [term.taught(embeddings, speakers, teacher) for term in self._terms()]
        weighted = [w * value for w, value in zip(self.config.weights, values, strict=True)]
        return torch.stack(weighted).sum()

    def at_step(self, step: int) -> None:
        for term in self._terms():
            term.at_step(step)

    def scalars(self) -> dict[str, float]:
        return {
            f"{term.name}_{key}": value
            for term in self._terms()
            for key, value in term.scalars().items()
        }

    def _terms(self) -> list[SpeakerLoss]:
        return [term for term in self.terms if isinstance(term, SpeakerLoss)]


LOSSES: dict[str, type[SpeakerLoss]] = {
    "aam": AamLoss,
    "angular-prototypical": AngularPrototypicalLoss,
    "distillation": DistillationLoss,
    "ge2e": GE2ELoss,
    "prototypical": PrototypicalLoss,
    "sum": SumLoss,
    "supcon": SupConLoss,
}


def build_loss(config: LossConfig, embedding_dim: int, num_speakers: int) -> SpeakerLoss:
    """Create a loss from a config such as GE2EConfig, for E = `embedding_dim`.

    Raises ConfigError for a config that no class in `LOSSES` takes.
    """
    if isinstance(config, UnknownLossConfig):
        raise ConfigError(
            f"timbral has no loss {config.settings.get('name')!r}; register its class first: "
            "register_loss('PATH.PY:CLASS'), or the argument loss"
        )
    for cls in LOSSES.values():
        if cls.config_type is type(config):
            return cls.build(config, embedding_dim, num_speakers)
    raise ConfigError(f"no loss in LOSSES takes a {type(config).__name__}")
