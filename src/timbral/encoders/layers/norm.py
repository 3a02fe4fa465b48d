"""Batch norm that ignores padding, with statistics over all processes if wanted."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, distributed, nn

from timbral.encoders.layers.frames import at_least_float32

__all__ = ["BatchNorm", "FrameBatchNorm"]


class _SumOverProcesses(torch.autograd.Function):
    """Sum over all processes; the gradient is the sum of their gradients."""

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
    """Batch norm over (N, C), with `across_processes` over the rows of all processes.

    torch's SyncBatchNorm does the same, but only on GPUs.
    """

    across_processes: bool = False

    def forward(self, inputs: Tensor) -> Tensor:
        if not (self.training and self.across_processes):
            return super().forward(inputs)
        with torch.autocast(inputs.device.type, enabled=False):
            return self._normalize_across_processes(at_least_float32(inputs)).to(inputs.dtype)

    def scale_and_offset(self) -> tuple[Tensor, Tensor]:
        """The norm in evaluation mode is x · scale + offset; both (C,) in float64."""
        assert self.running_mean is not None, "our encoders keep running statistics"
        assert self.running_var is not None
        scale = torch.rsqrt(self.running_var.double() + self.eps)
        scale = scale * self.weight.double() if self.affine else scale
        offset = -self.running_mean.double() * scale
        return scale, offset + self.bias.double() if self.affine else offset

    def _normalize_across_processes(self, rows: Tensor) -> Tensor:
        # Two sums, the second over centered rows: sums of squares would cancel in float32.
        sums = torch.cat([rows.sum(dim=0), rows.new_tensor([rows.shape[0]])])
        total: Tensor = _SumOverProcesses.apply(sums)  # type: ignore[no-untyped-call]
        count = total[-1].detach()
        mean = total[:-1] / count
        centered = rows - mean
        squares: Tensor = _SumOverProcesses.apply(  # type: ignore[no-untyped-call]
            centered.square().sum(dim=0)
        )
        self._update_running(mean.detach(), squares.detach() / (count - 1).clamp(min=1))
        scale = torch.rsqrt(squares / count + self.eps)
        if not self.affine:
            return centered * scale
        return centered * (scale * self.weight) + self.bias

    def _update_running(self, mean: Tensor, variance: Tensor) -> None:
        assert self.running_mean is not None, "our encoders keep running statistics"
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        assert self.momentum is not None
        self.num_batches_tracked.add_(1)
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance, self.momentum)


class FrameBatchNorm(BatchNorm):
    """Batch norm over (B, F, C) or (B, F, M, C), with statistics over the frames inside only.

    `mask` (B, F) is true inside. In evaluation mode, and if all frames are inside, it is plain
    batch norm. Outputs after an utterance's end are undefined.
    """

    def forward(self, frames: Tensor, mask: Tensor) -> Tensor:  # type: ignore[override]
        if not self.training or bool(mask.all()):
            return super().forward(frames.flatten(0, -2)).view_as(frames)
        inside = frames[mask]
        normalized = frames.new_zeros(frames.shape)
        normalized[mask] = super().forward(inside.flatten(0, -2)).to(frames.dtype).view_as(inside)
        return normalized
