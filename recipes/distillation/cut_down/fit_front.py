"""The student's front, cut from its teacher's: products fitted by least squares one by one.

Every convolution is fitted to the teacher's outputs at its place, from the outputs of the student's
convolutions before it. The student's first convolution replaces the teacher's first one and the
residual block after it. From there on the student has every second of the teacher's frames.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

import torch
from banks import centered
from least_squares import best_columns, ridge
from torch import Tensor
from torch.nn import functional
from values import outputs_of, set_norm

from timbral.encoders.campplus import CampplusEncoder, ResidualBlock
from timbral.encoders.campplus_small import SmallCampplusEncoder
from timbral.encoders.layers.conv import FrameConv2d
from timbral.encoders.layers.norm import BatchNorm

__all__ = ["fit_front"]

STRIDE = 2
"""number of the teacher's frames for each of the student's"""
ROWS = 60_000
"""number of outputs of a convolution to which its weights are fitted"""
PIECE = 8
"""number of crops whose patches are in memory at once"""
REGULARIZATION = 1e-4


@torch.no_grad()
def fit_front(student: SmallCampplusEncoder, teacher: CampplusEncoder, banks: Tensor) -> None:
    """Fit front and time-delay layer of `student`, in place, on log filter banks (N, F, M)."""
    features = centered(banks)
    own, source = student.front, teacher.front
    channels, stages = own.conv1.out_channels, list(cast("Iterable[ResidualBlock]", source.blocks))
    inputs = [block.conv1 for block in stages] + [source.conv2]
    taught = _sum(stages[0], _relu(source.norm1, source.conv1(features[..., None])))
    kept = _choose(functional.relu(taught), inputs[1:3], channels)
    frames = _fit(own.conv1, own.norm1, features[..., None], taught[:, ::STRIDE][..., kept])
    taught, frames = taught.relu_(), frames.relu_()
    blocks = cast("Iterable[ResidualBlock]", own.blocks)
    for number, (block, stage) in enumerate(zip(blocks, stages[1:], strict=True), 1):
        if stage.shortcut is not None:  # the next block adds to the same channels
            after = inputs[number + 1 : number + 3]
            kept = _choose(stage(taught, _everywhere(taught)), after, channels)
        taught, frames = _fit_block(block, stage, taught, frames, kept)
    taught = outputs_of(source.norm2, source.conv2(taught))
    mels = taught.shape[2]
    weight = teacher.tdnn.weight.view(len(teacher.tdnn.weight), -1, mels, 5)
    kept = _best(functional.relu(taught), weight.square().sum((0, 2, 3)).sqrt(), len(kept))
    frames = _fit(own.conv2, own.norm2, frames, taught[:, ::STRIDE][..., kept]).relu_()
    _fit_delay(student, teacher, frames, functional.relu(taught))


def _everywhere(frames: Tensor) -> Tensor:
    return torch.ones(frames.shape[:2], dtype=torch.bool)


def _relu(norm: BatchNorm, frames: Tensor) -> Tensor:
    return outputs_of(norm, frames).relu_()


def _sum(block: ResidualBlock, frames: Tensor) -> Tensor:
    """The output of a residual block before its ReLU."""
    inner = _relu(block.norm1, block.conv1(frames))
    outer = outputs_of(block.norm2, block.conv2(inner))
    if block.shortcut is None:
        return outer + frames
    return outer + outputs_of(block.shortcut_norm, block.shortcut(frames))


def _choose(active: Tensor, after: list[FrameConv2d], count: int) -> Tensor:
    """The channels of (N, F, M, C) that the next convolutions need most."""
    weights = sum((conv.weight.square().sum((0, 2, 3)) for conv in after), torch.zeros(()))
    return _best(active, weights.sqrt(), count)


def _best(active: Tensor, weights: Tensor, count: int) -> Tensor:
    rows = active.flatten(0, 2)
    rows = rows[torch.randperm(len(rows))[:ROWS]] * weights
    return best_columns(rows, rows, count)


def _fit_block(
    own: ResidualBlock, source: ResidualBlock, taught: Tensor, frames: Tensor, kept: Tensor
) -> tuple[Tensor, Tensor]:
    """Fit a block to the teacher's channels `kept`; returns the outputs of both."""
    inner = outputs_of(source.norm1, source.conv1(taught))
    outer = outputs_of(source.norm2, source.conv2(functional.relu(inner)))
    shortcut = taught
    if source.shortcut is not None:
        shortcut = outputs_of(source.shortcut_norm, source.shortcut(taught))
    hidden = _choose(functional.relu(inner), [source.conv2], len(kept))
    added = frames
    if own.shortcut is not None:
        wanted = shortcut[:, ::STRIDE][..., kept]
        added = _fit(own.shortcut, own.shortcut_norm, frames, wanted)
    seen = _fit(own.conv1, own.norm1, frames, inner[:, ::STRIDE][..., hidden]).relu_()
    # the second convolution also gives what the shortcut lacks
    wanted = (outer + shortcut)[:, ::STRIDE][..., kept] - added
    summed = _fit(own.conv2, own.norm2, seen, wanted) + added
    return functional.relu(outer + shortcut), summed.relu_()


