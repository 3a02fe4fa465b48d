"""Batch norm that does not count padding."""

from __future__ import annotations

from torch import Tensor, nn

__all__ = ["FrameBatchNorm", "MaskedBatchNorm"]


class MaskedBatchNorm(nn.BatchNorm1d):
    """Batch norm over (B, C, F) or (B, C, M, F) whose statistics count only frames inside.

    `mask` (B, F) is true inside. In evaluation, and when all frames are inside, it is plain
    batch norm. What comes out behind an utterance's end is not defined.
    """

    def forward(self, frames: Tensor, mask: Tensor) -> Tensor:  # type: ignore[override]
        if not self.training or bool(mask.all()):
            return super().forward(frames.flatten(2)).view_as(frames)
        rows = frames.movedim(-1, 1)  # (B, F, C[, M])
        normalised = rows.new_zeros(rows.shape)
        normalised[mask] = super().forward(rows[mask]).to(rows.dtype)
        return normalised.movedim(1, -1)


class FrameBatchNorm(nn.BatchNorm1d):
    """`MaskedBatchNorm` of time-major frames (B, F, C)."""

    def forward(self, frames: Tensor, mask: Tensor) -> Tensor:  # type: ignore[override]
        if not self.training or bool(mask.all()):
            return super().forward(frames.flatten(0, 1)).view_as(frames)
        normalised = frames.new_zeros(frames.shape)
        normalised[mask] = super().forward(frames[mask]).to(frames.dtype)
        return normalised
