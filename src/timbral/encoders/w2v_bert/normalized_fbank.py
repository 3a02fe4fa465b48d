"""w2v-BERT's front-end: Kaldi's filter banks, each normalized over an utterance's own frames."""

from __future__ import annotations

from torch import Tensor

from timbral.encoders.frontends import FbankConfig, Frontend, KaldiFbank
from timbral.encoders.layers.frames import frame_mask

__all__ = ["NormalizedFbank"]

BANKS = FbankConfig(full_scale=32_768.0)
VARIANCE_EPSILON = 1e-7


class NormalizedFbank(Frontend):
    """80 filter banks at zero mean and unit variance, as in SeamlessM4T's feature extractor."""

    def __init__(self) -> None:
        super().__init__()
        self.config = BANKS
        self.banks = KaldiFbank(BANKS)
        self.sample_rate = self.banks.sample_rate
        self.hop_samples = self.banks.hop_samples
        self.num_features = self.banks.num_features

    def forward(self, waves: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        banks, frame_lengths = self.banks(waves, lengths)
        inside = frame_mask(frame_lengths, banks.shape[1])[:, :, None]
        count = frame_lengths[:, None, None]
        centered = (banks - (banks * inside).sum(1, keepdim=True) / count) * inside
        variance = centered.square().sum(1, keepdim=True) / (count - 1)
        return centered / (variance + VARIANCE_EPSILON).sqrt(), frame_lengths
