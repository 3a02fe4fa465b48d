"""Numbers of the Embedder: batches, windows, precisions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import timbral
from conftest import SMALL, needs_bf16
from timbral.audio.decode import Wave
from timbral.audio.preprocessing import Preprocessing, load
from timbral.encoders.registry import ENCODERS
from timbral.errors import AudioError, ConfigError
from timbral.inference.embedder import Embedder


@pytest.fixture
def paths(voices: Path) -> list[Path]:
    return sorted(voices.glob("*/*.ogg"))


@pytest.mark.parametrize("name", sorted(ENCODERS))
def test_shortest_and_long_audio(name: str, tone: Callable[..., Wave]) -> None:
    embedder = Embedder(ENCODERS[name](SMALL[name]))
    shortest = embedder.network.min_samples
    for samples in (shortest, shortest + 1, 7_000, 640_000):
        assert np.isfinite(embedder.encode(tone(samples / 16_000))).all()
    for samples in (shortest - 1, 800):
        with pytest.raises(AudioError, match="too short"):
            embedder.encode(tone(samples / 16_000))


@pytest.mark.parametrize("name", ["ecapa", "wavlm"])
def test_long_audio_is_encoded_in_equal_segments(
    name: str, waves: list[Wave], monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    embedder = Embedder(ENCODERS[name](SMALL[name]))
    long, short = np.concatenate(waves[:4]), waves[4]
    longest = (len(long) / 16_000 - 0.01) / 2
    monkeypatch.setattr(ENCODERS[name], "longest_seconds", longest)
    mean = embedder.encode_preprocessed(np.array_split(long, 3)).mean(axis=0)
    vectors = embedder.encode_preprocessed([long, short])
    np.testing.assert_allclose(vectors[0], mean / np.linalg.norm(mean), atol=1e-5)
    np.testing.assert_allclose(vectors[1], embedder.encode_preprocessed([short])[0], atol=1e-5)


@pytest.mark.slow
def test_compiled_encoder_gives_the_same_vectors(waves: list[Wave]) -> None:
    torch.manual_seed(0)
    encoder = ENCODERS["tdnn"](SMALL["tdnn"])
    exact = Embedder(encoder).encode_preprocessed(waves[:3])
    compiled = Embedder(encoder, compile=True).encode_preprocessed(waves[:3])
    np.testing.assert_allclose(compiled, exact, atol=1e-5)


@pytest.mark.parametrize("name", sorted(ENCODERS))
@needs_bf16
def test_bf16_vectors_are_near_those_of_float32(name: str, waves: list[Wave]) -> None:
    torch.manual_seed(0)
    encoder = ENCODERS[name](SMALL[name])
    exact = Embedder(encoder).encode_preprocessed(waves[:3])
    near = Embedder(encoder, precision="bf16").encode_preprocessed(waves[:3])
    assert np.einsum("ne,ne->n", exact, near).min() >= 0.999


def test_precisions_are_known() -> None:
    with pytest.raises(ConfigError, match="precision: unknown value 'int4'"):
        Embedder(ENCODERS["tdnn"](SMALL["tdnn"]), precision="int4")
    with pytest.raises(
        ConfigError, match="int8 is offered for campplus, campplus-small, ecapa, not for tdnn"
    ):
        Embedder(ENCODERS["tdnn"](SMALL["tdnn"]), precision="int8")


def test_windows_are_averaged_as_paddlespeech_does(waves: list[Wave]) -> None:
    """One window after another through the encoder alone, from one mel."""
    torch.manual_seed(0)
    encoder = ENCODERS["lstm"](SMALL["lstm"]).eval()
    wave = np.concatenate(waves[:3])
    assert encoder.windows is not None
    starts = encoder.windows.starts(len(wave), 160)
    assert len(starts) > 5
    padded = np.pad(wave, (0, max(0, (starts[-1] + 160) * 160 - len(wave))))
    with torch.inference_mode():
        mel, _ = encoder.features(torch.from_numpy(padded)[None], torch.tensor([len(padded)]))
        partials = [
            encoder.embed_features(mel[:, start : start + 160], torch.tensor([160]))[0]
            for start in starts
        ]
    mean = torch.stack(partials).mean(dim=0)
    expected = (mean / mean.norm()).numpy()
    np.testing.assert_allclose(
        Embedder(encoder).encode_preprocessed([wave])[0], expected, atol=1e-6
    )


def test_the_preprocessing_of_training_is_applied(
    run: Path, store: object, paths: list[Path]
) -> None:
    embedder = timbral.load_encoder(run, device="cpu")
    assert embedder.preprocessing == Preprocessing()
    quiet = 0.01 * load(paths[0])
    np.testing.assert_allclose(
        embedder.load_audio(quiet), Preprocessing()(quiet, 16_000, 16_000), atol=1e-7
    )
