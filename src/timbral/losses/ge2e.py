"""Generalized end-to-end loss (Wan, Wang, Papir, Lopez Moreno, ICASSP 2018)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from timbral.errors import check_choice, check_ranges
from timbral.losses.base import ScaledCosinesLoss, check_initial_values, group_by_speaker

__all__ = ["GE2EConfig", "GE2ELoss", "similarities"]


@dataclass(frozen=True)
class GE2EConfig:
    """Which of the paper's two losses; initial values of w and b, and how slowly they learn."""

    kind: str = "softmax"
    """softmax | contrast"""
    init_weight: float = 10.0
    init_bias: float = -5.0
    gradient_scale: float = 0.01
    """the gradients of w and b are multiplied by this, as in the paper"""

    def __post_init__(self) -> None:
        check_choice("loss.kind", self.kind, ("softmax", "contrast"))
        check_initial_values(self)
        check_ranges(self, "loss", gradient_scale=(0.0, 100.0))


class _Similarities(torch.autograd.Function):
    """Cosines of utterances and centroids, with an explicit gradient.

    With e the unit vectors, s the sum of a speaker's and c = s/|s| its centroid, the cosine to
    another speaker is e·c. The own speaker's centroid excludes the utterance itself: it is (s - e)
    up to scale, so its cosine is a function of two numbers only, a = e·s and q = |s|²:

        f(a, q) = (a - 1) / r,  r = |s - e| = sqrt(q - 2a + 1)
        ∂f/∂a = 1/r + (a - 1)/r³,  ∂f/∂q = -(a - 1)/(2 r³)

    Autograd would make ten passes over (S, U, S) and (S, U, E); this makes three matrix products
    and two passes.
    """

    @staticmethod
    def forward(ctx: Any, embeddings: Tensor) -> Tensor:  # (S, U, E) -> (S, U, S)
        lengths = torch.linalg.vector_norm(embeddings, dim=2, keepdim=True).clamp(min=1e-12)
        unit = embeddings / lengths
        sums = unit.sum(dim=1)  # (S, E)
        norms = torch.linalg.vector_norm(sums, dim=1, keepdim=True).clamp(min=1e-12)
        centroids = sums / norms
        cosines: Tensor = (unit.flatten(0, 1) @ centroids.T).view(*unit.shape[:2], -1)
        own = torch.diagonal(cosines, dim1=0, dim2=2).T  # (S, U), a view
        a = own * norms
        rest = (norms.square() - 2 * a + 1).clamp(min=1e-12).sqrt()
        ctx.save_for_backward(unit, lengths, centroids, norms, a, rest)
        own.copy_((a - 1) / rest)
        return cosines

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        unit, lengths, centroids, norms, a, rest = ctx.saved_tensors
        rows = grad.reshape(-1, len(centroids))
        own = torch.diagonal(grad, dim1=0, dim2=2).T  # (S, U): ∂L/∂f
        by_a = own * (1 / rest + (a - 1) / rest**3)
        by_q = own * (1 - a) / (2 * rest**3)

        # ∂L/∂c as if every cosine were e·c, minus the own speakers'; then from c to s
        sums = torch.stack([own, by_a], dim=1) @ unit  # (S, 2, E)
        by_centroid = rows.T @ unit.flatten(0, 1) - sums[:, 0]
        along = (by_centroid * centroids).sum(dim=1, keepdim=True)
        by_sum = (by_centroid - along * centroids) / norms + sums[:, 1]
        by_sum += 2 * by_q.sum(dim=1, keepdim=True) * norms * centroids

        # ∂L/∂e: through e·c, minus the own speakers'; through a; through the sum that contains e
        factors = torch.stack([by_a * norms - own, torch.ones_like(own)], dim=2)  # (S, U, 2)
        by_unit = (rows @ centroids).view_as(unit)
        by_unit = torch.baddbmm(by_unit, factors, torch.stack([centroids, by_sum], dim=1))
        along = (by_unit * unit).sum(dim=2, keepdim=True)
        return torch.addcmul(by_unit, along, unit, value=-1).div_(lengths)


def similarities(embeddings: Tensor) -> Tensor:
    """Cosines of utterances and centroids, equation 8: (S, U, E) of any length -> (S, U, S).

    The own speaker's centroid excludes the utterance itself. Differentiable once.
    """
    cosines: Tensor = _Similarities.apply(embeddings)  # type: ignore[no-untyped-call]
    return cosines


class GE2ELoss(ScaledCosinesLoss):
    """Mean over utterances of equation 6 (softmax) or 7 (contrast) on S = w·cos + b, w > 0.

    The paper sums over the batch; with the mean, the learning rate does not depend on its size.
    """

    name = "ge2e"
    config_type = GE2EConfig
    config: GE2EConfig

    def forward(self, embeddings: Tensor, speakers: Tensor) -> Tensor:
        dtype = torch.promote_types(embeddings.dtype, torch.float32)
        with torch.autocast(embeddings.device.type, enabled=False):
            cosines = similarities(group_by_speaker(embeddings.to(dtype), speakers))  # (S, U, S)
            logits = self.scaled(cosines, self.config.gradient_scale).flatten(0, 1)
            per_speaker = cosines.shape[1]
            own = torch.arange(len(cosines), device=logits.device).repeat_interleave(per_speaker)
            if self.config.kind == "softmax":
                return functional.cross_entropy(logits, own)
            return _contrast(logits, own)


def _contrast(logits: Tensor, own: Tensor) -> Tensor:
    """Equation 7: 1 - σ(S of the own speaker) + the largest σ(S) of the others, row by row."""
    is_own = functional.one_hot(own, logits.shape[1]).bool()
    others = logits.masked_fill(is_own, -torch.inf).amax(dim=1)
    return (1 - torch.sigmoid(logits[is_own]) + torch.sigmoid(others)).mean()
