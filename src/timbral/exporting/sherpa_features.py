"""sherpa-onnx's filter banks for speaker encoders, and a layer that corrects for them.

sherpa-onnx 1.13 to 2.0 computes the same features for every model: 80 Kaldi filter banks with
Povey's window, an upper edge of 7,600 Hz and frames that extend over both ends (the defaults of
features.h). So each of its bands differs from the one that an encoder was trained on, and nothing
above 7,600 Hz is used. A fitted layer corrects most of that: it multiplies the logarithms of the
banks, and of sums of neighboring banks, by a matrix.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from timbral.audio.decode import Wave
from timbral.encoders.frontends import FBANK_FFT, FbankConfig, KaldiFbank, kaldi_mel

__all__ = ["BankCorrection", "SherpaFbank", "fit_correction"]

HIGHEST_HZ = 7600.0
BELOW, ABOVE = 3, 4
"""how many neighboring bands below and above a band are summed for it; more above, because the
upper edge is lower in sherpa-onnx"""
LEAST_FRACTION = 0.05
"""least value of a sum, as a fraction of the band's own power, since negative weights may cancel"""
RIDGE = 1e-4
"""regularization: added to the variance of each input of the matrix, which are about 1"""


class SherpaFbank(KaldiFbank):
    """What sherpa-onnx computes from one whole recording."""

    def __init__(self, full_scale: float) -> None:
        super().__init__(FbankConfig(full_scale=full_scale))
        self.filters = kaldi_mel(self.num_features, FBANK_FFT, self.sample_rate, HIGHEST_HZ)

    def of_wave(self, wave: Tensor) -> Tensor:
        """One wave (T,) to frames (F, M), like Kaldi without snip-edges: mirrored at both ends."""
        samples = len(wave)
        count = (samples + self.hop_samples // 2) // self.hop_samples
        starts = torch.arange(count) * self.hop_samples
        first = self.hop_samples // 2 - self.window_samples // 2
        index = starts[:, None] + torch.arange(self.window_samples) + first
        index = torch.where(index < 0, -index - 1, index)
        index = torch.where(index >= samples, 2 * samples - 1 - index, index)
        return self.banks(wave[index][None])[0]


class BankCorrection(nn.Module):
    """From sherpa-onnx's banks (B, F, M) to approximately those that an encoder was trained on."""

    sums: Tensor
    matrix: Tensor

    def __init__(self, sums: Tensor, matrix: Tensor) -> None:
        super().__init__()
        self.register_buffer("sums", sums)
        self.register_buffer("matrix", matrix)

    def inputs(self, banks: Tensor) -> Tensor:
        """The logarithms of banks and of their sums (..., 2 M)."""
        powers = banks.exp()
        sums = torch.maximum(powers @ self.sums, powers * LEAST_FRACTION)
        return torch.cat([banks, sums.log()], dim=-1)

    def forward(self, banks: Tensor) -> Tensor:
        outputs: Tensor = self.inputs(banks) @ self.matrix
        return outputs


@torch.no_grad()
def fit_correction(own: KaldiFbank, waves: Sequence[Wave]) -> BankCorrection:
    """Fit the correction by least squares to frames of some speech, for an encoder's front-end.

    Powers are weighted so that relative errors count. The mean of each recording is subtracted, as
    encoders do.
    """
    sherpa = SherpaFbank(own.config.full_scale)
    given, wanted = [], []
    for wave in waves:
        windows = torch.from_numpy(wave).unfold(0, own.window_samples, own.hop_samples)[None]
        given.append(sherpa.banks(windows)[0].double())
        wanted.append(own.banks(windows)[0].double())
    sums = _fit_sums(torch.cat(given).exp(), torch.cat(wanted).exp())
    correction = BankCorrection(sums, sums.new_zeros(2 * len(sums), len(sums)))
    inputs = torch.cat([_centered(correction.inputs(banks)) for banks in given])
    outputs = torch.cat([_centered(banks) for banks in wanted])
    variance = inputs.T @ inputs / len(inputs)
    variance += RIDGE * torch.eye(len(variance), dtype=torch.float64)
    correction.matrix = torch.linalg.solve(variance, inputs.T @ outputs / len(inputs))
    return correction.float()


def _centered(frames: Tensor) -> Tensor:
    return frames - frames.mean(0)


def _fit_sums(given: Tensor, wanted: Tensor) -> Tensor:
    """Weights (M, M) of neighboring powers (N, M) whose sums are closest to other powers."""
    bands = given.shape[1]
    weights = given.new_zeros(bands, bands)
    for band in range(bands):
        near = slice(max(0, band - BELOW), min(bands, band + ABOVE + 1))
        inputs = given[:, near] / wanted[:, band : band + 1]
        variance = inputs.T @ inputs / len(inputs)
        variance += 1e-6 * torch.eye(len(variance), dtype=torch.float64)
        weights[near, band] = torch.linalg.solve(variance, inputs.mean(0))
    return weights
