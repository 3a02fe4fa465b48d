"""Generalized end-to-end loss (Wan, Wang, Papir, Lopez Moreno, ICASSP 2018)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from timbral.errors import TrainingError

__all__ = ["GE2EConfig", "GE2ELoss", "group_by_speaker", "similarities"]


@dataclass(frozen=True)
class GE2EConfig:
    """Start values of w and b, and how slowly they learn."""

    init_weight: float = 10.0
    init_bias: float = -5.0
    gradient_scale: float = 0.01
    """w and b learn at this share of their gradient, as in the paper"""


def similarities(embeddings: Tensor) -> Tensor:
    """Cosines of embeddings and centroids: unit vectors (S, U, E) -> (S, U, S).

    Equation 8: to the centroid of every other speaker, and to the own speaker's centroid without
    the utterance itself. With s the sum of a speaker's unit vectors e, that one is (s - e) up to
    scale, so its cosine follows from e·s and |s|² and needs no centroid of its own:
    (e·s - 1) / |s - e|.
    """
    sums = embeddings.sum(dim=1)  # (S, E)
    norms = torch.linalg.vector_norm(sums, dim=1).clamp(min=1e-12)
    dots = torch.einsum("sue,ke->suk", embeddings, sums)  # (S, U, S)
    own_dot = torch.diagonal(dots, dim1=0, dim2=2).T  # (S, U): e·s
    squares = sums.square().sum(dim=1)[:, None]
    rest = (squares - 2 * own_dot + 1).clamp(min=1e-12).sqrt()
    own = (own_dot - 1) / rest
    is_own = torch.eye(len(sums), dtype=torch.bool, device=sums.device)[:, None, :]
    return torch.where(is_own, own[:, :, None], dots / norms)


def group_by_speaker(embeddings: Tensor, speakers: Tensor) -> Tensor:
    """Embeddings (B, E) in any order -> (S, U, E); TrainingError unless all have U >= 2."""
    labels, counts = torch.unique(speakers, return_counts=True)
    per_speaker = int(counts[0])
    if per_speaker < 2 or bool((counts != per_speaker).any()):
        raise TrainingError(
            "GE2E needs the same number (two or more) of utterances of each speaker in a batch; "
            f"got between {int(counts.min())} and {int(counts.max())}"
        )
    order = torch.argsort(speakers, stable=True)
    return embeddings[order].reshape(len(labels), per_speaker, -1)


class GE2ELoss(nn.Module):
    """GE2E softmax: mean over utterances of equation 6 on S = w·cos + b, w > 0 (equation 5).

    The paper sums over the batch; the mean keeps the learning rate independent of its size.
    """

    name = "ge2e"
    config_type = GE2EConfig

    def __init__(self, config: GE2EConfig) -> None:
        super().__init__()
        self.config = config
        self.similarity_weight = nn.Parameter(torch.tensor([config.init_weight]))
        self.similarity_bias = nn.Parameter(torch.tensor([config.init_bias]))

    def forward(self, embeddings: Tensor, speakers: Tensor) -> Tensor:
        """Embeddings (B, E) of any scale and speakers (B,) -> loss ()."""
        with torch.no_grad():  # projection onto w > 0, whatever step the optimizer took
            self.similarity_weight.clamp_(min=1e-6)
        dtype = torch.promote_types(embeddings.dtype, torch.float32)
        with torch.autocast(embeddings.device.type, enabled=False):
            unit = functional.normalize(embeddings.to(dtype), dim=1)
            cosines = similarities(group_by_speaker(unit, speakers))  # (S, U, S)
            logits = self._slowed(self.similarity_weight) * cosines
            logits = logits + self._slowed(self.similarity_bias)
            count, per_speaker, _ = logits.shape
            own = torch.arange(count, device=logits.device).repeat_interleave(per_speaker)
            return functional.cross_entropy(logits.reshape(-1, count), own)

    def _slowed(self, parameter: Tensor) -> Tensor:
        """The same value with `gradient_scale` of its gradient."""
        fixed = parameter.detach()
        return fixed + self.config.gradient_scale * (parameter - fixed)
