"""The student's dense blocks, cut from its teacher's: products fitted by least squares one by one.

A layer of the student replaces several layers of the teacher. Its hidden units are the most
informative ones of those layers, and of its outputs it keeps the channels that later layers need
most. Its local products and gates are fitted to theirs. A block outputs the most informative of the
teacher's channels.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import cast

import torch
from least_squares import best_columns, ridge
from torch import Tensor
from torch.nn import functional
from values import EVERYWHERE, flat, outputs_of, set_last, set_norm, set_product, unexplained

from timbral.encoders.campplus import CampplusEncoder, ContextMasking, DenseBlock, DenseLayer
from timbral.encoders.campplus_small import SmallCampplusEncoder
from timbral.encoders.layers.pooling import statistics_pooling

__all__ = ["fit_blocks"]

STRIDES = (1, 2, 2)
"""number of the teacher's frames for each of the student's, in each block"""
PIECE = 64
"""number of crops that go through a layer at once"""
ROWS = 20_000
"""number of frames from which channels are chosen"""
VECTOR_REGULARIZATION = 5e-2


@dataclass
class TeacherLayer:
    """Values inside a layer of the teacher, at the student's frames (N, F, C)."""

    hidden: Tensor
    """before its ReLU"""
    local: Tensor
    """before the gate"""
    squeezed: Tensor
    """before its ReLU, one for each segment (N, S, C)"""
    gate: Tensor
    """before the sigmoid, one for each segment"""

    @classmethod
    def beside_each_other(cls, layers: list[TeacherLayer]) -> TeacherLayer:
        names = ("hidden", "local", "squeezed", "gate")
        return cls(*(torch.cat([getattr(each, name) for each in layers], 2) for name in names))


class TeacherBlock:
    """Frames of a dense block of the teacher, growing by a layer at a time."""

    def __init__(self, block: DenseBlock, inputs: Tensor, stride: int) -> None:
        """Inputs (N, F, C) at its own rate, float16; the student has every `stride`-th frame."""
        self.block, self.frames, self.stride = block, inputs, stride

    def advance(self, number: int) -> TeacherLayer:
        """Compute layer `number`, and append its output to the frames."""
        layer = self.block.layers[number]
        assert isinstance(layer, DenseLayer)
        parts, outputs = [], []
        for frames in torch.split(self.frames, PIECE):
            part, output = _inside(layer, frames.float(), self.stride)
            parts.append((part.hidden, part.local, part.squeezed, part.gate))
            outputs.append(output.half())
        self.frames = torch.cat([self.frames, torch.cat(outputs)], dim=2)
        return TeacherLayer(*(torch.cat(values) for values in zip(*parts, strict=True)))

    def needed(self, number: int, channels: slice) -> Tensor:
        """How much channels weigh in the products after layer `number`."""
        after = [*self.block.layers[number + 1 :], self.block]
        total = torch.zeros(channels.stop - channels.start)
        for layer in after:
            product, norm = (
                (layer.bottleneck, layer.norm1)
                if isinstance(layer, DenseLayer)
                else (self.block.transition, self.block.norm)
            )
            columns = product.matrix()[:, channels].square().sum(0)
            total += columns * norm.weight[channels].square()
        return total.sqrt()

    def transition(self) -> Tensor:
        """The block's output (N, F, C'), float16."""
        return torch.cat(
            [
                self.block.transition(outputs_of(self.block.norm, piece.float()).relu_()).half()
                for piece in torch.split(self.frames, PIECE)
            ]
        )


def segment_means(hidden: Tensor, size: int) -> Tensor:
    """An utterance's mean plus that of each segment: (N, F, C) -> (N, S, C)."""
    parts = [piece.mean(1) for piece in torch.split(hidden, size, dim=1)]
    return torch.stack(parts, dim=1) + hidden.mean(1, keepdim=True)


def _inside(layer: DenseLayer, frames: Tensor, stride: int) -> tuple[TeacherLayer, Tensor]:
    masking = layer.masking
    hidden = outputs_of(layer.norm2, layer.bottleneck(outputs_of(layer.norm1, frames).relu_()))
    active = functional.relu(hidden)
    local = masking.local(active)
    squeezed = masking.squeeze(segment_means(active, masking.segment_frames))
    gate = masking.gate(functional.relu(squeezed))
    over_frames = torch.sigmoid(gate).repeat_interleave(masking.segment_frames, dim=1)
    output = local * over_frames[:, : local.shape[1]]
    found = TeacherLayer(hidden[:, ::stride].half(), local[:, ::stride].half(), squeezed, gate)
    return found, output


def fit_layer(layer: DenseLayer, frames: Tensor, taught: TeacherLayer, norms: Tensor) -> None:
    """Fit a layer in place of several; `norms` (2, C) are weight and bias of its first norm."""
    set_norm(layer.norm1, flat(frames), norms[0], norms[1])
    inputs = flat(outputs_of(layer.norm1, frames).relu_())
    hidden, local = flat(taught.hidden).float(), flat(taught.local).float()
    drawn = torch.randperm(len(hidden))[:ROWS]
    kept = best_columns(
        functional.relu(hidden[drawn]), local[drawn] / local.std(0), layer.norm2.num_features
    )
    matrix, bias = ridge(inputs, hidden[:, kept])
    product = inputs @ matrix.t()
    layer.bottleneck.weight.copy_(matrix[:, :, None])
    scale = (product.var(0) + layer.norm2.eps).sqrt()
    set_norm(layer.norm2, product, scale, bias + product.mean(0))
    active = functional.relu(product + bias).view(*frames.shape[:2], -1)
    padded = functional.pad(active, (0, 0, 1, 1))
    taps = torch.cat([padded[:, tap : tap + frames.shape[1]] for tap in range(3)], dim=2)
    matrix, _ = ridge(flat(taps), local, bias=False)
    layer.masking.local.weight.copy_(matrix.view(len(matrix), 3, -1).transpose(1, 2))
    fit_gate(layer.masking, active, taught)


