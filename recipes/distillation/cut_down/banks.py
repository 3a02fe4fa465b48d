"""Log filter banks of recordings, 80 bands every 10 ms, as the teacher computes them."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from timbral.encoders.frontends import KaldiFbank

__all__ = ["banks_of", "centered"]


def banks_of(fbank: KaldiFbank, wave: np.ndarray) -> Tensor:
    """Log filter banks (F, M) of samples (T,)."""
    with torch.inference_mode():
        waves = torch.from_numpy(np.ascontiguousarray(wave, dtype=np.float32))[None]
        features, _ = fbank(waves, torch.tensor([waves.shape[1]]))
        banks: Tensor = features[0].clone()
        return banks


def centered(banks: Tensor) -> Tensor:
    """The features of an encoder: banks (N, F, M) without each crop's mean."""
    return banks - banks.mean(1, keepdim=True)
