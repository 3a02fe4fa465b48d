"""Weights are found in whatever they were wrapped in, and a file that is none says what it is."""

from __future__ import annotations

import argparse
import io
import pickle
import shutil
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import Tensor

from timbral.checkpoints.checkpoint import Checkpoint
from timbral.checkpoints.conversion import write_converted
from timbral.checkpoints.foreign.base import ConvertedWeights
from timbral.checkpoints.foreign.registry import read_foreign
from timbral.checkpoints.weights import build_encoder, load_network
from timbral.encoders.lstm import LstmConfig
from timbral.encoders.registry import ENCODERS
from timbral.errors import CheckpointError

GOLDEN = Path(__file__).parent / "golden"


def named_in(golden: str) -> dict[str, Tensor]:
    """Tensors by the names that an original has, of at most 8 in each dimension."""
    content = np.load(GOLDEN / golden)
    random = torch.Generator().manual_seed(0)
    state = {}
    for name, shape in zip(content["tensors"], content["shapes"], strict=True):
        sizes = [min(int(size), 8) for size in str(shape).split()]
        is_counter = str(name).endswith("num_batches_tracked")
        state[str(name)] = torch.tensor(7) if is_counter else torch.randn(sizes, generator=random)
    return state


def lstm(embedding: int = 8, hidden: int = 8) -> dict[str, Tensor]:
    torch.manual_seed(1)
    return {
        "lstm.weight_ih_l0": torch.randn(4 * hidden, 40) * 0.3,
        "lstm.weight_hh_l0": torch.randn(4 * hidden, hidden) * 0.3,
        "lstm.bias_ih_l0": torch.randn(4 * hidden),
        "lstm.bias_hh_l0": torch.randn(4 * hidden),
        "linear.weight": torch.randn(embedding, hidden),
        "linear.bias": torch.randn(embedding),
    }


def wavlm() -> dict[str, Tensor]:
    return safetensors.torch.load_file(GOLDEN / "wavlm-base-tiny" / "model.safetensors")


CAMPPLUS = {
    "head.conv1.weight": torch.randn(2, 1, 3, 3),
    "xvector.tdnn.linear.weight": torch.randn(2, 3, 5),
    "xvector.dense.linear.weight": torch.randn(6, 4, 1),
}
STATES: dict[str, dict[str, Tensor]] = {
    "resemblyzer": lstm(),
    "speechbrain": named_in("speechbrain.npz"),
    "3d-speaker": CAMPPLUS,
    "transformers": wavlm(),
}
CLASSIFIER = {"classifier.weight": torch.zeros(5, 3), "loss_fn.weight": torch.zeros(5, 3)}


