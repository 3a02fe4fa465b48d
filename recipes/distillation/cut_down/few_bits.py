"""The student's weights, rounded as the file of the shipped encoder stores them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from timbral.checkpoints.packed_weights import PACKED_DIMENSIONS, rounded
from timbral.encoders.campplus_small import SmallCampplusEncoder

__all__ = ["BITS", "round_weights", "rounded_weights"]

BITS = 6


@torch.no_grad()
def round_weights(network: SmallCampplusEncoder) -> None:
    """Give the products the weights that a file of `BITS` bits keeps."""
    for weight in network.parameters():
        if weight.ndim in PACKED_DIMENSIONS:
            weight.copy_(rounded(weight, BITS))


@contextmanager
def rounded_weights(network: SmallCampplusEncoder) -> Iterator[None]:
    """Inside, the products have rounded weights; gradients are those of these."""
    weights = [weight for weight in network.parameters() if weight.ndim in PACKED_DIMENSIONS]
    kept = [weight.detach().clone() for weight in weights]
    round_weights(network)
    yield
    with torch.no_grad():
        for weight, whole in zip(weights, kept, strict=True):
            weight.copy_(whole)
