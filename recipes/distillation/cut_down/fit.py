"""The student begins with its teacher's layers, fitted to what they do.

    python recipes/distillation/cut_down/fit.py CORPORA STORE FRONT OUTPUT [--crops N]

FRONT is what front.py wrote. Behind it every product is fitted by least squares, one after the
other, to what the teacher has at its place, on the student's own inputs: a wide layer's hidden
units are the best of the four teacher's layers that it stands for, its local products and its
gates are fitted to theirs, and a block hands on the channels of the teacher's that say most.
The student takes crops in noise and rooms, the teacher the same crops before. OUTPUT becomes
`weights`, a state dict of a `WideCampplusEncoder`, and `channels`, those of the teacher's that each
of its blocks hands on.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from conditions import Conditions, centered
from front import front_output
from least_squares import best_columns, ridge
from torch import Tensor
from torch.nn import functional
from voices import Recordings, changed_pair, teacher_network

from timbral.data.prepared.open import open_prepared
from timbral.data.prepared.store import Store
from timbral.encoders.campplus import CampplusEncoder, ContextMasking, DenseBlock, DenseLayer
from timbral.encoders.campplus_wide import WideCampplusConfig, WideCampplusEncoder
from timbral.encoders.layers.norm import BatchNorm
from timbral.encoders.layers.pooling import statistics_pooling

FRAMES = 280
TEACHER_SEGMENT = 100
PIECE = 64
"""crops that go through a layer at once"""
FUSED = 4
"""layers of the teacher that one of the student's stands for"""


@dataclass
class TeacherLayer:
    """What a layer of the teacher has inside, at the student's frames (N, F, C)."""

    hidden: Tensor
    """before its ReLU"""
    local: Tensor
    """before the gate"""
    squeezed: Tensor
    """before its ReLU, one a segment (N, S, C)"""
    gate: Tensor
    """before the sigmoid, one a segment"""


class TeacherBlock:
    """Frames of a dense block of the teacher, growing by a layer at a time."""

    def __init__(self, block: DenseBlock, inputs: Tensor, stride: int) -> None:
        """Inputs (N, F, C) at its own rate, float16; the student has every `stride`-th frame."""
        self._block, self._stride = block, stride
        self.frames = inputs

    def advance(self, number: int) -> TeacherLayer:
        """Through layer `number`, whose output is appended."""
        layer = self._block.layers[number]
        assert isinstance(layer, DenseLayer)
        parts, outputs = [], []
        for frames in self.frames.split(PIECE):
            piece, output = _inside(layer, frames.float(), self._stride)
            parts.append(piece)
            outputs.append(output.half())
        self.frames = torch.cat([self.frames, torch.cat(outputs)], dim=2)
        names = ("hidden", "local", "squeezed", "gate")
        return TeacherLayer(
            *(torch.cat([getattr(piece, name) for piece in parts]) for name in names)
        )

    def transition(self) -> Tensor:
        """What the block gives (N, F, C'), float16."""
        mask = torch.ones(1, 1, dtype=torch.bool)
        return torch.cat(
            [
                self._block.transition(
                    functional.relu(self._block.norm(piece.float(), mask))
                ).half()
                for piece in self.frames.split(PIECE)
            ]
        )


def segment_means(hidden: Tensor, size: int) -> Tensor:
    """An utterance's mean plus each segment's: (N, F, C) -> (N, S, C)."""
    parts = [piece.mean(1) for piece in hidden.split(size, dim=1)]
    return torch.stack(parts, dim=1) + hidden.mean(1, keepdim=True)


def _inside(layer: DenseLayer, frames: Tensor, stride: int) -> tuple[TeacherLayer, Tensor]:
    mask, masking = torch.ones(1, 1, dtype=torch.bool), layer.masking
    hidden = layer.norm2(layer.bottleneck(functional.relu(layer.norm1(frames, mask))), mask)
    active = functional.relu(hidden)
    local = masking.local(active)
    squeezed = masking.squeeze(segment_means(active, TEACHER_SEGMENT))
    gate = masking.gate(functional.relu(squeezed))
    output = local * _over_frames(torch.sigmoid(gate), local.shape[1], TEACHER_SEGMENT)
    found = TeacherLayer(hidden[:, ::stride].half(), local[:, ::stride].half(), squeezed, gate)
    return found, output


def _over_frames(segments: Tensor, frames: int, size: int) -> Tensor:
    return segments.repeat_interleave(size, dim=1)[:, :frames]


