"""Windows of a recording that comes in chunks: those of the whole recording, as soon as can be."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
import soxr
import torch
from numpy.typing import NDArray

from conftest import SMALL
from timbral.audio.decode import Wave, to_int16
from timbral.audio.preprocessing import Preprocessing
from timbral.encoders.lstm import LstmConfig
from timbral.encoders.registry import ENCODERS
from timbral.errors import AudioError, ConfigError, InputError
from timbral.inference.embedder import Embedder
from timbral.inference.window_stream import WindowStream
from timbral.io.types import Floats, Vectors

PLAIN = Preprocessing(min_rms_dbfs=None)


def made(name: str = "lstm", preprocessing: Preprocessing = PLAIN) -> Embedder:
    torch.manual_seed(0)
    return Embedder(ENCODERS[name](SMALL[name]), preprocessing)


def streamed(
    stream: WindowStream, samples: NDArray[Any], sizes: Iterable[int]
) -> tuple[Floats, Vectors]:
    """Chunks of these sizes, in turn, then the end."""
    given, start, sizes = [], 0, list(sizes)
    while start < len(samples):
        size = sizes[len(given) % len(sizes)]
        given.append(stream.push(samples[start : start + size]))
        start += size
    given.append(stream.close())
    return np.concatenate([t for t, _ in given]), np.concatenate([v for _, v in given])


@pytest.fixture(scope="module")
def talk(waves: list[Wave]) -> Wave:
    return np.concatenate(waves)[: 16_000 * 7 + 77]


@pytest.mark.parametrize("name", SMALL)
def test_windows_are_those_of_the_whole(name: str, talk: Wave) -> None:
    encoder, talk = made(name), talk[: 16_000 * 3 + 77]
    times, vectors = encoder.encode_windows(talk)
    made_times, made_vectors = streamed(encoder.window_stream(), talk, (1, 161, 30_011, 7))
    np.testing.assert_array_equal(made_times, times)
    np.testing.assert_allclose(made_vectors, vectors, atol=1e-6)


@pytest.mark.parametrize("edges", ["zeros", "mirrored"])
@pytest.mark.parametrize(
    "samples", [1_600, 19_199, 25_599, 25_600, 26_240, 31_999, 32_000, 38_400, 64_000, 64_001]
)
def test_own_windows_of_any_length(samples: int, edges: str, talk: Wave) -> None:
    """The last one hangs over the end, or is left out."""
    torch.manual_seed(0)
    config = LstmConfig(1, 8, 8, mel_edges=edges)
    encoder = Embedder(ENCODERS["lstm"](config), PLAIN)
    times, vectors = encoder.encode_windows(talk[8_000 : 8_000 + samples])
    for sizes in ((samples,), (1_601, 3), (12_800,)):
        made_times, made_vectors = streamed(
            encoder.window_stream(), talk[8_000 : 8_000 + samples], sizes
        )
        np.testing.assert_array_equal(made_times, times)
        np.testing.assert_allclose(made_vectors, vectors, atol=1e-6)


@pytest.mark.parametrize(("seconds", "step"), [(1.0, 0.3), (1.0, 1.7), (30.0, None), (None, 0.5)])
def test_windows_of_given_seconds(seconds: float | None, step: float | None, talk: Wave) -> None:
    encoder = made("tdnn")
    times, vectors = encoder.encode_windows(talk, seconds, step)
    made_times, made_vectors = streamed(
        encoder.window_stream(seconds=seconds, step=step), talk, (999, 20_000)
    )
    np.testing.assert_array_equal(made_times, times)
    np.testing.assert_allclose(made_vectors, vectors, atol=1e-6)


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100, 48_000])
def test_chunks_of_another_rate(rate: int, talk: Wave) -> None:
    encoder = made("tdnn")
    samples = np.clip(soxr.resample(talk, 16_000, rate), -1, 1)
    times, vectors = encoder.encode_windows(samples, sample_rate=rate)
    stream = encoder.window_stream(sample_rate=rate)
    made_times, made_vectors = streamed(stream, samples, (1_237, 333))
    np.testing.assert_array_equal(made_times, times)
    np.testing.assert_allclose(made_vectors, vectors, atol=1e-6)


def test_windows_come_with_their_last_sample(talk: Wave) -> None:
    stream = made("tdnn").window_stream(seconds=1.5, step=0.75)
    assert len(stream.push(talk[:23_999])[0]) == 0
    times, vectors = stream.push(talk[23_999:24_000])
    np.testing.assert_allclose(times, [[0.0, 1.5]])
    assert vectors.shape == (1, stream._encoder.embedding_dim)
    own = made("lstm").window_stream()
    assert len(own.push(talk[: 25_600 + 639])[0]) == 0
    assert len(own.push(talk[25_600 + 639 : 25_600 + 640])[0]) == 1


def test_little_is_held() -> None:
    stream = made("tdnn").window_stream(seconds=1.0, step=0.25)
    noise = np.random.default_rng(0).normal(0, 0.1, 16_000).astype(np.float32)
    for _ in range(6):
        stream.push(noise)
        assert sum(map(len, stream._held)) <= 16_000
    own = made("lstm").window_stream()
    for _ in range(6):
        own.push(noise)
        assert sum(map(len, own._held)) <= (160 + 3 * 80) * 160


def test_quiet_recordings_are_raised_by_what_is_known(talk: Wave) -> None:
    """A level is known at the end only: either it is given, or one is told."""
    encoder = made("lstm", Preprocessing(min_rms_dbfs=-20.0))
    quiet = talk * np.float32(0.01)
    times, vectors = encoder.encode_windows(quiet)
    measured = made("lstm").window_stream()
    streamed(measured, quiet, (5_000,))
    known = encoder.window_stream(rms_dbfs=measured.rms_dbfs)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made_times, made_vectors = streamed(known, quiet, (5_000,))
        streamed(encoder.window_stream(), np.clip(20 * talk, -1, 1), (5_000,))
    np.testing.assert_array_equal(made_times, times)
    np.testing.assert_allclose(made_vectors, vectors, atol=1e-6)
    with pytest.warns(
        UserWarning,
        match=r"stream was -\d\d\.\d dBFS.*to -20 dBFS: pass the expected level as rms_dbfs",
    ):
        streamed(encoder.window_stream(), quiet, (5_000,))


@pytest.mark.parametrize("rate", [8_000, 16_000])
def test_pauses_are_cut_as_in_the_whole(rate: int, talk: Wave) -> None:
    pytest.importorskip("_webrtcvad")
    encoder = made("lstm", Preprocessing("webrtc", None))
    pause = np.random.default_rng(0).normal(0, 1e-4, 20_000).astype(np.float32)
    samples = np.concatenate([pause, talk[:30_000], pause, talk[30_000:60_000], pause])
    samples = np.clip(soxr.resample(samples, 16_000, rate), -1, 1)
    times, vectors = encoder.encode_windows(samples, sample_rate=rate)
    assert times[-1, 1] < 6.0
    for sizes in ((1, 7, 4_001, 50_023), (100_000_000,), (4_799, 1)):
        stream = encoder.window_stream(sample_rate=rate)
        made_times, made_vectors = streamed(stream, samples, sizes)
        np.testing.assert_array_equal(made_times, times)
        np.testing.assert_allclose(made_vectors, vectors, atol=1e-6)
    stream = encoder.window_stream()
    stream.push(pause)
    with pytest.raises(AudioError, match="nothing is left after trimming"):
        stream.close()


def test_forms_of_samples(talk: Wave) -> None:
    encoder = made("tdnn")
    pcm = to_int16(talk)
    times, vectors = encoder.encode_windows(pcm)
    stream = encoder.window_stream()
    parts = np.array_split(pcm, 4)
    given = [
        stream.push(parts[0]),
        stream.push(torch.from_numpy(parts[1])),
        stream.push(parts[2].astype(np.float64) / 32_768),
        stream.push(np.zeros(0, np.float32)),
        stream.push(parts[3][None]),
        stream.close(),
    ]
    np.testing.assert_array_equal(np.concatenate([t for t, _ in given]), times)
    np.testing.assert_allclose(np.concatenate([v for _, v in given]), vectors, atol=1e-6)


def test_bad_chunks_are_refused_and_leave_the_stream_as_it_was(talk: Wave) -> None:
    encoder = made("tdnn")
    times, vectors = encoder.encode_windows(talk[:40_000])
    stream = encoder.window_stream()
    first = stream.push(talk[:30_000])
    for bad, words in (
        (np.array([0.1, np.nan], np.float32), "NaN or infinite"),
        (np.array([0.1, -np.inf], np.float32), "NaN or infinite"),
        (np.array([0.1, 1.5], np.float32), r"reach 1\.5, .*scale or clip"),
    ):
        with pytest.raises(AudioError, match=words):
            stream.push(bad)
    for wrong in (np.zeros((2, 9)), np.zeros(9, np.uint8), np.array(["a"]), [0.1, 0.2], "a.wav"):
        with pytest.raises(InputError, match="samples"):
            stream.push(wrong)  # type: ignore[arg-type]
    rest, end = stream.push(talk[30_000:40_000]), stream.close()
    np.testing.assert_array_equal(np.concatenate([first[0], rest[0], end[0]]), times)
    joined = np.concatenate([first[1], rest[1], end[1]])
    np.testing.assert_allclose(joined, vectors, atol=1e-6)
    for call in (stream.close, lambda: stream.push(talk)):
        with pytest.raises(InputError, match="the stream is closed"):
            call()


@pytest.mark.parametrize(
    ("samples", "words"),
    [(0, "is empty"), (100, "0.006 s of audio is too short; tdnn needs"), (-16_000, "is silent")],
)
def test_recordings_that_are_none(samples: int, words: str, talk: Wave) -> None:
    stream = made("tdnn").window_stream()
    stream.push(talk[20_000 : 20_000 + samples] if samples >= 0 else np.zeros(-samples))
    with pytest.raises(AudioError, match=words):
        stream.close()


def test_what_cannot_be_streamed_is_said_at_once() -> None:
    for trim in ("energy", "silero", "edges", "quiet-ends"):
        with pytest.raises(ConfigError, match=f"trim {trim} needs the whole recording"):
            made("tdnn", Preprocessing(trim)).window_stream()
    encoder = made("tdnn")
    with pytest.raises(ConfigError, match="seconds: tdnn needs"):
        encoder.window_stream(seconds=0.05)
    with pytest.raises(ConfigError, match="sample_rate must be a whole number"):
        encoder.window_stream(sample_rate=10)
    with pytest.raises(ConfigError, match="rms_dbfs must be in"):
        encoder.window_stream(rms_dbfs=float("nan"))
