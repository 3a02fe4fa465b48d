"""Supervised contrastive loss (Khosla et al., Supervised Contrastive Learning, NeurIPS 2020)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from timbral.errors import TrainingError, check_ranges
from timbral.losses.base import SpeakerLoss, unit_vectors

__all__ = ["SupConConfig", "SupConLoss"]


@dataclass(frozen=True)
class SupConConfig:
    """The temperature τ."""

    temperature: float = 0.1

    def __post_init__(self) -> None:
        check_ranges(self, "loss", temperature=(1e-3, 1e3))


class SupConLoss(SpeakerLoss):
    """Equation 2 (L_out), averaged over the batch instead of summed.

    Each utterance z is the anchor once. Its loss is the negative mean, over its speaker's other
    utterances z_p, of the log-softmax of z·z_p / τ over all other utterances of the batch.
    Raises TrainingError if a speaker has one utterance only.
    """

    name = "supcon"
    config_type = SupConConfig
    config: SupConConfig

    def forward(self, embeddings: Tensor, speakers: Tensor) -> Tensor:
        with torch.autocast(embeddings.device.type, enabled=False):
            unit = unit_vectors(embeddings)
            logits = unit @ unit.T / self.config.temperature  # (B, B)
            itself = torch.eye(len(unit), dtype=torch.bool, device=unit.device)
            positives = (speakers[:, None] == speakers) & ~itself
            counts = positives.sum(dim=1)
            if bool((counts == 0).any()):
                raise TrainingError("supcon needs two or more utterances of each speaker")
            log_softmax = functional.log_softmax(logits.masked_fill(itself, -torch.inf), dim=1)
            return -(log_softmax.masked_fill(~positives, 0.0).sum(dim=1) / counts).mean()