def set_norm(norm: BatchNorm, rows: Tensor, weight: Tensor, bias: Tensor) -> None:
    """Statistics of rows (N, C), and what the norm makes of them."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    norm.running_mean.copy_(rows.float().mean(0))
    norm.running_var.copy_(rows.float().var(0))
    norm.weight.data.copy_(weight)
    norm.bias.data.copy_(bias)


def flat(frames: Tensor) -> Tensor:
    return frames.flatten(0, 1)


def fit_layer(layer: DenseLayer, frames: Tensor, taught: list[TeacherLayer], norms: Tensor) -> None:
    """A wide layer in place of several; `norms` (2, C) are weight and bias of its first norm."""
    set_norm(layer.norm1, flat(frames), norms[0], norms[1])
    mask, masking = torch.ones(1, 1, dtype=torch.bool), layer.masking
    inputs = flat(functional.relu(layer.norm1(frames, mask)))
    hidden = flat(torch.cat([piece.hidden for piece in taught], dim=2)).float()
    local = flat(torch.cat([piece.local for piece in taught], dim=2)).float()
    kept = best_columns(functional.relu(hidden), local / local.std(0), layer.norm2.num_features)
    matrix, bias = ridge(inputs, hidden[:, kept])
    product = inputs @ matrix.t()
    layer.bottleneck.weight.data.copy_(matrix[:, :, None])
    scale = (product.var(0) + layer.norm2.eps).sqrt()
    set_norm(layer.norm2, product, scale, bias + product.mean(0))
    active = functional.relu(product + bias).view(*frames.shape[:2], -1)
    padded = functional.pad(active, (0, 0, 1, 1))
    taps = torch.cat([padded[:, tap : tap + frames.shape[1]] for tap in range(3)], dim=2)
    matrix, _ = ridge(flat(taps), local, bias=False)
    masking.local.weight.data.copy_(matrix.view(len(matrix), 3, -1).transpose(1, 2))
    fit_gate(masking, active, taught)


def fit_gate(masking: ContextMasking, active: Tensor, taught: list[TeacherLayer]) -> None:
    """The gates' two products, from hidden units (N, F, C)."""
    squeezed = flat(torch.cat([piece.squeezed for piece in taught], dim=2))
    gate = flat(torch.cat([piece.gate for piece in taught], dim=2))
    kept = best_columns(functional.relu(squeezed), gate, masking.squeeze.out_channels)
    context = flat(segment_means(active, masking.segment_frames))
    matrix, bias = ridge(context, squeezed[:, kept], 1e-2)
    set_product(masking.squeeze, matrix, bias)
    matrix, bias = ridge(functional.relu(context @ matrix.t() + bias), gate, 1e-2)
    set_product(masking.gate, matrix, bias)


def set_product(product: torch.nn.Conv1d, matrix: Tensor, bias: Tensor) -> None:
    assert product.bias is not None
    product.weight.data.copy_(matrix[:, :, None])
    product.bias.data.copy_(bias)


def told(name: str, output: Tensor, target: Tensor) -> None:
    """How much of the target's variance is not explained."""
    error = (output - target).square().mean(0) / target.var(0).clamp(min=1e-6)
    print(f"{name}: {float(error.median()):.3f} unexplained", flush=True)


def fit_block(
    own: DenseBlock, frames: Tensor, block: DenseBlock, teacher: TeacherBlock, channels: Tensor
) -> tuple[Tensor, Tensor]:
    """The student's frames behind all layers, and weights of the teacher's channels in them.

    `channels` are those of the teacher's input that the student has.
    """
    mask = torch.ones(1, 1, dtype=torch.bool)
    inputs, width = teacher.frames.shape[2], own.layers[0].masking.local.out_channels
    for number, layer in enumerate(own.layers):
        assert isinstance(layer, DenseLayer)
        first = FUSED * number
        group = [block.layers[index] for index in range(first, first + FUSED)]
        taught = [teacher.advance(index) for index in range(first, first + FUSED)]
        known = torch.cat([channels, torch.arange(inputs, inputs + width * number)])
        norms = torch.stack(
            [
                torch.stack([getattr(piece.norm1, name)[known] for piece in group]).mean(0)
                for name in ("weight", "bias")
            ]
        )
        fit_layer(layer, frames, taught, norms)
        masks = mask.expand(frames.shape[:2])
        frames = torch.cat([layer(piece, masks[: len(piece)]) for piece in frames.split(PIECE)])
        target = teacher.frames[:, :: teacher._stride, -width:]
        told(f"layer {number}", flat(frames[:, :, -width:]), flat(target).float())
    known = torch.cat([channels, torch.arange(inputs, teacher.frames.shape[2])])
    norms = torch.stack([block.norm.weight[known], block.norm.bias[known]])
    set_norm(own.norm, flat(frames), norms[0], norms[1])
    return frames, functional.relu(own.norm(frames, mask))


