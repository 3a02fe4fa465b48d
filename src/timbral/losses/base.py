"""The contract of every loss, and what several of them share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Protocol, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from timbral.errors import TrainingError, check_ranges

__all__ = [
    "LossConfig",
    "ScaledCosinesLoss",
    "SpeakerLoss",
    "check_initial_values",
    "group_by_speaker",
    "unit_vectors",
]


class LossConfig(Protocol):
    """The frozen dataclass of any loss: a config names its class in `LOSSES`."""

    __dataclass_fields__: ClassVar[dict[str, Any]]


class SpeakerLoss(nn.Module, ABC):
    """``loss(embeddings (B, E), speakers (B,)) -> ()`` over one whole batch.

    It has no reference to the encoder. What it learns itself (w and b, class weights) are
    parameters of the module and are saved in checkpoints.
    """

    name: ClassVar[str]
    """the loss's name in `LOSSES` and in configs"""
    config_type: ClassVar[type]
    """frozen dataclass whose instance `build` takes"""
    has_class_weights: bool = False
    """whether it learns a vector for each training speaker, which is useless for other speakers"""
    needs_teacher: bool = False
    """whether it compares the embeddings with a teacher's"""

    @classmethod
    def build(cls, config: Any, embedding_dim: int, num_speakers: int) -> Self:
        """Create the loss from its config, for E = `embedding_dim`.

        Losses with class weights override it, because their constructors also take the sizes.
        """
        return cls(config)

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.config = config

    @abstractmethod
    def forward(self, embeddings: Tensor, speakers: Tensor) -> Tensor:
        """Embeddings (B, E) of any length and speakers (B,), counted from 0 -> loss ()."""

    def taught(self, embeddings: Tensor, speakers: Tensor, teacher: Tensor | None) -> Tensor:
        """Like `forward`, with a teacher's vectors (B, E) of the same utterances, of any length.

        Only losses that need a teacher use them.
        """
        loss: Tensor = self(embeddings, speakers)
        return loss

    def at_step(self, step: int) -> None:
        """Called before each step, counted from 0, for what changes during training."""

    def scalars(self) -> dict[str, float]:
        """Values to log, such as w and b."""
        return {}


LEAST_WEIGHT = 1e-6
"""of w, to which steps of the optimizer are projected"""


def check_initial_values(config: object) -> None:
    """Raise ConfigError unless `init_weight` and `init_bias` can be w and b."""
    check_ranges(config, "loss", init_weight=(LEAST_WEIGHT, 1e6), init_bias=(-1e6, 1e6))


class ScaledCosinesLoss(SpeakerLoss):
    """A loss on w·cos + b, w > 0, both learned; its config has `init_weight` and `init_bias`."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.similarity_weight = nn.Parameter(torch.tensor([config.init_weight]))
        self.similarity_bias = nn.Parameter(torch.tensor([config.init_bias]))

    def scaled(self, cosines: Tensor, gradient_scale: float = 1.0) -> Tensor:
        """w·cos + b; the gradients of w and b are multiplied by `gradient_scale`."""
        weight, bias = self.similarity_weight, self.similarity_bias
        with torch.no_grad():  # projection onto w > 0, whatever step the optimizer took
            weight.clamp_(min=LEAST_WEIGHT)
        w, b = (
            fixed + gradient_scale * (parameter - fixed)
            for parameter, fixed in ((weight, weight.detach()), (bias, bias.detach()))
        )
        return w * cosines + b

    def scalars(self) -> dict[str, float]:
        return {"w": self.similarity_weight.item(), "b": self.similarity_bias.item()}


def unit_vectors(embeddings: Tensor) -> Tensor:
    """Embeddings (B, E) at unit length, in float32 or wider."""
    dtype = torch.promote_types(embeddings.dtype, torch.float32)
    return functional.normalize(embeddings.to(dtype), dim=1)


def group_by_speaker(embeddings: Tensor, speakers: Tensor) -> Tensor:
    """Embeddings (B, E) in any order -> (S, U, E), speakers in rising order.

    Raises TrainingError unless every speaker has the same number of utterances, U >= 2.
    """
    labels, counts = torch.unique(speakers, return_counts=True)
    per_speaker = int(counts[0])
    if per_speaker < 2 or bool((counts != per_speaker).any()):
        raise TrainingError(
            "this loss needs the same number of utterances (two or more) of each speaker in a "
            f"batch; got between {int(counts.min())} and {int(counts.max())}"
        )
    order = torch.argsort(speakers, stable=True)
    # index_select: the backward pass of plain indexing sorts the indices first
    return embeddings.index_select(0, order).reshape(len(labels), per_speaker, -1)
