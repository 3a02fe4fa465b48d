"""Log filter banks of recordings, 80 bands every 10 ms, as the teacher takes them."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from timbral.encoders.frontends import KaldiFbank

__all__ = ["banks_of", "centered"]


def banks_of(fbank: KaldiFbank, wave: np.ndarray) -> Tensor:
    """Of samples (T,): (F, M)."""
    with torch.inference_mode():
        waves = torch.from_numpy(np.ascontiguousarray(wave, dtype=np.float32))[None]
        features, _ = fbank(waves, torch.tensor([waves.shape[1]]))
        banks: Tensor = features[0].clone()
        return banks


def centered(banks: Tensor) -> Tensor:
    """What an encoder takes: banks (N, F, M) without each crop's mean."""
    return banks - banks.mean(1, keepdim=True)