def channel_weights(layers: list[DenseLayer], count: int) -> Tensor:
    """How much the first `count` channels of a block weigh in the products that take them."""
    total = torch.zeros(count)
    for layer in layers:
        columns = layer.bottleneck.matrix()[:, :count].square().sum(0)
        total += columns * layer.norm1.weight[:count].square()
    return total.sqrt()


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpora", type=Path)
    parser.add_argument("store", type=Path)
    parser.add_argument("front", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--crops", type=int, default=1536)
    options = parser.parse_args()
    torch.set_num_threads(1)
    store = open_prepared(options.store)
    assert isinstance(store, Store)
    recordings, rng = Recordings(store), np.random.default_rng(77)
    crops: list[Tensor] = []
    while len(crops) < options.crops:
        crops += changed_pair(recordings, FRAMES, rng)
    student = WideCampplusEncoder(WideCampplusConfig())
    student.load_state_dict(torch.load(options.front, weights_only=True))
    conditions = Conditions.read(options.corpora, 1)
    channels = fit(student.eval(), teacher_network(), torch.stack(crops), conditions)
    torch.save({"weights": student.state_dict(), "channels": channels}, options.output)


def fit(
    student: WideCampplusEncoder, teacher: CampplusEncoder, banks: Tensor, conditions: Conditions
) -> list[Tensor]:
    """All behind the front, on log filter banks (N, F, M); the channels that each block has."""
    frames, inputs, vectors = [], [], []
    for number, piece in enumerate(banks.split(PIECE)):
        taken = piece[:, ::2]
        features = conditions.apply(taken) if number % 2 else centered(taken)
        frames.append(front_output(student, features))
        begun, found = dense_input(teacher, centered(piece))
        inputs.append(begun.half())
        vectors.append(functional.normalize(found))
    own, taught = torch.cat(frames), torch.cat(inputs)
    kept: list[Tensor] = []
    channels = torch.arange(own.shape[2])
    for number, (block, stride) in enumerate(zip(student.blocks, (2, 4, 4), strict=True)):
        source = teacher.blocks[number]
        assert isinstance(block, DenseBlock)
        assert isinstance(source, DenseBlock)
        dense = TeacherBlock(source, taught, stride)
        _, active = fit_block(block, own, source, dense, channels)
        taught = dense.transition()
        target = flat(taught[:, ::stride]).float()
        weights = _weights_behind(teacher, number, target.shape[1])
        scaled = target / target.std(0) * weights
        channels = best_columns(scaled, scaled, block.transition.out_channels)
        kept.append(channels)
        matrix, bias = ridge(flat(active), target[:, channels])
        # a norm follows: what is constant does not matter
        block.transition.weight.data.copy_(matrix[:, :, None])
        own = active @ matrix.t()
        told(f"block {number}", flat(own) + bias, target[:, channels])
        if number == 0:
            own = own[:, ::2]
    set_norm(student.norm, flat(own), teacher.norm.weight[channels], teacher.norm.bias[channels])
    fit_vectors(student, own, torch.cat(vectors))
    return kept


def dense_input(teacher: CampplusEncoder, features: Tensor) -> tuple[Tensor, Tensor]:
    """What the teacher's first dense block takes, and its vectors, of crops of one length."""
    seen: list[Tensor] = []
    hook = teacher.blocks[0].register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    vectors = teacher.embed_features(features, torch.full((len(features),), features.shape[1]))
    hook.remove()
    return seen[0], vectors


def _weights_behind(teacher: CampplusEncoder, number: int, count: int) -> Tensor:
    if number + 1 < len(teacher.blocks):
        layers = list(teacher.blocks[number + 1].layers)
        return channel_weights([layer for layer in layers if isinstance(layer, DenseLayer)], count)
    columns = teacher.linear.weight.square().sum(0)
    return (columns[:count] + columns[count:]).sqrt() * teacher.norm.weight.abs()


def fit_vectors(student: WideCampplusEncoder, frames: Tensor, vectors: Tensor) -> None:
    """The last product, to the teacher's unit vectors; a tenth of the crops says how well."""
    mask = torch.ones(frames.shape[:2], dtype=torch.bool)
    pooled = statistics_pooling(functional.relu(student.norm(frames, mask)), mask, unbiased=True)
    most = len(pooled) * 9 // 10
    for fraction in (3e-2, 1e-1, 3e-1):
        matrix, bias = ridge(pooled[:most], vectors[:most], fraction)
        found = functional.normalize(pooled[most:] @ matrix.t() + bias)
        print(f"{fraction:g}: cosine {float((found * vectors[most:]).sum(1).mean()):.3f}")
    matrix, bias = ridge(pooled, vectors, 1e-2)
    student.linear.weight.data.copy_(matrix)
    norm = student.linear_norm
    assert norm.running_mean is not None
    assert norm.running_var is not None
    norm.running_mean.copy_(-bias)
    norm.running_var.fill_(1.0 - norm.eps)


if __name__ == "__main__":
    main()
