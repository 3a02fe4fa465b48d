"""An encoder for pyannote's pipelines (like `PretrainedSpeakerEmbedding` of pyannote.audio 3).

pyannote need not be installed.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from timbral.audio.decode import Wave
from timbral.errors import AudioError, InputError
from timbral.inference.embedder import Embedder
from timbral.inference.load import load_encoder
from timbral.io.masked_arrays import refuse_masked
from timbral.io.types import Vectors

__all__ = ["PyannoteEmbedding"]

LEAST_WEIGHT = 0.5
"""smallest value of a mask with which a sample is used"""


class PyannoteEmbedding:
    """Waveforms (B, 1, T) with masks (B, N) to vectors (B, E), for diarization.

    A vector is computed from exactly the samples that its mask keeps, as from a separate recording;
    masked samples and the rest of the batch have no effect.
    """

    metric = "cosine"
    """measure for comparing vectors"""

    def __init__(self, encoder: Embedder | str | Path, device: str | torch.device = "cpu") -> None:
        """Wrap an Embedder, or load one as `timbral.load_encoder` does, on `device`."""
        if isinstance(encoder, str | Path):
            encoder = load_encoder(encoder, device=str(device))
        self.embedder: Embedder = encoder

    @property
    def sample_rate(self) -> int:
        """Sample rate of the waveforms in Hz."""
        return self.embedder.sample_rate

    @property
    def dimension(self) -> int:
        """Size E of a vector."""
        return self.embedder.embedding_dim

    @property
    def min_num_samples(self) -> int:
        """Smallest number of samples that gives a vector."""
        return self.embedder.runtime.network.min_samples

    def to(self, device: str | torch.device) -> PyannoteEmbedding:
        """Move to another device; returns itself."""
        self.embedder.to(device)
        return self

    def __call__(self, waveforms: Tensor, masks: Tensor | None = None) -> Vectors:
        """Waveforms (B, 1, T) at `sample_rate` to float32 vectors (B, E) of unit length.

        Args:
            waveforms: one channel, in [-1, 1]
            masks: (B, N) weights over time, such as a speaker's activity in N frames of a
                segmentation; each is stretched to the samples, which count from 0.5 on. None: all

        Returns:
            vectors; as in pyannote, a row is NaN if its mask leaves too little, or only silence

        Raises InputError for other shapes, and for masked samples.
        """
        refuse_masked(waveforms, "waveforms")
        waveforms = torch.as_tensor(waveforms)
        if waveforms.ndim != 3 or waveforms.shape[1] != 1:
            raise InputError(
                f"waveforms of shape (B, 1, T) are needed, got {tuple(waveforms.shape)}"
            )
        kept = _kept(waveforms, masks)
        vectors = np.full((len(waveforms), self.dimension), np.nan, np.float32)
        rows, waves = self._usable(waveforms[:, 0].detach().cpu(), kept)
        if rows:
            vectors[rows] = self.embedder.encode_preprocessed(waves)
        return vectors

    def _usable(self, samples: Tensor, kept: Tensor) -> tuple[list[int], list[Wave]]:
        """The rows that are long and loud enough, and their samples for the encoder."""
        rows, waves = [], []
        for row, (wave, inside) in enumerate(zip(samples, kept, strict=True)):
            left = wave[inside].float().numpy()
            if len(left) < self.min_num_samples:
                continue
            try:
                waves.append(self.embedder.load_audio(left, self.sample_rate))
            except AudioError:
                continue
            rows.append(row)
        return rows, waves


def _kept(waveforms: Tensor, masks: Tensor | None) -> Tensor:
    """A mask (B, T) of the samples to use."""
    batch, _, samples = waveforms.shape
    if masks is None:
        return torch.ones(batch, samples, dtype=torch.bool)
    masks = torch.as_tensor(masks).detach().cpu().float()
    if masks.ndim != 2 or len(masks) != batch or not masks.shape[1]:
        raise InputError(
            f"masks of shape ({batch}, N), one per waveform, are needed, got {tuple(masks.shape)}"
        )
    stretched = functional.interpolate(masks[:, None], size=samples, mode="nearest")
    return stretched[:, 0] >= LEAST_WEIGHT
