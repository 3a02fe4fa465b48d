"""The classifier over the training speakers, which WeSpeaker keeps in the file of its encoders."""

from __future__ import annotations

from torch import Tensor

from timbral.checkpoints.foreign.base import Content, only_tensors

__all__ = ["CLASSIFIER", "has_classifier", "without_classifier"]

CLASSIFIER = "projection."
"""prefix of its tensors"""


def has_classifier(content: Content) -> bool:
    """Whether the classifier is next to an encoder's tensors."""
    return any(str(name).startswith(CLASSIFIER) for name in content.values)


def without_classifier(content: Content) -> dict[str, Tensor]:
    """An encoder's tensors by name, without the classifier's."""
    tensors = only_tensors(content.values)
    return {name: each for name, each in tensors.items() if not name.startswith(CLASSIFIER)}
