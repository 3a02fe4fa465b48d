"""Description and sizes of an encoder for lists, from its class and its network."""

from __future__ import annotations

import torch

from timbral.checkpoints.weights import build_encoder
from timbral.encoders.base import SpeakerEncoder

__all__ = ["count_sizes", "describe"]


def describe(encoder: type[SpeakerEncoder]) -> str:
    """The first line of an encoder's docstring, without its period."""
    return (encoder.__doc__ or "").partition("\n")[0].rstrip(".")


def count_sizes(config: object) -> tuple[int, int, int]:
    """Embedding dimension, number of parameters and sample rate (Hz) of a config's network."""
    with torch.device("meta"):  # shapes only, because some are large
        encoder = build_encoder(config)
    parameters = sum(parameter.numel() for parameter in encoder.parameters())
    return encoder.embedding_dim, parameters, encoder.sample_rate
