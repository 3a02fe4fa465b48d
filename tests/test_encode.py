"""What a user calls on an encoder: encode, encode_windows, encode_speaker, verify, save."""

from __future__ import annotations

import io
import math
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import soxr
import torch
from numpy.typing import NDArray

import timbral
from conftest import SMALL
from timbral.audio.decode import Wave, to_int16
from timbral.audio.preprocessing import load
from timbral.calibration.conditions import Conditions
from timbral.checkpoints.checkpoint import Checkpoint
from timbral.encoders.registry import ENCODERS
from timbral.errors import AudioError, ConfigError, DataError, InputError, TimbralError
from timbral.inference.decision import PairScore, Question, decide
from timbral.inference.embedder import Embedder
from timbral.inference.windows import sliding_windows


@pytest.fixture(scope="module")
def encoder(run: Path) -> Embedder:
    return timbral.load_encoder(run, device="cpu")


@pytest.fixture(scope="module")
def paths(voices: Path) -> list[Path]:
    return sorted(voices.glob("*/*.ogg"))


def encoded(wave: Wave, format: str = "WAV") -> bytes:
    file = io.BytesIO()
    soundfile.write(file, wave, 16_000, subtype="FLOAT" if format == "WAV" else None, format=format)
    return file.getvalue()


def masked(values: NDArray[Any]) -> NDArray[Any]:
    """The values, the first of them masked."""
    return np.ma.array(values, mask=np.arange(values.size).reshape(values.shape) == 0)


