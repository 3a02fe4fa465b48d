"""The encoder of a gallery's vectors; vectors of two encoders cannot be compared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from timbral.errors import DataError

if TYPE_CHECKING:
    from timbral.inference.embedder import Embedder

__all__ = ["EncoderIdentity"]


@dataclass(frozen=True)
class EncoderIdentity:
    """What determines a vector: weights, preprocessing and windows; the name is for readers."""

    name: str
    weights_sha256: str
    embedding_sha256: str
    """hash of preprocessing and windows, from `Embedder.embedding_identity`; empty: unknown"""
    embedding_dim: int

    @classmethod
    def of(cls, encoder: Embedder | EncoderIdentity) -> EncoderIdentity:
        """The identity of an Embedder; an identity is returned unchanged."""
        if isinstance(encoder, EncoderIdentity):
            return encoder
        return cls(
            encoder.name,
            encoder.weights_identity(),
            encoder.embedding_identity(),
            encoder.embedding_dim,
        )

    def __str__(self) -> str:
        return f"{self.name} (weights {self.weights_sha256[:8]}, {self.embedding_dim}-d)"

    def check_same(self, other: EncoderIdentity, location: str) -> None:
        """Raise DataError if vectors of `other` cannot be compared with those of this gallery."""
        if (self.weights_sha256, self.embedding_dim) != (other.weights_sha256, other.embedding_dim):
            raise DataError(
                f"{location}: contains vectors of {self}, but these are of {other}, and vectors "
                "of different encoders cannot be compared; use the gallery's encoder, or convert "
                "the gallery with `timbral gallery migrate`"
            )
        known = self.embedding_sha256 and other.embedding_sha256
        if known and self.embedding_sha256 != other.embedding_sha256:
            raise DataError(
                f"{location}: contains vectors of {self}, made with other preprocessing or "
                f"windows than these of {other}; use the same preprocessing, or convert the "
                "gallery with `timbral gallery migrate`"
            )
