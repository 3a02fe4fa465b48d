"""The encoder that comes with the package."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors
import soundfile
import torch

from conftest import Ask
from timbral import api
from timbral.checkpoints.checkpoint import Checkpoint
from timbral.checkpoints.download import downloaded_folder
from timbral.checkpoints.packed_weights import pack, rounded, unpack
from timbral.checkpoints.published import PUBLISHED, PublishedWeights
from timbral.checkpoints.weight_sources import Shipped
from timbral.demo.shipped import VOICES
from timbral.errors import CheckpointError

SHIPPED = PUBLISHED["campplus-int8"]
assert isinstance(SHIPPED.source, Shipped)
FOLDER = SHIPPED.source.folder
RECORDINGS = sorted((VOICES / "am_adam").glob("*.ogg"))[:2]
STRANGER = sorted((VOICES / "bf_emma").glob("*.ogg"))[0]


@pytest.fixture
def nothing_cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    cache = tmp_path / "cache"
    monkeypatch.setenv("TIMBRAL_CACHE", str(cache))
    return cache


def test_two_recordings_are_compared_at_once(nothing_cached: Path, ask: Ask) -> None:
    """Without a download, a cache folder or the name of an encoder."""
    answer = ask("verify", *RECORDINGS)
    assert answer.code == 0
    assert "probability of the same speaker" in answer.out
    assert "\nsame speaker" in answer.out
    assert "different speakers" in ask("verify", RECORDINGS[0], STRANGER).out
    assert answer.out == ask("verify", "campplus-int8", *RECORDINGS).out
    assert not nothing_cached.exists()


def test_verdict_does_not_contradict_the_probability(ask: Ask) -> None:
    """A threshold for few false accepts refuses pairs that are probably of one speaker."""
    strict = ask("verify", *RECORDINGS, "--threshold", "0.99").out
    assert strict.endswith("\nnot accepted as the same speaker (threshold 0.990)\n")
    lax = ask("verify", RECORDINGS[0], STRANGER, "--threshold", "-1").out
    assert lax.endswith("\naccepted as the same speaker (threshold -1.000)\n")


def test_sounds_without_speech_are_not_decided_on(tmp_path: Path, ask: Ask) -> None:
    """Noise and a tone, which a calibration alone would call the same speaker."""
    random = np.random.default_rng(0)
    noise, tone = tmp_path / "noise.wav", tmp_path / "tone.wav"
    soundfile.write(noise, 0.1 * random.standard_normal(64_000), 16_000)
    soundfile.write(tone, 0.3 * np.sin(0.2 * np.arange(64_000)), 16_000)
    answer = ask("verify", noise, tone, "--exit-code")
    assert answer.code == 4
    assert f"not decided: no speech was found in {noise} and {tone}" in answer.out
    assert "probability" not in answer.out.split("not decided")[0]
    found = json.loads(ask("verify", RECORDINGS[0], noise, "--json").out)
    assert (found["same"], found["probability"], found["llr"]) == (None, None, None)
    assert f"no speech was found in {noise}, so" in found["why"]
    asked = json.loads(ask("verify", RECORDINGS[0], noise, "--threshold", "0.9", "--json").out)
    assert asked["same"] is False
    together = api.load_encoder().verify([RECORDINGS[0], noise], RECORDINGS[1])
    assert together.same is not None  # one of the two holds speech


def test_python_takes_it_where_no_encoder_is_named(nothing_cached: Path) -> None:
    encoder = api.load_encoder()
    assert (encoder.name, encoder.license, encoder.embedding_dim) == (
        "campplus-int8",
        "Apache-2.0",
        192,
    )
    assert encoder.calibration is not None
    assert api.download("campplus-int8") == FOLDER
    assert not nothing_cached.exists()


def test_a_name_without_its_recordings_is_a_mistake(ask: Ask) -> None:
    for words in (
        [],
        [RECORDINGS[0]],
        ["campplus-zh-en", RECORDINGS[0]],
        [*RECORDINGS, STRANGER],
        [*RECORDINGS, STRANGER, STRANGER],
    ):
        answer = ask("verify", *words)
        assert answer.code == 2
        assert "verify compares two recordings" in answer.err


def test_two_folders_are_told_apart_from_an_encoder_and_a_recording(
    ask: Ask, tmp_path: Path
) -> None:
    answer = ask("verify", tmp_path, tmp_path)
    assert answer.code == 2
    assert f"got the folders {tmp_path} and {tmp_path}; give a recording of each" in answer.err


def test_it_is_small_and_says_where_it_comes_from() -> None:
    size = sum(path.stat().st_size for path in FOLDER.iterdir())
    assert size < 8_500_000
    with safetensors.safe_open(FOLDER / "model.safetensors", framework="pt") as file:
        kinds = Counter(file.get_slice(name).get_dtype() for name in file.keys())  # noqa: SIM118
    assert kinds["I8"] > 100
    origin = Checkpoint.read(FOLDER).origin
    assert (origin["made_of"], origin["changes"]) == ("campplus-zh-en", "weights in 8 bits")
    info = next(row for row in api.models() if row.name == "campplus-int8")
    assert info.downloaded
    assert info.source == "comes with timbral"


def test_the_small_one_is_compared_with_at_once(nothing_cached: Path, ask: Ask) -> None:
    small = FOLDER.with_name("timbral-small")
    assert (small / "model.safetensors").stat().st_size < 2_600_000
    assert Checkpoint.read(small).origin["made_of"] == "campplus-zh-en"
    assert "speechocean762" in Checkpoint.read(small).training_data["description"]
    answer = ask("verify", "timbral-small", *RECORDINGS)
    assert "\nsame speaker" in answer.out
    assert "\ndifferent speakers" in ask("verify", "timbral-small", RECORDINGS[0], STRANGER).out
    assert not nothing_cached.exists()


def test_the_small_one_lies_in_the_space_of_the_other() -> None:
    paths = sorted(VOICES.glob("*/*_07.ogg"))[:8]
    small = api.load_encoder("timbral-small").encode(paths)
    cosines = small @ api.load_encoder().encode(paths).T
    assert (cosines.argmax(axis=1) == np.arange(len(paths))).all()
    assert cosines.diagonal().min() > 0.6


def test_damage_and_copies_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ask: Ask
) -> None:
    with pytest.raises(CheckpointError, match="comes with timbral and cannot be replaced by"):
        api.download("campplus-int8", FOLDER)
    broken = tmp_path / "campplus-int8"
    shutil.copytree(FOLDER, broken)
    (broken / "model.safetensors").write_bytes(b"damaged")
    monkeypatch.setattr(
        "timbral.checkpoints.cached_weights.PUBLISHED",
        {"campplus-int8": _replaced(broken)},
    )
    answer = ask("verify", *RECORDINGS)
    assert answer.code == 2
    assert "is damaged: install timbral again" in answer.err


def _replaced(folder: Path) -> PublishedWeights:
    return replace(SHIPPED, source=Shipped(folder))


def test_its_vectors_are_those_of_the_original() -> None:
    if downloaded_folder("campplus-zh-en") is None:
        pytest.skip("campplus-zh-en is not downloaded")
    original = api.load_encoder("campplus-zh-en")
    paths = sorted(VOICES.glob("*/*_07.ogg"))[:6]
    cosines = (api.load_encoder().encode(paths) * original.encode(paths)).sum(axis=1)
    assert cosines.min() > 0.997


def assert_off_by_half_a_step(unpacked: torch.Tensor, tensor: torch.Tensor, bits: int) -> None:
    for row, expected in zip(unpacked.flatten(1), tensor.flatten(1), strict=True):
        for found, wanted in zip(row.split(32), expected.split(32), strict=True):
            step = wanted.abs().max() / (2 ** (bits - 1) - 1)
            assert (found - wanted).abs().max() <= 0.51 * step + 0.002 * wanted.abs().max()


def test_weights_in_8_bits_are_off_by_half_a_step() -> None:
    generator = torch.Generator().manual_seed(0)
    tensors = {
        "matrix": torch.randn(6, 40, generator=generator),
        "kernel": torch.randn(5, 30, 7, generator=generator) * 1e-3,
        "zeros": torch.zeros(3, 4),
        "plane": torch.randn(4, 2, 3, 3, generator=generator),
        "bias": torch.randn(6, generator=generator),
        "counter": torch.tensor(7),
    }
    packed = pack(tensors)
    kinds = {name: str(tensor.dtype).removeprefix("torch.") for name, tensor in packed.items()}
    assert kinds == {
        "matrix": "int8",
        "matrix:scale": "bfloat16",
        "kernel": "int8",
        "kernel:scale": "bfloat16",
        "zeros": "int8",
        "zeros:scale": "bfloat16",
        "plane": "bfloat16",
        "bias": "float32",
        "counter": "int64",
    }
    unpacked = unpack(packed, Path("model.safetensors"))
    assert unpacked.keys() == tensors.keys()
    assert torch.equal(unpacked["bias"], tensors["bias"])
    for name in ("matrix", "kernel", "zeros"):
        assert_off_by_half_a_step(unpacked[name], tensors[name], 8)


@pytest.mark.parametrize(
    "tensors",
    [
        {"matrix:scale": torch.ones(3, 1)},
        {"matrix": torch.ones(3, 2), "matrix:scale": torch.ones(3, 1)},
        {"matrix": torch.ones(3, 2, dtype=torch.int8), "matrix:scale": torch.ones(3, 2)},
        {"matrix": torch.ones(3, 2, dtype=torch.int8), "matrix:scale": torch.ones(3, 1).int()},
        {"matrix": torch.ones(3, dtype=torch.int8), "matrix:scale": torch.ones(3, 1)},
        {"matrix": torch.ones(0, 2, dtype=torch.int8), "matrix:scale": torch.ones(0, 1)},
    ],
)
def test_scales_that_fit_nothing_are_errors(tensors: dict[str, torch.Tensor]) -> None:
    with pytest.raises(CheckpointError, match=r"^a\.safetensors: matrix:scale is not the scale"):
        unpack(tensors, Path("a.safetensors"))


@pytest.mark.parametrize("bits", [4, 5, 6, 7])
def test_weights_in_fewer_bits_are_off_by_half_a_step(bits: int) -> None:
    generator = torch.Generator().manual_seed(0)
    tensors = {
        "matrix": torch.randn(6, 40, generator=generator),
        "kernel": torch.randn(5, 3, 7, generator=generator) * 1e-3,
        "zeros": torch.zeros(3, 4),
        "plane": torch.randn(4, 2, 3, 3, generator=generator),
        "bias": torch.randn(6, generator=generator),
    }
    packed = pack(tensors, bits)
    assert packed["matrix"].dtype is torch.uint8
    assert packed["matrix"].numel() == -(-6 * 40 * bits // 8)
    assert packed["kernel"].numel() == -(-5 * 3 * 7 * bits // 8)
    unpacked = unpack(packed, Path("model.safetensors"))
    assert unpacked.keys() == tensors.keys()
    for name in ("matrix", "kernel", "zeros"):
        assert torch.equal(unpacked[name], rounded(tensors[name], bits))
        assert_off_by_half_a_step(unpacked[name], tensors[name], bits)


@pytest.mark.parametrize(
    ("codes", "shape"),
    [
        (torch.zeros(4, dtype=torch.uint8), [6, 3, 2]),
        (torch.zeros(5, dtype=torch.int8), [6, 3, 2]),
        (torch.zeros(5, 1, dtype=torch.uint8), [6, 3, 2]),
        (torch.zeros(5, dtype=torch.uint8), [9, 3, 2]),
        (torch.zeros(5, dtype=torch.uint8), [-6, -3, 2]),
        (torch.zeros(5, dtype=torch.uint8), [6, -3, -2]),
        (torch.zeros(5, dtype=torch.uint8), []),
        (torch.zeros(5, dtype=torch.uint8), [6]),
        (torch.zeros(5, dtype=torch.uint8), [6, 2**31 - 1, 2**31 - 1, 2**31 - 1]),
    ],
)
def test_shapes_that_fit_nothing_are_errors(codes: torch.Tensor, shape: list[int]) -> None:
    tensors = {
        "matrix": codes,
        "matrix:shape": torch.tensor(shape, dtype=torch.int32),
        "matrix:scale": torch.ones(3, 1),
    }
    with pytest.raises(CheckpointError, match=r"^a\.safetensors: matrix:shape is not the shape"):
        unpack(tensors, Path("a.safetensors"))


def test_bits_without_a_scale_are_an_error() -> None:
    packed = pack({"matrix": torch.ones(3, 2)}, bits=6)
    del packed["matrix:scale"]
    with pytest.raises(CheckpointError, match=r"^a\.safetensors: matrix:shape is not the shape"):
        unpack(packed, Path("a.safetensors"))
