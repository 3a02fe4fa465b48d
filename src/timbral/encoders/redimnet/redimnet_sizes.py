"""The sizes of ReDimNet and ReDimNet2 with published weights.

The authors' own configs are in their files of weights. The stages here are those of WeSpeaker's
classes of the same names; of ReDimNet2 B3 to B6, those of the authors' code and recipes. They have
the numbers of parameters and multiplications that the authors state: ReDimNet's with a hop of 15
ms, except for B5, whose published file has as many numbers as here; ReDimNet2-B1 and B2 without the
head that WeSpeaker's have.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

from timbral.encoders.redimnet.redimnet_config import RedimnetConfig

__all__ = ["SIZES"]

SECOND_FRAME_STRIDES = (1, 1, 2, 1, 2, 1)
FIRST_HOP = 240
Stages: TypeAlias = Sequence[tuple[int, int, float, int]]


def _sized(channels: int, stages: Stages, mels: int = 72, **others: Any) -> RedimnetConfig:
    """The config for stages in the authors' notation: mel stride, blocks, expansion, reduction.

    The width of blocks is the map's channels times the expansion; the layers over time have the
    map's size divided by the reduction as channels (0: no such layers).
    """
    strides, blocks, expansions, reductions = zip(*stages, strict=True)
    widths, current = [], channels
    for stride, expansion in zip(strides, expansions, strict=True):
        current *= stride
        widths.append(int(current * expansion))
    return RedimnetConfig(
        mels=mels,
        channels=channels,
        mel_strides=strides,
        blocks=blocks,
        widths=tuple(widths),
        context_channels=tuple(
            mels * channels // reduction if reduction else 0 for reduction in reductions
        ),
        **others,
    )


def _first(
    channels: int, block: str, group_divisor: int, stages: Stages, mels: int = 72
) -> RedimnetConfig:
    """ReDimNet, with frames of 15 ms and without normalization of maps."""
    return _sized(
        channels,
        stages,
        mels,
        version=1,
        frame_strides=(1,) * len(stages),
        block=block,
        group_divisor=group_divisor,
        map_norm=False,
        features="torchaudio",
        hop_samples=FIRST_HOP,
        normalize_waves=False,
    )


def _second(channels: int, stages: Stages, head_channels: int = 0) -> RedimnetConfig:
    """ReDimNet2, whose third and fifth stages have a stride of two over time."""
    return _sized(
        channels,
        stages,
        frame_strides=SECOND_FRAME_STRIDES,
        head_channels=head_channels,
        head_per_mel=bool(head_channels),
    )


FOUR_AND_FIVE = (
    (1, 4, 2, 48),
    (2, 4, 2, 48),
    (1, 6, 2, 48),
    (2, 6, 1, 32),
    (1, 8, 1, 24),
    (2, 4, 1, 16),
)
SIZES: dict[str, RedimnetConfig] = {
    "redimnet-b0": _first(
        10,
        "resnet",
        1,
        [(1, 2, 1, 30), (2, 3, 2, 30), (1, 3, 3, 30), (2, 4, 2, 10), (1, 3, 1, 10)],
        mels=60,
    ),
    "redimnet-b1": _first(
        12,
        "convnext",
        8,
        [(1, 2, 1, 0), (2, 3, 1, 0), (3, 4, 1, 12), (2, 5, 1, 12), (2, 3, 1, 8)],
    ),
    "redimnet-b2": _first(
        16,
        "convnext",
        4,
        [(1, 2, 1, 12), (2, 2, 1, 12), (1, 3, 1, 12), (2, 4, 1, 8), (1, 4, 1, 8), (2, 4, 1, 4)],
    ),
    "redimnet-b3": _first(
        16,
        "resnet-fwse",
        1,
        [
            (1, 6, 4, 32),
            (2, 6, 2, 32),
            (1, 8, 2, 32),
            (2, 10, 2, 16),
            (1, 10, 1, 16),
            (2, 8, 1, 16),
        ],
    ),
    "redimnet-b4": _first(32, "resnet-fwse", 1, FOUR_AND_FIVE),
    "redimnet-b5": _first(32, "resnet-fwse", 16, FOUR_AND_FIVE),
    "redimnet-b6": _first(
        32,
        "resnet",
        32,
        [(1, 4, 4, 32), (2, 6, 2, 32), (1, 6, 2, 24), (3, 8, 1, 24), (1, 8, 1, 16), (2, 8, 1, 16)],
    ),
    "redimnet2-b0": _second(
        12,
        [(1, 2, 2, 36), (2, 3, 1, 36), (1, 4, 1, 36), (2, 5, 1, 36), (1, 4, 1, 18), (2, 3, 1, 18)],
        head_channels=64,
    ),
    "redimnet2-b1": _second(
        16,
        [(1, 2, 2, 32), (2, 3, 1, 32), (1, 4, 1, 32), (2, 5, 1, 32), (1, 4, 1, 16), (2, 3, 1, 16)],
    ),
    "redimnet2-b2": _second(
        20,
        [(1, 2, 2, 40), (2, 3, 1, 30), (1, 4, 1, 30), (3, 5, 1, 20), (1, 4, 1, 20), (2, 3, 1, 10)],
    ),
    "redimnet2-b3": RedimnetConfig(),
    "redimnet2-b4": _second(
        32,
        [(1, 2, 4, 24), (2, 3, 3, 24), (1, 4, 2, 24), (2, 5, 1, 24), (1, 4, 1, 24), (2, 3, 1, 24)],
    ),
    "redimnet2-b5": _second(
        48,
        [(1, 2, 4, 48), (2, 3, 3, 48), (1, 4, 2, 48), (2, 5, 1, 48), (1, 4, 1, 32), (2, 3, 1, 32)],
        head_channels=256,
    ),
    "redimnet2-b6": _second(
        64,
        [
            (1, 3, 3, 64),
            (2, 4, 2, 64),
            (1, 5, 2, 48),
            (2, 5, 1, 48),
            (1, 4, 0.75, 32),
            (2, 3, 0.5, 24),
        ],
        head_channels=224,
    ),
}