def _fit(conv: FrameConv2d, norm: BatchNorm, frames: Tensor, target: Tensor) -> Tensor:
    """Set a convolution and the norm after it; returns their output (N, F', M', C')."""
    rows, targets = _rows(conv, frames, target)
    matrix, bias = ridge(rows, targets, REGULARIZATION)
    conv.weight.copy_(matrix.view_as(conv.weight))
    product = rows @ matrix.t()
    set_norm(norm, product, (product.var(0) + norm.eps).sqrt(), bias + product.mean(0))
    return outputs_of(norm, conv(frames))


def _rows(conv: FrameConv2d, frames: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Inputs and targets for some of the outputs."""
    if conv.kernel_size == (1, 1):
        mel_stride, frame_stride = conv.stride
        rows, targets = frames[:, ::frame_stride, ::mel_stride].flatten(0, 2), target.flatten(0, 2)
        drawn = torch.randperm(len(rows))[:ROWS]
        return rows[drawn], targets[drawn]
    assert isinstance(conv.padding, tuple)
    all_rows: list[Tensor] = []
    all_targets: list[Tensor] = []
    pieces = zip(torch.split(frames, PIECE), torch.split(target, PIECE), strict=True)
    for inputs, wanted in pieces:
        patches = functional.unfold(
            inputs.permute(0, 3, 2, 1), conv.kernel_size, padding=conv.padding, stride=conv.stride
        ).transpose(1, 2)  # mel by mel, each with all frames
        drawn = torch.randperm(patches.shape[1])[: ROWS // len(frames) + 1]
        all_rows.append(patches[:, drawn].flatten(0, 1))
        all_targets.append(wanted.transpose(1, 2).flatten(1, 2)[:, drawn].flatten(0, 1))
    return torch.cat(all_rows), torch.cat(all_targets)


def _fit_delay(
    student: SmallCampplusEncoder, teacher: CampplusEncoder, frames: Tensor, taught: Tensor
) -> None:
    """Fit the layer between the front and the dense blocks."""
    taught = taught.transpose(2, 3).flatten(2)
    target = outputs_of(teacher.tdnn_norm, teacher.tdnn(taught)).flatten(0, 1)
    frames = frames.transpose(2, 3).flatten(2)
    layer, norm = student.tdnn, student.tdnn_norm
    taps = layer.taps(functional.pad(frames, (0, 0, 1, 1))).flatten(0, 1)
    matrix, bias = ridge(taps, target, REGULARIZATION)
    layer.weight.copy_(matrix.view(len(matrix), 3, -1).transpose(1, 2))
    product = taps @ matrix.t()
    set_norm(norm, product, (product.var(0) + norm.eps).sqrt(), bias + product.mean(0))