def fit_gate(masking: ContextMasking, active: Tensor, taught: TeacherLayer) -> None:
    """Fit the gate's two products to hidden units (N, F, C)."""
    squeezed, gate = flat(taught.squeezed), flat(taught.gate)
    kept = best_columns(functional.relu(squeezed), gate, masking.squeeze.out_channels)
    context = flat(segment_means(active, masking.segment_frames))
    matrix, bias = ridge(context, squeezed[:, kept], 1e-2)
    set_product(masking.squeeze, matrix, bias)
    matrix, bias = ridge(functional.relu(context @ matrix.t() + bias), gate, 1e-2)
    set_product(masking.gate, matrix, bias)


def fit_layers(own: DenseBlock, frames: Tensor, teacher: TeacherBlock, known: Tensor) -> Tensor:
    """The student's frames after all layers, its norm and its ReLU.

    `known` are the teacher's input channels that the student has.
    """
    layers = list(cast("Iterable[DenseLayer]", teacher.block.layers))
    merged = len(layers) // len(own.layers)
    for number, layer in enumerate(own.layers):
        assert isinstance(layer, DenseLayer)
        numbers = range(merged * number, merged * (number + 1))
        begin = teacher.frames.shape[2]
        taught = TeacherLayer.beside_each_other([teacher.advance(each) for each in numbers])
        made = slice(begin, teacher.frames.shape[2])
        outputs = flat(teacher.frames[:, :: teacher.stride, made])
        drawn = outputs[torch.randperm(len(outputs))[:ROWS]].float()
        weighed = drawn * teacher.needed(numbers[-1], made)
        kept = best_columns(weighed, weighed, layer.masking.local.out_channels)
        taught.local, taught.gate = taught.local[:, :, kept], taught.gate[:, :, kept]
        firsts = [layers[each].norm1 for each in numbers]
        weights = torch.stack([norm.weight[known] for norm in firsts]).mean(0)
        biases = torch.stack([norm.bias[known] for norm in firsts]).mean(0)
        fit_layer(layer, frames, taught, torch.stack([weights, biases]))
        masks = EVERYWHERE.expand(frames.shape[:2])
        pieces = torch.split(frames, PIECE)
        frames = torch.cat([layer(piece, masks[: len(piece)]) for piece in pieces])
        known = torch.cat([known, begin + kept])
    norm = teacher.block.norm
    set_norm(own.norm, flat(frames), norm.weight[known], norm.bias[known])
    return outputs_of(own.norm, frames).relu_()


@torch.no_grad()
def fit_blocks(
    student: SmallCampplusEncoder,
    teacher: CampplusEncoder,
    frames: Tensor,
    taught: Tensor,
    vectors: Tensor,
) -> list[Tensor]:
    """Everything after the front; the teacher's channels that each block hands on.

    `frames` and `taught` (N, F, C) are what the student's and the teacher's first block take, of
    the same crops; `vectors` (N, E) are the teacher's.
    """
    channels = torch.arange(frames.shape[2])
    all_kept: list[Tensor] = []
    for number, (own, stride) in enumerate(zip(student.blocks, STRIDES, strict=True)):
        source = teacher.blocks[number]
        assert isinstance(own, DenseBlock)
        assert isinstance(source, DenseBlock)
        dense = TeacherBlock(source, taught, stride)
        active = fit_layers(own, frames, dense, channels)
        taught = dense.transition()
        target = flat(taught[:, ::stride]).float()
        drawn = target[torch.randperm(len(target))[:ROWS]]
        weighed = drawn / target.std(0) * _weights_after(teacher, number, target.shape[1])
        channels = best_columns(weighed, weighed, own.transition.out_channels)
        all_kept.append(channels)
        matrix, bias = ridge(flat(active), target[:, channels])
        # a norm follows: what is constant does not matter
        own.transition.weight.copy_(matrix[:, :, None])
        frames = active @ matrix.t()
        left = unexplained(flat(frames) + bias, target[:, channels])
        print(f"block {number}: {float(left):.3f} unexplained", flush=True)
        frames = frames[:, :: own.stride]
    set_norm(student.norm, flat(frames), teacher.norm.weight[channels], teacher.norm.bias[channels])
    fit_vectors(student, frames, vectors)
    return all_kept


def _weights_after(teacher: CampplusEncoder, number: int, count: int) -> Tensor:
    """How much each output channel of block `number` weighs in the products that take it."""
    if number + 1 == len(teacher.blocks):
        columns = teacher.linear.weight.square().sum(0)
        return (columns[:count] + columns[count:]).sqrt() * teacher.norm.weight.abs()
    total = torch.zeros(count)
    following = cast(DenseBlock, teacher.blocks[number + 1])
    for layer in cast("Iterable[DenseLayer]", following.layers):
        columns = layer.bottleneck.matrix()[:, :count].square().sum(0)
        total += columns * layer.norm1.weight[:count].square()
    return total.sqrt()


def fit_vectors(student: SmallCampplusEncoder, frames: Tensor, vectors: Tensor) -> None:
    """Fit the last product to frames (N, F, C) before the last norm."""
    mask = torch.ones(frames.shape[:2], dtype=torch.bool)
    active = outputs_of(student.norm, frames).relu_()
    pooled = statistics_pooling(active, mask, unbiased=True)
    matrix, bias = ridge(pooled, vectors, VECTOR_REGULARIZATION)
    set_last(student, matrix, bias)
