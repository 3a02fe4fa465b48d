"""chatterbox's voice encoder: its file is converted, and gives the vectors that it gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

import timbral
from test_foreign import GOLDEN, assert_same, drawn
from timbral.audio.preprocessing import load
from timbral.audio.quiet_ends import loud_extent
from timbral.encoders.frontends import GE2E_MEL, MelConfig, MelSpectrogram
from timbral.encoders.lstm import LstmConfig, LstmEncoder
from timbral.exporting.graph import graph_of
from timbral.inference.torch_runtime import TorchRuntime


def test_vectors_are_those_of_chatterbox(tmp_path: Path) -> None:
    golden = np.load(GOLDEN / "chatterbox.npz")
    safetensors.torch.save_file(drawn(golden), tmp_path / "ve.safetensors")
    timbral.convert(tmp_path / "ve.safetensors", tmp_path / "converted")
    encoder = timbral.load_encoder(tmp_path / "converted", device="cpu")
    assert encoder.preprocessing.trim == "quiet-ends"
    assert_same(encoder, golden["names"], golden["vectors"])


def test_mirrored_ends_are_each_utterances_own() -> None:
    mels = MelSpectrogram(MelConfig(edges="mirrored"))
    long, short = torch.randn(2, 4000)
    waves = torch.stack([long, torch.cat([short[:1777], torch.full((2223,), torch.nan)])])
    frames, counts = mels(waves, torch.tensor([4000, 1777]))
    for row, wave in enumerate((long, short[:1777])):
        spectrum = torch.stft(
            wave, 400, 160, window=torch.hann_window(400), pad_mode="reflect", return_complex=True
        )
        expected = (spectrum.abs().square().T @ mels.filters).numpy()
        assert counts[row] == len(expected)
        np.testing.assert_allclose(frames[row, : counts[row]].numpy(), expected, rtol=1e-4)
        assert not frames[row, counts[row] :].any()
    plain = MelSpectrogram(GE2E_MEL)(waves, torch.tensor([4000, 1777]))[0]
    assert not torch.allclose(plain[:, 0], frames[:, 0])


def test_the_exported_graph_has_zero_frames_after_the_end_too() -> None:
    config = LstmConfig(num_layers=1, hidden_size=8, embedding_dim=8, mel_edges="mirrored")
    network = LstmEncoder(config).eval()
    waves = [torch.randn(samples).numpy() for samples in (60_000, 9_000)]
    expected = TorchRuntime(network, "cpu").embed_waves(waves, network.windows)
    padded = torch.zeros(2, 60_000)
    for row, wave in enumerate(waves):
        padded[row, : len(wave)] = torch.from_numpy(wave)
    with torch.no_grad():
        vectors, _ = graph_of(network)(padded, torch.tensor([60_000, 9_000]))
    np.testing.assert_allclose(vectors.numpy(), expected, atol=1e-5)


def test_quiet_ends_are_those_of_librosa(voices: Path) -> None:
    librosa = pytest.importorskip("librosa")
    speech = load(sorted(voices.glob("*/*.ogg"))[0])
    noise = 1e-3 * np.random.default_rng(0).standard_normal(16_000).astype(np.float32)
    for wave in (np.concatenate([noise, speech, noise]), speech[:700], 0 * speech):
        expected = librosa.effects.trim(wave, top_db=20)[0]
        first, end = loud_extent(wave)
        np.testing.assert_array_equal(wave[first:end], expected)
