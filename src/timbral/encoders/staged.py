"""What ResNet and ERes2NetV2 have in common: stem, stages of residual blocks, pooling and head.

Frames stay time-major, (B, F, M, C), so the channels of a point are contiguous. The stem is one
3 × 3 convolution over (mel, time). Each stage doubles the channels, and all but the first halve the
mels and the frames.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from torch import Tensor, nn

from timbral.encoders.base import MOST_LAYERS, SpeakerEncoder
from timbral.encoders.layers.conv import FrameConv2d
from timbral.encoders.layers.frames import at_least_float32, frame_mask, relu_inside
from timbral.encoders.layers.linear import second_linear
from timbral.encoders.layers.norm import FrameBatchNorm
from timbral.encoders.layers.pooling import statistics_pooling
from timbral.errors import ConfigError

__all__ = ["STRIDES", "StageBlock", "StagedEncoder", "check_layers", "run_stage"]

STRIDES = (1, 2, 2, 2)
"""stride of the first block of each stage, over mels and over time"""


def check_layers(layers: Sequence[int]) -> None:
    """Raise ConfigError unless `layers` are numbers of blocks, one for each stage."""
    if len(layers) != len(STRIDES) or not all(1 <= blocks <= MOST_LAYERS for blocks in layers):
        raise ConfigError(
            f"encoder.layers must be four numbers from 1 to {MOST_LAYERS}, got {layers}"
        )


class StageBlock(nn.Module):
    """A block that adds its input to its output, (B, F, M, C) -> (B, F', M', C').

    If sizes change, the input passes a strided 1 × 1 convolution.
    """

    def __init__(self, outputs: int, stride: int) -> None:
        """Subclasses then add the layers, and the shortcut with `add_shortcut`."""
        super().__init__()
        self.outputs, self.stride = outputs, stride
        self.shortcut: FrameConv2d | None = None

    def add_shortcut(self, inputs: int) -> None:
        if self.stride != 1 or inputs != self.outputs:
            self.shortcut = FrameConv2d.square(inputs, self.outputs, 1, self.stride)
            self.shortcut_norm = FrameBatchNorm(self.outputs)

    def shortcut_of(self, frames: Tensor, inside: Tensor) -> Tensor:
        """The frames to add to the outputs of the convolutions; `inside` is their mask."""
        if self.shortcut is None:
            return frames
        projected: Tensor = self.shortcut_norm(self.shortcut(frames), inside)
        return projected


class StagedEncoder(SpeakerEncoder):
    """A stem, four stages of residual blocks, statistics pooling, and one or two linear layers."""

    added_variance: ClassVar[float]
    """what the original implementation adds to the variance in its pooling"""

    def add_stages(
        self, channels: int, layers: Sequence[int], block: Callable[[int, int, int], StageBlock]
    ) -> int:
        """Add the stem and the stages; returns the channels of the last one.

        Args:
            channels: of the stem
            layers: number of blocks in each stage
            block: creates a block from its input channels, the number of its stage (from 0), and
                its stride
        """
        self.conv = FrameConv2d.square(1, channels, 3)
        self.norm = FrameBatchNorm(channels)
        self.stages = nn.ModuleList()
        inputs = channels
        for stage, (count, stride) in enumerate(zip(layers, STRIDES, strict=True)):
            blocks = nn.ModuleList()
            for index in range(count):
                added = block(inputs, stage, 1 if index else stride)
                blocks.append(added)
                inputs = added.outputs
            self.stages.append(blocks)
        return inputs

    def add_head(self, channels: int, *, second: bool) -> None:
        """Add the linear layers, for frames with these channels; `second`: two layers."""
        pooled = 2 * channels * (self.frontend.num_features // 8)
        self.linear = nn.Linear(pooled, self.embedding_dim)
        self.second = second_linear(self.embedding_dim) if second else None

    def layer_groups(self) -> dict[str, list[nn.Module]]:
        stem = nn.ModuleList([self.conv, self.norm])
        head: list[nn.Module] = [self.linear] if self.second is None else [self.linear, self.second]
        return {"body": [stem, *self.stages], "head": head}

    def stem(self, features: Tensor, frame_lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Features (B, F, M) -> frames (B, F, M, C), and their mask (B, F)."""
        mask = frame_mask(frame_lengths, features.shape[1])
        return relu_inside(self.norm(self.conv(features[..., None]), mask), mask), mask

    def pool(self, frames: Tensor, mask: Tensor) -> Tensor:
        """Frames after the last stage (B, F, M, C), with their mask -> embeddings (B, E)."""
        rows = frames.transpose(2, 3).flatten(2)  # (B, F, C M)
        pooled = statistics_pooling(
            rows, mask, unbiased=True, min_variance=0.0, added_variance=self.added_variance
        )
        embeddings: Tensor = self.linear(pooled)
        if self.second is not None:
            embeddings = self.second(embeddings)
        return at_least_float32(embeddings)


def run_stage(blocks: nn.Module, frames: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """The frames after the blocks of a stage, and their mask."""
    assert isinstance(blocks, nn.ModuleList)
    for block in blocks:
        frames = block(frames, mask)
        mask = mask[:, :: block.stride]
    return frames, mask
