"""Reorder the channels of Res2Net blocks, of which another project passes other ones through.

In timbral's and SpeechBrain's ECAPA-TDNN the first group of a block's channels passes through
unchanged, in WeSpeaker's and UniSpeech's the last group. So the outputs of the layer before a block
and the inputs of the layer after it are rotated by a group.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["last_group_first"]


def last_group_first(name: str, tensor: Tensor, channels: int, groups: int) -> Tensor:
    """The tensor that timbral calls `name`, with its channels in timbral's order.

    Only ``tdnn1`` before a Res2Net block and the weights of ``tdnn2`` after it change.
    """
    order = torch.arange(channels).roll(channels // groups)
    if ".tdnn1." in name and tensor.ndim:  # not the batch norm's counter
        return tensor[order]
    return tensor[:, order] if name.endswith(".tdnn2.conv.weight") else tensor
