"""What training takes its batches from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from itertools import count
from typing import Generic, TypeVar

from timbral.data.batches.batch import Batch

__all__ = ["BatchSource"]

AnyBatch = TypeVar("AnyBatch", bound=Batch, covariant=True)


class BatchSource(ABC, Generic[AnyBatch]):
    """Endless batches, any of which can be computed directly."""

    @property
    @abstractmethod
    def num_speakers(self) -> int:
        """Number of speakers in `Batch.speakers`."""

    @abstractmethod
    def batch(self, step: int, rows: slice = slice(None)) -> AnyBatch:
        """The batch of a step counted from 0, or those rows of it that one process trains on."""

    def batches(self, first_step: int, rows: slice = slice(None)) -> Iterator[AnyBatch]:
        """The batches from a step on, or the same rows of each."""
        return (self.batch(step, rows) for step in count(first_step))