def prefixed(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {prefix + key: tensor for key, tensor in state.items()}


Wrapper = Callable[[dict[str, Tensor]], dict[str, Any]]
WRAPPERS: dict[str, Wrapper] = {
    "plain": lambda state: state,
    "data parallel": lambda state: {"model": prefixed(state, "module."), "epoch": 3},
    "compiled": lambda state: {"model_state_dict": prefixed(state, "_orig_mod.")},
    "compiled in parallel": lambda state: prefixed(state, "module._orig_mod."),
    "lightning": lambda state: {
        "state_dict": prefixed(state | CLASSIFIER, "model."),
        "global_step": 5,
        "pytorch-lightning_version": "2.5",
        "optimizer_states": [{"state": {0: {"exp_avg": torch.zeros(2)}}}],
    },
    "beside a loss": lambda state: {
        **prefixed(state, "speaker_encoder."),
        "loss.weight": torch.zeros(5, 3),
        "mel_spectrogram.window": torch.zeros(4),
    },
    "averaged": lambda state: {"ema": prefixed(state, "module.") | {"n_averaged": torch.tensor(9)}},
    "with a classifier": lambda state: state | CLASSIFIER,
}


def read(content: Any, folder: Path, name: str, legacy: bool = False) -> ConvertedWeights:
    """The weights in a file beside the configs that the format needs."""
    if name == "transformers":
        for config in (GOLDEN / "wavlm-base-tiny").glob("*.json"):
            shutil.copy(config, folder)
    path = folder / "weights.ckpt"
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    return read_foreign(path)


def assert_equal(one: ConvertedWeights, other: ConvertedWeights) -> None:
    assert (one.encoder, one.preprocessing) == (other.encoder, other.preprocessing)
    assert one.tensors.keys() == other.tensors.keys()
    assert all(torch.equal(one.tensors[key], other.tensors[key]) for key in one.tensors)


@pytest.mark.parametrize("legacy", [False, True], ids=["archive", "legacy"])
@pytest.mark.parametrize("name", STATES)
def test_weights_are_found_in_every_wrapper(name: str, legacy: bool, tmp_path: Path) -> None:
    state = STATES[name]
    expected = read(state, tmp_path, name)
    for wrapper in WRAPPERS.values():
        assert_equal(read(wrapper(state), tmp_path, name, legacy), expected)
    if not legacy:  # safetensors, whatever the file is called
        flat = prefixed(state, "module.") | CLASSIFIER
        safetensors.torch.save_file(flat, tmp_path / "weights.ckpt")
        assert_equal(read_foreign(tmp_path / "weights.ckpt"), expected)


def test_ddvc_in_parallel_and_compiled(tmp_path: Path) -> None:
    ecapa = prefixed(STATES["speechbrain"], "model.mods.embedding_model.")
    state = ecapa | {
        "model.mods.classifier.weight": torch.zeros(5, 3),
        "similarity_weight": torch.tensor(10.0),
        "similarity_bias": torch.tensor(-5.0),
    }
    expected = read({"step": 3, "model_state": state}, tmp_path, "ddvc")
    assert (expected.step, expected.preprocessing.trim) == (3, "edges")
    assert float(expected.tensors["loss.similarity_weight"]) == 10.0
    for prefix in ("module.", "_orig_mod.", "module._orig_mod."):
        content = {"step": 3, "model_state": prefixed(state, prefix)}
        assert_equal(read(content, tmp_path, "ddvc"), expected)
    elsewhere = read({"state_dict": ecapa}, tmp_path, "speechbrain")
    assert elsewhere.preprocessing.trim == "none"  # Lightning's names can begin as ddvc's


def test_step_of_lightning_is_read(tmp_path: Path) -> None:
    assert read(WRAPPERS["lightning"](lstm()), tmp_path, "resemblyzer").step == 5


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_every_precision_gives_float32(dtype: torch.dtype, tmp_path: Path) -> None:
    state = lstm()
    weights = read({key: value.to(dtype) for key, value in state.items()}, tmp_path, "resemblyzer")
    write_converted(weights, tmp_path / "made")
    loaded = load_network(Checkpoint.read(tmp_path / "made")).state_dict()
    for key, tensor in state.items():
        assert loaded[key].dtype == torch.float32
        torch.testing.assert_close(loaded[key], tensor.to(dtype).float(), rtol=0, atol=0)


@pytest.mark.parametrize("name", ["ecapa", "campplus"])
def test_counters_of_batch_norm_may_be_missing(name: str, tmp_path: Path) -> None:
    config = ENCODERS[name].tiny_config
    state = build_encoder(config).state_dict()
    without = {f"encoder.{k}": v for k, v in state.items() if "num_batches_tracked" not in k}
    assert len(without) < len(state)
    write_converted(ConvertedWeights(config, without), tmp_path / "made")
    halved = {f"encoder.{key}": tensor.half() for key, tensor in state.items()}
    write_converted(ConvertedWeights(config, halved), tmp_path / "half")
    loaded = load_network(Checkpoint.read(tmp_path / "made")).state_dict()
    assert all(torch.equal(loaded[key], state[key]) for key in state)


def test_linear_layers_of_torch_and_paddle_are_told_apart(tmp_path: Path) -> None:
    """Taken for the other, linear.weight would be transposed: other vectors, and no error."""

    def linear(content: Any, name: str, format: str | None = None) -> Tensor:
        path = tmp_path / name
        if name.endswith(".pdparams"):
            path.write_bytes(
                pickle.dumps({key: np.asarray(value) for key, value in content.items()})
            )
        else:
            torch.save(content, path)
        return read_foreign(path, format).tensors["encoder.linear.weight"]

    square, wide = lstm(8, 8), lstm(4, 8)
    transposed = {**wide, "linear.weight": wide["linear.weight"].t().contiguous()}
    cells = {
        key.replace("lstm.", "lstm.0.cell.").replace("_l0", ""): value
        for key, value in square.items()
    }
    weight = square["linear.weight"]
    assert torch.equal(linear(square, "torch.pt"), weight)
    assert torch.equal(linear(wide, "wide.pt"), wide["linear.weight"])
    assert torch.equal(linear(wide, "wide.pdparams"), wide["linear.weight"])
    assert torch.equal(linear(transposed, "paddle.pt"), wide["linear.weight"])
    assert torch.equal(linear(transposed, "paddle.pdparams"), wide["linear.weight"])
    assert torch.equal(linear(cells, "cells.pt"), weight.t())
    with pytest.raises(CheckpointError, match="more than one format: resemblyzer or paddlespeech;"):
        linear(square, "square.pdparams")
    assert torch.equal(linear(square, "square.pdparams", "paddlespeech"), weight.t())
    assert torch.equal(linear(square, "square.pdparams", "resemblyzer"), weight)


def test_paddles_wrappers(tmp_path: Path) -> None:
    plain = pickle.loads((GOLDEN / "paddle-tiny.pdparams").read_bytes())
    expected = read_foreign(GOLDEN / "paddle-tiny.pdparams")
    path = tmp_path / "step-3.pdparams"
    for content in (
        {"model": plain, "epoch": 3},
        {f"_layers.{name}": value for name, value in plain.items()},  # paddle.DataParallel
        {**plain, "classifier.weight": np.zeros((5, 3), np.float32)},
    ):
        path.write_bytes(pickle.dumps(content, 4))
        assert_equal(read_foreign(path), expected)


def test_two_encoders_in_a_file_are_an_error(tmp_path: Path) -> None:
    state = lstm()
    other = {key: tensor + 1 for key, tensor in state.items()}
    with pytest.raises(
        CheckpointError, match=r"it contains two different encoders, below model and"
    ):
        read({"model": state, "ema": other}, tmp_path, "resemblyzer")
    twice = read({"model": state, "ema": state}, tmp_path, "resemblyzer")
    assert twice.encoder == LstmConfig(1, 8, 8, window_step=77)


def test_layers_that_may_belong_to_the_encoder_are_an_error(tmp_path: Path) -> None:
    state = prefixed(lstm(), "backbone.") | {"projection.weight": torch.zeros(3, 8)}
    with pytest.raises(
        CheckpointError, match=r"\(below backbone\) the file contains projection\.weight,"
    ):
        read(state, tmp_path, "resemblyzer")


def packed(value: Any, legacy: bool = False) -> bytes:
    memory = io.BytesIO()
    torch.save(value, memory, _use_new_zipfile_serialization=not legacy)
    return memory.getvalue()


def zipped(*names: str) -> bytes:
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w") as archive:
        for name in names:
            archive.writestr(name, "x")
    return memory.getvalue()


TORCHSCRIPT = ("relu/data.pkl", "relu/constants.pkl", "relu/code/__torch__.py")
"""as torch.jit.save names what it writes; calling it warns that it is deprecated"""


def tarred() -> bytes:
    memory = io.BytesIO()
    with tarfile.open(fileobj=memory, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("model_config.yaml"))
    return memory.getvalue()


NAMESPACE = {"args": argparse.Namespace(batch=3), "model": {"a": torch.zeros(2)}}
WHOLE = safetensors.torch.save(lstm())
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:0f\nsize 83316686\n"
NO_WEIGHTS: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty": (lambda: b"", "it is empty; download it again"),
    "lfs": (lambda: LFS, "it is a Git LFS pointer.*git lfs fetch"),
    "page": (lambda: b"\n<!DOCTYPE html>\n<html>", "it is a web page"),
    "text": (lambda: b"Entry not found", "it is text that begins with 'Entry not found'"),
    "onnx": (lambda: b"\x08\x08\x12\x07pytorch", "it is an ONNX model"),
    "torchscript": (
        lambda: zipped(*TORCHSCRIPT),
        "it is a TorchScript program, which timbral does not run",
    ),
    "half an archive": (lambda: packed(lstm())[:900], "it is cut short after 900 bytes"),
    "half of legacy": (lambda: packed(lstm(), True)[:-99], "it is damaged or cut short"),
    "start of legacy": (lambda: packed(lstm(), True)[:300], "it is damaged or cut short"),
    "half of arrays": (lambda: pickle.dumps({"a": np.zeros(9)})[:-9], "it is damaged or cut short"),
    "half of safetensors": (lambda: WHOLE[:-9], "it is cut short: 9 bytes are missing"),
    "half a header": (lambda: WHOLE[:60], r"it is cut short: \d+ bytes are missing"),
    "namespace": (
        lambda: packed(NAMESPACE),
        "it asks for argparse.Namespace;.*save only the state_di",
    ),
    "legacy": (
        lambda: packed(NAMESPACE, True),
        "it asks for argparse.Namespace;.*save only the state",
    ),
    "pickle": (
        lambda: pickle.dumps(NAMESPACE["args"]),
        "it asks for argparse.Namespace;.*save only th",
    ),
    "npz": (lambda: zipped("a.npy"), "it is an archive of NumPy arrays"),
    "zip": (lambda: zipped("a.txt"), "it is a zip archive without weights of torch"),
    "nemo": (tarred, "it is a tar archive, as NeMo's"),
    "gzip": (lambda: b"\x1f\x8b\x08\x00", "it is packed with gzip"),
    "keras": (lambda: b"\x89HDF\r\n\x1a\n", "it is HDF5"),
    "recording": (lambda: b"RIFF\x00\x00\x00\x00WAVE", "it is a recording"),
    "number": (lambda: pickle.dumps(3), "a dictionary of tensors is needed, got int"),
}


@pytest.mark.parametrize("name", NO_WEIGHTS)
def test_what_is_no_weights_says_what_it_is(name: str, tmp_path: Path) -> None:
    content, words = NO_WEIGHTS[name]
    for suffix in ("pt", "safetensors"):
        path = tmp_path / f"encoder.{suffix}"
        path.write_bytes(content())
        with pytest.raises(
            CheckpointError, match=rf"cannot be read as weights \({words}"
        ) as raised:
            read_foreign(path)
        assert "\n" not in str(raised.value)
