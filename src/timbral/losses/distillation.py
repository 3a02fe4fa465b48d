"""Distillation: a student learns a teacher's vectors, without labels."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from timbral.errors import TrainingError, check_ranges
from timbral.losses.base import SpeakerLoss, unit_vectors

__all__ = ["DistillationConfig", "DistillationLoss"]


@dataclass(frozen=True)
class DistillationConfig:
    """The weight w of the cosines between utterances, relative to the vectors themselves."""

    relation_weight: float = 1.0

    def __post_init__(self) -> None:
        check_ranges(self, "loss", relation_weight=(0.0, math.inf))


class DistillationLoss(SpeakerLoss):
    """With s the student's and t the teacher's unit vectors of the B utterances of a batch:

        mean over i of (1 - s_i·t_i)  +  w · mean over i ≠ j of (s_i·s_j - t_i·t_j)²

    The first term keeps the student in the teacher's space, so that their vectors can be compared.
    The second makes the student's cosines between utterances, which are the scores of trials, equal
    to the teacher's (Park et al., Relational Knowledge Distillation, CVPR 2019, with cosines as the
    relation). Speakers are not used.
    """

    name = "distillation"
    config_type = DistillationConfig
    needs_teacher = True
    config: DistillationConfig

    def forward(self, embeddings: Tensor, speakers: Tensor) -> Tensor:
        raise TrainingError("the loss `distillation` needs a teacher: give one as `teacher`")

    def taught(self, embeddings: Tensor, speakers: Tensor, teacher: Tensor | None) -> Tensor:
        if teacher is None:
            return self.forward(embeddings, speakers)
        with torch.autocast(embeddings.device.type, enabled=False):
            student = unit_vectors(embeddings)
            target = unit_vectors(teacher.to(student.dtype))
            loss = (1 - (student * target).sum(dim=1)).mean()
            if self.config.relation_weight:
                loss = loss + self.config.relation_weight * _relation_loss(student, target)
            return loss


def _relation_loss(student: Tensor, target: Tensor) -> Tensor:
    """Mean squared difference of the cosines of all pairs: (B, E), (B, E) -> ()."""
    count = len(student)
    differences = student @ student.T - target @ target.T  # zero on the diagonal
    return differences.square().sum() / max(1, count * (count - 1))
