"""The front-end against librosa, and its indifference to padding."""

from __future__ import annotations

import librosa
import numpy as np
import pytest
import torch

from timbral.audio import Wave
from timbral.features import GE2E_MEL, LOG_MEL_80, MelConfig, MelSpectrogram, slaney_mel


@pytest.mark.parametrize("n_mels", [40, 80])
def test_filters_are_librosas(n_mels: int) -> None:
    expected = librosa.filters.mel(sr=16_000, n_fft=400, n_mels=n_mels)
    np.testing.assert_allclose(slaney_mel(n_mels, 400, 16_000).T, expected, atol=1e-7)


def test_ge2e_mel_is_librosas(waves: list[Wave]) -> None:
    frontend = MelSpectrogram(GE2E_MEL)
    for wave in waves[:4]:
        expected = librosa.feature.melspectrogram(
            y=wave, sr=16_000, n_fft=400, hop_length=160, n_mels=40
        ).T
        mel, frames = frontend(torch.from_numpy(wave)[None], torch.tensor([len(wave)]))
        assert mel.shape == (1, *expected.shape)
        assert frames.tolist() == [len(expected)]
        np.testing.assert_allclose(mel[0], expected, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize(
    "config", [GE2E_MEL, LOG_MEL_80, MelConfig(n_mels=80, log=True, mean_normalise=True)]
)
def test_padding_and_batch_mates_change_nothing(config: MelConfig, waves: list[Wave]) -> None:
    frontend = MelSpectrogram(config)
    lengths = torch.tensor([len(wave) for wave in waves])
    batch = torch.full((len(waves), int(lengths.max()) + 5000), torch.nan).nan_to_num(0.7)
    for row, wave in enumerate(waves):
        batch[row, : len(wave)] = torch.from_numpy(wave)
    together, frames = frontend(batch, lengths)
    for row, wave in enumerate(waves):
        alone, count = frontend(torch.from_numpy(wave)[None], lengths[row : row + 1])
        assert frames[row] == count[0]
        torch.testing.assert_close(together[row, : frames[row]], alone[0], atol=1e-5, rtol=1e-4)
        assert not together[row, frames[row] :].any()
