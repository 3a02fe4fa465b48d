"""Two-dimensional residual networks as WeSpeaker and 3D-Speaker name their layers."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from torch import Tensor

from timbral.checkpoints.foreign.base import rename
from timbral.errors import CheckpointError

__all__ = ["check_pooling", "layer_name"]

BINS_LEFT = 10
"""bins of 80 filter banks that are left after three strides of two"""

NAMES: tuple[tuple[str, str], ...] = (
    (r"^conv1\.", "conv."),
    (r"^bn1\.", "norm."),
    (r"\.bn(\d)\.", r".norm\1."),
    (r"\.shortcut\.0\.", ".shortcut."),
    (r"\.shortcut\.1\.", ".shortcut_norm."),
    (r"^seg_1\.", "linear."),
    (r"^seg_bn_1\.", "second.1."),
    (r"^seg_2\.", "second.2."),
)


def layer_name(key: str, further: Sequence[tuple[str, str]] = ()) -> str:
    """timbral's name of a tensor; `further` are renamings as for `rename`, after the common ones.

    Stages are counted from 0 instead of 1.
    """
    stage = re.sub(r"^layer(\d)\.", lambda match: f"stages.{int(match[1]) - 1}.", key)
    return rename(stage, (*NAMES, *further))


def check_pooling(state: Mapping[str, Tensor], channels: int, network: str) -> None:
    """Check that a network has temporal statistics pooling without weights, on 80 filter banks.

    `channels` are those of the last stage, `network` is its name for the message. Raises
    CheckpointError otherwise.
    """
    expected = 2 * BINS_LEFT * channels
    pooled = state["seg_1.weight"].shape[1]
    if pooled != expected or any(name.startswith("pool.") for name in state):
        raise CheckpointError(
            f"only {network} with temporal statistics pooling (TSTP) on 80 filter banks is "
            f"supported. The linear layer of this one takes {pooled:,} numbers instead of "
            f"{expected:,}, or its pooling has weights"
        )
