"""Front-ends against librosa and Kaldi's recipe; padding does not affect them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from timbral.audio.decode import Wave
from timbral.encoders.frontends import (
    GE2E_MEL,
    LOG_MEL_80,
    FbankConfig,
    Frontend,
    KaldiFbank,
    MelConfig,
    MelSpectrogram,
    slaney_mel,
)
from timbral.encoders.wave_mels import BLOCK_FRAMES, WaveMels

LIBROSA = np.load(Path(__file__).parent / "golden" / "librosa.npz")


@pytest.mark.parametrize("n_mels", [40, 80])
def test_filters_are_librosas(n_mels: int) -> None:
    expected = LIBROSA[f"filters.{n_mels}"]
    np.testing.assert_allclose(slaney_mel(n_mels, 400, 16_000).T, expected, atol=1e-7)


def test_ge2e_mel_is_librosas() -> None:
    frontend = MelSpectrogram(GE2E_MEL)
    for name in ("first", "second"):
        wave, expected = LIBROSA[f"{name}.wave"], LIBROSA[f"{name}.mel"].T
        mel, frames = frontend(torch.from_numpy(wave)[None], torch.tensor([len(wave)]))
        assert mel.shape == (1, *expected.shape)
        assert frames.tolist() == [len(expected)]
        np.testing.assert_allclose(mel[0], expected, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("frames", [1, 2, BLOCK_FRAMES, BLOCK_FRAMES + 1, 3 * BLOCK_FRAMES - 1])
def test_mels_of_one_wave_are_those_of_a_batch(frames: int) -> None:
    """Also where blocks overlap, and for a wave shorter than a window."""
    frontend = MelSpectrogram(GE2E_MEL)
    noise = np.random.default_rng(frames).standard_normal(160 * frames - 1).astype(np.float32)
    expected = frontend(torch.from_numpy(noise)[None], torch.tensor([noise.size]))[0][0]
    apart = np.stack([noise, noise], axis=1)[:, 0]  # a channel, whose samples are not neighbors
    for wave in (noise, apart):
        np.testing.assert_allclose(WaveMels(frontend)(wave), expected, rtol=1e-4, atol=1e-5)


FRONTENDS: dict[str, Frontend] = {
    "ge2e": MelSpectrogram(GE2E_MEL),
    "log": MelSpectrogram(LOG_MEL_80),
    "log-mean": MelSpectrogram(MelConfig(n_mels=80, scale="log", mean_normalize=True)),
    "kaldi": KaldiFbank(FbankConfig(mean_normalize=False)),
    "kaldi-mean": KaldiFbank(FbankConfig(mean_normalize=True)),
}


@pytest.mark.parametrize("name", sorted(FRONTENDS))
def test_padding_and_batch_mates_do_not_affect_frames(name: str, waves: list[Wave]) -> None:
    frontend = FRONTENDS[name]
    lengths = torch.tensor([len(wave) for wave in waves])
    batch = torch.full((len(waves), int(lengths.max()) + 5000), torch.nan)
    for row, wave in enumerate(waves):
        batch[row, : len(wave)] = torch.from_numpy(wave)
    together, frames = frontend(batch, lengths)
    for row, wave in enumerate(waves):
        alone, count = frontend(torch.from_numpy(wave)[None], lengths[row : row + 1])
        assert frames[row] == count[0]
        torch.testing.assert_close(together[row, : frames[row]], alone[0], atol=1e-5, rtol=1e-4)
        assert not together[row, frames[row] :].any()


def kaldi_fbank(wave: Wave) -> np.ndarray:
    """Kaldi's recipe, one window at a time, in float64."""
    mel = 1127.0 * np.log1p(np.arange(256) * 16_000 / 512 / 700.0)
    edges = np.linspace(1127.0 * np.log1p(20 / 700.0), 1127.0 * np.log1p(8000 / 700.0), 82)
    rows = []
    for start in range(0, len(wave) - 399, 160):
        frame = wave[start : start + 400].astype(np.float64)
        frame = frame - frame.mean()
        frame = np.r_[frame[0] * (1 - 0.97), frame[1:] - 0.97 * frame[:-1]]
        frame *= (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 399)) ** 0.85
        power = np.abs(np.fft.rfft(frame, 512)) ** 2
        banks = []
        for left, center, right in zip(edges[:-2], edges[1:-1], edges[2:], strict=True):
            rise, fall = (mel - left) / (center - left), (right - mel) / (right - center)
            banks.append(np.sum(power[:256] * np.clip(np.minimum(rise, fall), 0, None)))
        rows.append(np.log(np.maximum(banks, np.finfo(np.float32).eps)))
    return np.array(rows)


def test_kaldi_fbank(waves: list[Wave]) -> None:
    frontend = KaldiFbank(FbankConfig(mean_normalize=False))
    for wave in waves[:2]:
        banks, frames = frontend(torch.from_numpy(wave)[None], torch.tensor([len(wave)]))
        expected = kaldi_fbank(wave)
        assert frames.tolist() == [len(expected)]
        np.testing.assert_allclose(banks[0], expected, atol=2e-3)
        assert np.abs(banks[0].numpy() - expected).mean() < 1e-5


@pytest.mark.parametrize("window", ["povey", "hamming"])
@pytest.mark.parametrize("mean_normalize", [False, True])
def test_banks_in_blocks_are_those_of_the_batch(
    window: str, mean_normalize: bool, waves: list[Wave]
) -> None:
    """What inference mode takes on a CPU, with an offset that Kaldi takes off each window."""
    frontend = KaldiFbank(FbankConfig(mean_normalize=mean_normalize, window=window))
    lengths = torch.tensor([len(wave) for wave in waves])
    batch = torch.full((len(waves), int(lengths.max()) + 5000), torch.nan)
    for row, wave in enumerate(waves):
        batch[row, : len(wave)] = torch.from_numpy(wave) + 0.05
    expected, expected_frames = frontend(batch, lengths)
    with torch.inference_mode():
        made, frames = frontend(batch, lengths)
        assert torch.equal(frames, expected_frames)
        assert made.shape == expected.shape
        np.testing.assert_allclose(made, expected, atol=2e-3)
        assert (made - expected).abs().mean() < 1e-5
        for row, length in enumerate(lengths.tolist()):
            alone, count = frontend(batch[row : row + 1, :length], lengths[row : row + 1])
            assert torch.equal(alone[0], made[row, : int(count)])
