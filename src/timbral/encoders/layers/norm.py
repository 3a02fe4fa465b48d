"""Batch norm that does not count padding, and whose statistics can span processes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, distributed, nn

__all__ = ["BatchNorm", "FrameBatchNorm", "MaskedBatchNorm"]


class _Total(torch.autograd.Function):
    """Sum over all processes; its gradient is the sum of theirs."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        total = values.clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        total = grad.clone()
        distributed.all_reduce(total)
        return total


class BatchNorm(nn.BatchNorm1d):
    """Batch norm over (N, C, …); `across_processes` makes its statistics those of all processes.

    torch's SyncBatchNorm does the same, on GPUs only.
    """

    across_processes: bool = False

    def forward(self, inputs: Tensor) -> Tensor:
        if not (self.training and self.across_processes):
            return super().forward(inputs)
        with torch.autocast(inputs.device.type, enabled=False):
            wide = inputs.to(torch.promote_types(inputs.dtype, torch.float32))
            return self._over_all(wide).to(inputs.dtype)

    def _over_all(self, inputs: Tensor) -> Tensor:
        rows = inputs.transpose(0, 1).flatten(1)  # (N, C, …) -> (C, everything else)
        own = torch.cat([rows.sum(dim=1), rows.new_tensor([rows.shape[1]])])
        total: Tensor = _Total.apply(own)  # type: ignore[no-untyped-call]
        count = total[-1].detach()
        mean = total[:-1] / count
        centered = rows - mean[:, None]
        squares: Tensor = _Total.apply(centered.square().sum(dim=1))  # type: ignore[no-untyped-call]
        self._keep(mean.detach(), squares.detach() / (count - 1).clamp(min=1))
        scale = torch.rsqrt(squares / count + self.eps)
        if self.affine:
            scale = scale * self.weight
        outputs = centered * scale[:, None]
        if self.affine:
            outputs = outputs + self.bias[:, None]
        return outputs.view(inputs.shape[1], inputs.shape[0], *inputs.shape[2:]).transpose(0, 1)

    def _keep(self, mean: Tensor, variance: Tensor) -> None:
        assert self.running_mean is not None, "our encoders keep running statistics"
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        assert self.momentum is not None
        self.num_batches_tracked.add_(1)
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance, self.momentum)


class MaskedBatchNorm(BatchNorm):
    """Batch norm over (B, C, F) or (B, C, M, F) whose statistics count only frames inside.

    `mask` (B, F) is true inside. In evaluation, and when all frames are inside, it is plain
    batch norm. What comes out behind an utterance's end is not defined.
    """

    def forward(self, frames: Tensor, mask: Tensor) -> Tensor:  # type: ignore[override]
        if not self.training or bool(mask.all()):
            return super().forward(frames.flatten(2)).view_as(frames)
        rows = frames.movedim(-1, 1)  # (B, F, C[, M])
        normalized = rows.new_zeros(rows.shape)
        normalized[mask] = super().forward(rows[mask]).to(rows.dtype)
        return normalized.movedim(1, -1)


class FrameBatchNorm(BatchNorm):
    """`MaskedBatchNorm` of time-major frames (B, F, C) or (B, F, M, C)."""

    def forward(self, frames: Tensor, mask: Tensor) -> Tensor:  # type: ignore[override]
        if not self.training or bool(mask.all()):
            return super().forward(frames.flatten(0, -2)).view_as(frames)
        rows = frames[mask]
        normalized = frames.new_zeros(frames.shape)
        normalized[mask] = super().forward(rows.flatten(0, -2)).to(frames.dtype).view_as(rows)
        return normalized