FORMS: dict[str, Callable[[Path, Wave], object]] = {
    "path": lambda path, wave: path,
    "str": lambda path, wave: str(path),
    "segment": lambda path, wave: f"{path}#t=0",
    "float32": lambda path, wave: wave,
    "float64": lambda path, wave: wave.astype(np.float64),
    "(1, T)": lambda path, wave: wave[None],
    "(T, 1)": lambda path, wave: wave[:, None],
    "tensor": lambda path, wave: torch.from_numpy(wave),
    "torchaudio": lambda path, wave: torch.from_numpy(wave)[None],
    "float64 tensor": lambda path, wave: torch.from_numpy(wave).double(),
    "with gradient": lambda path, wave: torch.from_numpy(wave).requires_grad_(),
    "not contiguous": lambda path, wave: np.stack([wave, wave], axis=1)[:, 0],
    "read-only": lambda path, wave: np.frombuffer(wave.tobytes(), np.float32),
    "masked nowhere": lambda path, wave: np.ma.array(wave),
    "reversed": lambda path, wave: wave[::-1].copy()[::-1],
    "(samples, rate)": lambda path, wave: (wave, 16_000),
    "(rate, samples)": lambda path, wave: (np.int64(16_000), torch.from_numpy(wave)),
    "bytes": lambda path, wave: path.read_bytes(),
    "memoryview": lambda path, wave: memoryview(encoded(wave)),
    "BytesIO": lambda path, wave: io.BytesIO(encoded(wave)),
    "Hugging Face": lambda path, wave: {"array": wave, "sampling_rate": 16_000, "path": "x"},
    "Hugging Face list": lambda path, wave: {"array": wave.tolist(), "sampling_rate": 16_000},
    "Hugging Face bytes": lambda path, wave: {"bytes": path.read_bytes(), "path": None},
    "Hugging Face path": lambda path, wave: {"bytes": None, "path": str(path)},
}
COARSE: dict[str, Callable[[Wave], object]] = {
    "int16": to_int16,
    "int32": lambda wave: to_int16(wave).astype(np.int32) * 65_536,
    "float16": lambda wave: wave.astype(np.float16),
    "fp16 tensor": lambda wave: torch.from_numpy(wave).half(),
    "bf16 tensor": lambda wave: torch.from_numpy(wave).bfloat16(),
    "int16 tensor": lambda wave: torch.from_numpy(to_int16(wave)),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_a_recording(encoder: Embedder, paths: list[Path], form: str) -> None:
    vector = encoder.encode(paths[0])
    assert vector.shape == (encoder.embedding_dim,)
    assert vector.dtype == np.float32
    assert np.linalg.norm(vector) == pytest.approx(1.0, abs=1e-6)
    given = FORMS[form](paths[0], load(paths[0]))
    np.testing.assert_allclose(encoder.encode(given), vector, atol=1e-6)  # type: ignore[arg-type]


def test_open_file(encoder: Embedder, paths: list[Path]) -> None:
    with open(paths[0], "rb") as file:
        np.testing.assert_array_equal(encoder.encode(file), encoder.encode(paths[0]))
    with open(__file__, "rb") as file, pytest.raises(AudioError, match=r"test_encode\.py: cannot"):
        encoder.encode(file)


@pytest.mark.parametrize("form", COARSE)
def test_samples_of_low_precision_are_taken(
    encoder: Embedder, paths: list[Path], form: str
) -> None:
    given = COARSE[form](load(paths[0]))
    assert encoder.encode(given) @ encoder.encode(paths[0]) > 0.99  # type: ignore[arg-type]


def test_many_recordings_of_any_form(encoder: Embedder, paths: list[Path]) -> None:
    wave = load(paths[3])
    mixed = [paths[0], str(paths[1]), (load(paths[2]), 16_000), wave, torch.from_numpy(wave)[None]]
    vectors = encoder.encode(mixed)
    assert vectors.shape == (5, encoder.embedding_dim)
    alone = [encoder.encode(recording) for recording in mixed]
    np.testing.assert_allclose(vectors, alone, atol=1e-5)
    np.testing.assert_array_equal(vectors, encoder.encode(tuple(mixed)))
    assert encoder.encode([]).shape == (0, encoder.embedding_dim)
    assert encoder.encode([paths[0]]).shape == (1, encoder.embedding_dim)


def test_many_recordings_are_held_a_group_at_a_time(
    encoder: Embedder, paths: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = encoder.encode(paths[:9])
    monkeypatch.setattr("timbral.inference.embedder.BATCHES_IN_MEMORY", 0.5)
    np.testing.assert_allclose(encoder.encode(paths[:9]), whole, atol=1e-5)


def test_other_rates_are_resampled(encoder: Embedder, paths: list[Path]) -> None:
    wave = load(paths[0])
    high = soxr.resample(wave, 16_000, 48_000)
    vector = encoder.encode(wave)
    for given in ((high, 48_000), (48_000.0, high), {"array": high, "sampling_rate": 48_000}):
        assert encoder.encode(given) @ vector > 0.99  # type: ignore[arg-type]
    assert encoder.encode(high, sample_rate=48_000) @ vector > 0.99
    np.testing.assert_array_equal(
        encoder.encode([high, (wave, 16_000)], sample_rate=48_000)[0],
        encoder.encode([(high, 48_000), wave])[0],
    )


@pytest.mark.parametrize("rate", [0, -16_000, float("nan"), float("inf"), 44_100.5, 8, True, "hi"])
def test_impossible_rate_is_an_error(encoder: Embedder, rate: object, tone: object) -> None:
    wave = np.ones(16_000, np.float32)
    with pytest.raises(ConfigError, match="audio: sample_rate must be a whole number of Hz"):
        encoder.encode(wave, sample_rate=rate)  # type: ignore[arg-type]
    if not isinstance(rate, str):
        with pytest.raises(ConfigError, match="sample_rate must be a whole number"):
            encoder.encode((wave, rate))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("audio", "words"),
    [
        (np.zeros(0, np.float32), "audio: the recording is empty"),
        (np.zeros(16_000, np.float32), "silent"),
        (np.full(16_000, np.nan, np.float32), "NaN"),
        (np.ones(100, np.float32), r"0\.006 s of audio is too short; tdnn needs 0\.20 s"),
        ("", r"^'': the path is empty"),
        ("missing.wav", r"missing\.wav: no such file"),
        (["missing.wav"], r"missing\.wav: no such file"),
        ([np.ones(16_000, np.float32), np.zeros(5, np.float32)], r"audio\[1\]: the recording is"),
        (b"", r"audio \(0 bytes\): the file is empty"),
        (b"no audio at all", r"audio \(15 bytes\): cannot be read as audio"),
    ],
)
def test_unusable_recordings(encoder: Embedder, audio: object, words: str) -> None:
    with pytest.raises(AudioError, match=words):
        encoder.encode(audio)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("audio", "words"),
    [
        (None, r"audio: a recording is a path .* got NoneType None"),
        (3, "got int 3"),
        ({"a": 1}, "got one with the keys 'a'"),
        ([0.1, 0.2, 0.3], r"audio\[0\]: a recording is .* got float 0.1"),
        ([[1.0, 2.0]], r"audio\[0\]: a recording is .* got list"),
        (object(), "got object"),
        (io.StringIO("text"), "not for text"),
        (
            np.ones((2, 16_000), np.float32),
            r"shape \(T,\) or \(1, T\) is needed, got shape \(2, 16000\)",
        ),
        (np.array(1.0), r"got shape \(\)"),
        (np.ones(16_000, bool), "samples must be floats .* got bool"),
        (np.ones(16_000, np.uint8), "got uint8"),
        (torch.ones(16_000, dtype=torch.complex64), "got complex64"),
        (np.array(["a", "b"]), "got <U1"),
        (masked(np.ones(16_000, np.float32)), "audio: 1 of 16,000 values are masked"),
        ((masked(np.ones((1, 16_000), np.int16)), 8000), "audio: 1 of 16,000 values are masked"),
        (torch.ones(16_000, device="meta"), "cannot be read from this tensor"),
        (torch.ones(16_000).to_sparse(), "cannot be read from this tensor"),
    ],
)
def test_other_objects_are_no_recordings(encoder: Embedder, audio: object, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        encoder.encode(audio)  # type: ignore[arg-type]
    assert isinstance(caught.value, TypeError)
    assert isinstance(caught.value, TimbralError)


def test_bytes_of_a_container(encoder: Embedder, paths: list[Path], tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    path = tmp_path / "a.m4a"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16_000)
        frame = av.AudioFrame.from_ndarray(load(paths[0])[None], format="fltp", layout="mono")
        frame.sample_rate = 16_000
        for packet in (*stream.encode(frame), *stream.encode()):
            container.mux(packet)
    np.testing.assert_array_equal(encoder.encode(path.read_bytes()), encoder.encode(path))


def test_speaker_is_the_mean(encoder: Embedder, paths: list[Path]) -> None:
    mean = np.mean([encoder.encode(path) for path in paths[:3]], axis=0)
    voice = encoder.encode_speaker(paths[:3])
    np.testing.assert_allclose(voice, mean / np.linalg.norm(mean), atol=1e-6)
    with pytest.raises(InputError, match="list is empty"):
        encoder.encode_speaker([])
    with pytest.raises(InputError, match="takes a list of recordings; encode takes one"):
        encoder.encode_speaker(str(paths[0]))
    with pytest.raises(AudioError, match=r"recordings\[0\]: the recording is silent"):
        encoder.encode_speaker([np.zeros(16_000, np.float32)])


def test_windows_of_given_seconds_are_recordings_of_their_own(
    encoder: Embedder, paths: list[Path]
) -> None:
    wave = np.concatenate([load(path) for path in paths[:4]])
    times, vectors = encoder.encode_windows(wave, seconds=2.0, step=0.5)
    assert times.shape == (len(vectors), 2)
    assert vectors.shape == (len(times), encoder.embedding_dim)
    np.testing.assert_allclose(times[:-1, 0], 0.5 * np.arange(len(times) - 1))
    np.testing.assert_allclose(times[:, 1] - times[:, 0], 2.0)
    assert times[-1, 1] == len(wave) / 16_000
    prepared = encoder.load_audio(wave)
    for (start, end), vector in zip((16_000 * times).round().astype(int), vectors, strict=True):
        np.testing.assert_allclose(
            encoder.encode_preprocessed([prepared[start:end]])[0], vector, atol=1e-5
        )
    default, _ = encoder.encode_windows(wave)
    np.testing.assert_allclose(default[:3], [[0.0, 1.5], [0.75, 2.25], [1.5, 3.0]])
    with pytest.raises(InputError, match="one recording"):
        encoder.encode_windows([wave])  # type: ignore[arg-type]


def test_windows_of_the_d_vector_are_its_own(waves: list[Wave]) -> None:
    torch.manual_seed(0)
    encoder = Embedder(ENCODERS["lstm"](SMALL["lstm"]))
    wave = np.concatenate(waves[:3])
    times, partials = encoder.encode_windows(wave)
    mean = partials.mean(axis=0)
    np.testing.assert_allclose(encoder.encode(wave), mean / np.linalg.norm(mean), atol=1e-6)
    np.testing.assert_allclose(times[:2], [[0.0, 1.6], [0.8, 2.4]])
    assert times[-1, 1] <= len(wave) / 16_000
    others, _ = encoder.encode_windows(wave, seconds=3.0)
    np.testing.assert_allclose(others[:2], [[0.0, 3.0], [1.5, 4.5]])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"seconds": 0.0}, "seconds: a positive"),
        ({"seconds": float("nan")}, "seconds: a positive"),
        ({"step": -1.0}, "step: a positive"),
        ({"seconds": 0.1}, r"seconds: tdnn needs 0.2\S* s or more, got 0.1"),
    ],
)
def test_impossible_windows(
    encoder: Embedder, paths: list[Path], arguments: dict[str, float], words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        encoder.encode_windows(paths[0], **arguments)


@pytest.mark.parametrize("samples", [1, 9, 10, 11, 14, 15, 16, 35])
def test_sliding_windows_take_every_sample(samples: int) -> None:
    ranges = sliding_windows(samples, 10, 5)
    taken = np.zeros(samples, bool)
    for start, end in ranges:
        assert end - start == min(10, samples)
        taken[start:end] = True
    assert taken.all()
    assert ranges[-1, 1] == samples
    assert len({tuple(row) for row in ranges}) == len(ranges)


def test_similarity_of_vectors(encoder: Embedder, paths: list[Path]) -> None:
    vectors = encoder.encode(paths[:4])
    cosines = timbral.similarity(vectors, vectors[:3])
    assert cosines.shape == (4, 3)
    np.testing.assert_allclose(cosines, vectors @ vectors[:3].T, atol=1e-6)
    np.testing.assert_array_equal(encoder.similarity(vectors, vectors[:3]), cosines)
    assert timbral.similarity(vectors[0], vectors).shape == (4,)
    assert timbral.similarity(vectors[0], vectors[0]).shape == ()
    assert timbral.similarity(vectors, vectors).max() <= 1.0
    forms = [5 * vectors, list(vectors), vectors.tolist(), torch.from_numpy(vectors)]
    for form in [*forms, list(torch.from_numpy(vectors)), torch.from_numpy(vectors).double()]:
        np.testing.assert_allclose(timbral.similarity(form, vectors[:3]), cosines, atol=1e-6)
    half = timbral.similarity(torch.from_numpy(vectors).bfloat16(), vectors[:3])
    np.testing.assert_allclose(half, cosines, atol=0.02)
    assert timbral.similarity(np.zeros(4), np.ones(4)) == 0.0


@pytest.mark.parametrize(
    ("first", "words"),
    [
        ("a.wav", r"first: vectors must be an array, .* got str"),
        (np.ones((2, 2, 3)), r"got ndarray \(2, 2, 3\)"),
        ([[1.0, 2.0], [1.0]], "got a list of 2"),
        ([], "got a list of 0"),
        (np.ones((2, 4)), "vectors with 4 and 3 numbers .* different encoders"),
        (1.0, "got float"),
        (np.ones((2, 3), np.complex64), r"got ndarray \(2, 3\)"),
        (masked(np.ones((2, 3))), "first: 1 of 6 values are masked"),
        ([np.ones(3), masked(np.ones(3))], "first: 1 of 3 values are masked"),
    ],
)
def test_similarity_of_other_shapes_is_an_error(first: object, words: str) -> None:
    with pytest.raises(InputError, match=words):
        timbral.similarity(first, np.ones((2, 3)))


def test_verify_decides_by_the_threshold_of_the_validation(
    encoder: Embedder, paths: list[Path]
) -> None:
    assert encoder.threshold is not None
    decision = encoder.verify(paths[0], paths[-1])
    assert decision.score == pytest.approx(encoder.encode(paths[0]) @ encoder.encode(paths[-1]))
    assert decision.threshold == encoder.threshold
    assert decision.same == (decision.score >= encoder.threshold)
    assert decision.llr is None
    assert decision.probability is None
    assert "the threshold of the encoder's validation" in decision.why
    assert "need a calibration" in decision.why
    assert encoder.verify(paths[0], paths[-1], threshold=-1.0).same is True
    assert encoder.verify(paths[0], paths[-1], threshold=1.0).same is False
    assert encoder.verify(paths[0], paths[0]).score == pytest.approx(1.0)
    voice = encoder.encode_speaker(paths[:3])
    several = encoder.verify(paths[:3], paths[-1])
    assert several.score == pytest.approx(voice @ encoder.encode(paths[-1]), abs=1e-6)


ANY = Conditions(*np.ones((3, 1)))


@pytest.mark.parametrize(
    ("score", "threshold", "shown"),
    [
        (0.9971, 0.997, ("0.9971", "0.9970")),
        (0.99698, 0.99702, ("0.99698", "0.99702")),
        (0.8, 0.8, ("0.800", "0.800")),
        (0.1234, 0.5, ("0.123", "0.500")),
        (0.5, math.nextafter(0.5, 1), ("0.5000000000000000", "0.5000000000000001")),
    ],
)
def test_score_and_threshold_are_shown_apart(
    score: float, threshold: float, shown: tuple[str, str]
) -> None:
    """Never "0.997 is below 0.997"."""
    decision = decide(PairScore(score, score), Question(threshold), ANY, ANY)
    assert decision.compared == shown
    assert f"cosine {shown[0]} {'reaches' if decision.same else 'is below'} {shown[1]}," in (
        decision.why
    )


def test_decision_without_a_threshold(waves: list[Wave]) -> None:
    decision = Embedder(ENCODERS["tdnn"](SMALL["tdnn"])).verify(waves[0], waves[1])
    assert decision.same is decision.threshold is None
    assert "no threshold, because this encoder was trained without validation" in decision.why
    with pytest.raises(TypeError, match=r"use decision\.same"):
        bool(decision)


def test_mistakes_in_verify_are_errors(encoder: Embedder, waves: list[Wave]) -> None:
    with pytest.raises(
        ConfigError, match=r"`threshold` is a cosine and must be in \[-1, 1\], got 50"
    ):
        encoder.verify(waves[0], waves[1], threshold=50)
    with pytest.raises(InputError, match="second: at least one recording"):
        encoder.verify(waves[0], [])
    with pytest.raises(AudioError, match="second: the recording is silent"):
        encoder.verify(waves[0], np.zeros(16_000, np.float32))


def test_saved_encoder_loads_again(encoder: Embedder, paths: list[Path], tmp_path: Path) -> None:
    folder = encoder.save(tmp_path / "saved")
    again = timbral.load_encoder(folder, device="cpu")
    np.testing.assert_array_equal(again.encode(paths[:3]), encoder.encode(paths[:3]))
    assert again.threshold == encoder.threshold
    assert again.preprocessing == encoder.preprocessing
    assert again.name == encoder.name
    once_more = timbral.load_encoder(again.save(str(tmp_path / "twice")), device="cpu")
    assert once_more.weights_sha256 == again.weights_sha256
    assert Checkpoint.read(folder).step == 0
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").touch()
    with pytest.raises(DataError, match="is not empty"):
        encoder.save(tmp_path / "other")


def test_saved_encoder_keeps_license_and_random_parts(tmp_path: Path) -> None:
    network = ENCODERS["tdnn"](SMALL["tdnn"])
    made = Embedder(network, name="mine", license="MIT", uninitialized_prefixes=("linear.",))
    with pytest.warns(UserWarning, match="mine: its linear is random"):
        again = timbral.load_encoder(made.save(tmp_path / "x"), device="cpu")
    assert (again.name, again.license) == ("mine", "MIT")
    assert again.uninitialized_prefixes == ("linear.",)


def test_repr_names_encoder_size_rate_device_and_weights(encoder: Embedder) -> None:
    weights = encoder.weights_sha256[:8]
    assert repr(encoder) == f"<Embedder tdnn, 16-d, 16 kHz, cpu fp32, weights {weights}>"
    made = Embedder(ENCODERS["tdnn"](SMALL["tdnn"]), name="mine")
    assert repr(made) == "<Embedder mine, 16-d, 16 kHz, cpu fp32, unsaved weights>"


def test_pickled_encoder_is_the_same(encoder: Embedder, paths: list[Path]) -> None:
    again = pickle.loads(pickle.dumps(encoder))
    np.testing.assert_array_equal(again.encode(paths[0]), encoder.encode(paths[0]))
    assert repr(again) == repr(encoder)
    assert encoder.to("cpu") is encoder


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nowhere", "neither a run folder nor a known encoder"),
        ("nowhere.onnx", "nowhere.onnx: no such file; "),
        ("", "holds no checkpoint"),
        ("/", "/: holds no checkpoint"),
    ],
)
def test_unknown_encoder_is_an_error(name: str, words: str) -> None:
    with pytest.raises(TimbralError, match=words):
        timbral.load_encoder(name)
