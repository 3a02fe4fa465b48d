"""Losses over one batch: ``loss(embeddings (B, E), speakers (B,)) -> ()``."""

from __future__ import annotations

from timbral.losses.ge2e import GE2EConfig, GE2ELoss

__all__ = ["LOSSES", "GE2EConfig", "GE2ELoss"]

LOSSES: dict[str, type[GE2ELoss]] = {
    "ge2e": GE2ELoss,
}
