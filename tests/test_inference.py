"""The Embedder: what a user calls."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import timbral
from conftest import SMALL
from timbral.audio.decode import Wave, to_int16
from timbral.audio.preprocessing import Preprocessing, load
from timbral.encoders.registry import ENCODERS
from timbral.errors import AudioError, ConfigError, TimbralError
from timbral.inference.embedder import Embedder


@pytest.fixture
def embedder(run: Path) -> Embedder:
    return timbral.load_encoder(run, device="cpu")


@pytest.fixture
def paths(voices: Path) -> list[Path]:
    return sorted(voices.glob("*/*.ogg"))


def test_every_form_of_one_recording(embedder: Embedder, paths: list[Path]) -> None:
    vector = embedder.encode(paths[0])
    assert vector.shape == (embedder.embedding_dim,)
    assert vector.dtype == np.float32
    assert np.linalg.norm(vector) == pytest.approx(1.0, abs=1e-6)
    wave = load(paths[0])
    forms = [str(paths[0]), wave, wave.astype(np.float64), torch.from_numpy(wave)]
    for form in forms:
        np.testing.assert_allclose(embedder.encode(form), vector, atol=1e-6)
    assert embedder.encode(to_int16(wave)) @ vector > 0.999


def test_other_rates_are_resampled(embedder: Embedder, paths: list[Path]) -> None:
    import soxr

    wave = load(paths[0])
    high = soxr.resample(wave, 16_000, 48_000)
    assert embedder.encode(high, sample_rate=48_000) @ embedder.encode(wave) > 0.99


def test_speaker_is_the_mean(embedder: Embedder, paths: list[Path]) -> None:
    mean = np.mean([embedder.encode(path) for path in paths[:3]], axis=0)
    voice = embedder.encode_speaker(paths[:3])
    np.testing.assert_allclose(voice, mean / np.linalg.norm(mean), atol=1e-6)


def test_similarity(embedder: Embedder, paths: list[Path]) -> None:
    assert embedder.similarity(paths[0], paths[0]) == pytest.approx(1.0, abs=1e-6)
    expected = float(embedder.encode(paths[0]) @ embedder.encode(paths[-1]))
    assert embedder.similarity(paths[0], paths[-1]) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("audio", "words"),
    [
        (np.zeros(0, np.float32), "empty"),
        (np.zeros(16_000, np.float32), "silent"),
        (np.full(16_000, np.nan, np.float32), "NaN"),
        (np.ones((2, 16_000), np.float32), r"shape \(T,\)"),
        (np.ones(100, np.float32), r"0\.006 s of audio is too short; tdnn needs 0\.20 s"),
        ("missing.wav", "no such file"),
    ],
)
def test_bad_audio(embedder: Embedder, audio: object, words: str) -> None:
    with pytest.raises(AudioError, match=words):
        embedder.encode(audio)  # type: ignore[arg-type]


def test_bad_calls(embedder: Embedder) -> None:
    with pytest.raises(ConfigError, match="list is empty"):
        embedder.encode_speaker([])
    with pytest.raises(ConfigError, match="takes a list"):
        embedder.encode_speaker("a.wav")
    with pytest.raises(TimbralError, match="neither a run folder nor a known encoder"):
        timbral.load_encoder("nowhere")


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
def test_long_audio_is_embedded_in_equal_parts(
    name: str, waves: list[Wave], monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    embedder = Embedder(ENCODERS[name](SMALL[name]))
    long, short = np.concatenate(waves[:4]), waves[4]
    longest = (len(long) / 16_000 - 0.01) / 2
    monkeypatch.setattr(ENCODERS[name], "longest_seconds", longest)
    mean = embedder.encode_waves(np.array_split(long, 3)).mean(axis=0)
    vectors = embedder.encode_waves([long, short])
    np.testing.assert_allclose(vectors[0], mean / np.linalg.norm(mean), atol=1e-5)
    np.testing.assert_allclose(vectors[1], embedder.encode_waves([short])[0], atol=1e-5)


@pytest.mark.slow
def test_compiled_is_the_same(waves: list[Wave]) -> None:
    torch.manual_seed(0)
    encoder = ENCODERS["tdnn"](SMALL["tdnn"])
    exact = Embedder(encoder).encode_waves(waves[:3])
    compiled = Embedder(encoder, compile=True).encode_waves(waves[:3])
    np.testing.assert_allclose(compiled, exact, atol=1e-5)


@pytest.mark.parametrize("name", sorted(ENCODERS))
def test_bf16_is_near(name: str, waves: list[Wave]) -> None:
    torch.manual_seed(0)
    encoder = ENCODERS[name](SMALL[name])
    exact = Embedder(encoder).encode_waves(waves[:3])
    near = Embedder(encoder, precision="bf16").encode_waves(waves[:3])
    assert np.einsum("ne,ne->n", exact, near).min() >= 0.999
    with pytest.raises(ConfigError, match="fp32 or bf16"):
        Embedder(encoder, precision="int8")


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
        parts = [
            encoder.embed_features(mel[:, start : start + 160], torch.tensor([160]))[0]
            for start in starts
        ]
    mean = torch.stack(parts).mean(dim=0)
    expected = (mean / mean.norm()).numpy()
    np.testing.assert_allclose(Embedder(encoder).encode_waves([wave])[0], expected, atol=1e-6)


def test_the_encoder_hears_what_it_was_trained_on(
    run: Path, store: object, paths: list[Path]
) -> None:
    embedder = timbral.load_encoder(run, device="cpu")
    assert embedder.preprocessing == Preprocessing()
    quiet = 0.01 * load(paths[0])
    np.testing.assert_allclose(
        embedder.load(quiet), Preprocessing()(quiet, 16_000, 16_000), atol=1e-7
    )
