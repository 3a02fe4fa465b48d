"""The list of encoders: architectures to train, and published weights."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from timbral.checkpoints.download import downloaded_folder
from timbral.checkpoints.published import PUBLISHED
from timbral.checkpoints.weights import build_encoder
from timbral.encoders.registry import ENCODERS

__all__ = ["ModelInfo", "models"]


@dataclass(frozen=True)
class ModelInfo:
    """One encoder: an architecture at its default size, or published weights."""

    name: str
    description: str
    embedding_dim: int
    parameters: int
    sample_rate: int
    source: str = ""
    """where published weights come from; empty for an architecture"""
    license: str = ""
    """of published weights"""
    downloaded: bool = False
    """published weights are ready to use on this machine"""
    extra: str = ""
    """what has to be installed to download them, as in ``timbral[extra]``"""


def models() -> list[ModelInfo]:
    """Encoders to train, at their default sizes, then published weights."""
    rows = []
    for name, encoder in ENCODERS.items():
        description = (encoder.__doc__ or "").partition("\n")[0].rstrip(".")
        rows.append(ModelInfo(name, description, *_sizes(encoder.config_type())))
    for name, entry in PUBLISHED.items():
        row = ModelInfo(
            name,
            entry.description,
            *_sizes(entry.encoder),
            source=str(entry.source),
            license=entry.license,
            downloaded=downloaded_folder(name) is not None,
            extra=entry.extra,
        )
        rows.append(row)
    return rows


def _sizes(config: object) -> tuple[int, int, int]:
    """Embedding dimension, number of parameters and sample rate of an encoder."""
    with torch.device("meta"):  # shapes only: some are large
        encoder = build_encoder(config)
    parameters = sum(parameter.numel() for parameter in encoder.parameters())
    return encoder.embedding_dim, parameters, encoder.sample_rate
