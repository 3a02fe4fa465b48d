"""The list of encoders: architectures to train, and published weights."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from timbral.checkpoints.download import downloaded_folder
from timbral.checkpoints.published import PUBLISHED
from timbral.checkpoints.weights import build_encoder
from timbral.encoders.registry import ENCODERS

__all__ = ["SIZES", "ModelInfo", "count_sizes", "models"]


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


SIZES = {
    "campplus": (192, 6_848_544, 16_000),
    "ecapa": (192, 20_767_552, 16_000),
    "lstm": (256, 1_423_616, 16_000),
    "tdnn": (192, 1_061_312, 16_000),
    "wavlm": (512, 100_229_337, 16_000),
    "ge2e-lstm": (256, 1_423_616, 16_000),
    "campplus-zh-en": (192, 6_848_544, 16_000),
    "wavlm-base": (512, 100_229_324, 16_000),
    "wavlm-base-plus": (512, 100_229_324, 16_000),
    "wavlm-large": (512, 321_431_580, 16_000),
    "wavlm-base-sv": (512, 100_229_337, 16_000),
    "wavlm-base-plus-sv": (512, 100_229_337, 16_000),
}
"""embedding dimension, parameters and sample rate of what comes with timbral, so that a list of
encoders is there at once: to build a network only to count it takes seconds"""


def models() -> list[ModelInfo]:
    """Encoders to train, at their default sizes, then published weights."""
    rows = []
    for name, encoder in ENCODERS.items():
        description = (encoder.__doc__ or "").partition("\n")[0].rstrip(".")
        rows.append(ModelInfo(name, description, *_sizes(name, encoder.config_type())))
    for name, entry in PUBLISHED.items():
        row = ModelInfo(
            name,
            entry.description,
            *_sizes(name, entry.encoder),
            source=str(entry.source),
            license=entry.license,
            downloaded=downloaded_folder(name) is not None,
            extra=entry.extra,
        )
        rows.append(row)
    return rows


def _sizes(name: str, config: object) -> tuple[int, int, int]:
    """Embedding dimension, number of parameters and sample rate of an encoder."""
    return SIZES.get(name) or count_sizes(config)


def count_sizes(config: object) -> tuple[int, int, int]:
    """The same, of the network that the config describes."""
    with torch.device("meta"):  # shapes only: some are large
        encoder = build_encoder(config)
    parameters = sum(parameter.numel() for parameter in encoder.parameters())
    return encoder.embedding_dim, parameters, encoder.sample_rate
