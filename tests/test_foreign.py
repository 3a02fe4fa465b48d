"""Other projects' weights give their vectors, whatever file they are in, and cannot run code."""

from __future__ import annotations

import io
import pickle
import shutil
import subprocess
import sys
import zipfile
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from numpy.typing import NDArray
from torch import Tensor

from timbral import api
from timbral.audio.preprocessing import Preprocessing, load
from timbral.checkpoints.foreign import registry
from timbral.checkpoints.foreign.base import Content
from timbral.checkpoints.foreign.registry import FORMATS, read_foreign
from timbral.checkpoints.foreign.speechbrain import SPEECHBRAIN
from timbral.checkpoints.foreign.transformers import wavlm_tensors
from timbral.checkpoints.foreign.weight_files import find_weights, read_content
from timbral.checkpoints.weights import build_encoder, load_strictly, with_prefix
from timbral.demo.shipped import VOICES
from timbral.encoders.lstm import LstmConfig
from timbral.encoders.wavlm.wavlm_config import WavlmConfig
from timbral.errors import CheckpointError, DataError
from timbral.inference.embedder import Embedder

GOLDEN = Path(__file__).parent / "golden"
sys.path.insert(0, str(GOLDEN))
from weights import fill  # noqa: E402

pytestmark = pytest.mark.usefixtures("own_cache")


def drawn(golden: Any, prefix: str = "") -> dict[str, Tensor]:
    """The weights that the original had."""
    names, shapes = golden[f"{prefix}tensors"], golden[f"{prefix}shapes"]
    sizes = {
        str(name): tuple(map(int, str(shape).split()))
        for name, shape in zip(names, shapes, strict=True)
    }
    return {name: torch.from_numpy(np.array(array)) for name, array in fill(sizes).items()}


def assert_same(
    embedder: Embedder, names: Any, vectors: NDArray[np.float32], most: float = 1e-5
) -> None:
    """Cosine and largest difference to the original, run alone on each utterance."""
    expected = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    found = np.stack([embedder.encode(VOICES / str(path)) for path in names])
    assert np.einsum("ne,ne->n", found, expected).min() >= 0.9999
    assert np.abs(found - expected).max() <= most
    assert np.abs(expected[0] - expected[1]).max() > 1e-2  # random weights, but not the same vector


@pytest.mark.parametrize("count", [4, pytest.param(20, marks=pytest.mark.slow)])
def test_ecapa_of_speechbrain(count: int, tmp_path: Path) -> None:
    golden = np.load(GOLDEN / "speechbrain.npz")
    torch.save(drawn(golden), tmp_path / "embedding_model.ckpt")
    embedder = api.load_encoder(tmp_path, device="cpu")
    assert_same(embedder, golden["names"][:count], golden["vectors"][:count])


@pytest.mark.parametrize("case", ["base-tiny", "large-tiny"])
def test_wavlm_of_transformers(case: str) -> None:
    golden = np.load(GOLDEN / "transformers.npz")
    embedder = api.load_encoder(GOLDEN / f"wavlm-{case}", device="cpu")
    assert_same(embedder, golden[f"{case}.names"], golden[f"{case}.vectors"])


@pytest.mark.slow
def test_wavlm_of_transformers_at_full_size() -> None:
    golden = np.load(GOLDEN / "transformers.npz")
    tensors = with_prefix(wavlm_tensors(drawn(golden, "base-full.")), "encoder")
    encoder = build_encoder(WavlmConfig())
    load_strictly(encoder, tensors, "these weights")
    names, vectors = golden["base-full.names"], golden["base-full.vectors"]
    assert_same(Embedder(encoder), names, vectors)


@torch.no_grad()
def test_lstm_of_paddlespeech() -> None:
    golden = np.load(GOLDEN / "paddle.npz")
    encoder = api.load_encoder(
        GOLDEN / "paddle-tiny", device="cpu"
    ).network  # PaddleSpeech leaves the suffix out
    vectors = []
    for name in golden["names"]:
        wave = torch.from_numpy(load(VOICES / str(name), Preprocessing(), 16_000))[None]
        mels, _ = encoder.features(wave, torch.tensor([wave.shape[1]]))
        vectors.append(encoder.embed_features(mels[:, :160], torch.tensor([160]))[0].numpy())
    np.testing.assert_allclose(np.stack(vectors), golden["vectors"], atol=1e-6)
    checkpoint = api.resolve(GOLDEN / "paddle-tiny.pdparams")
    assert checkpoint.config.encoder == LstmConfig(2, 24, 16)
    assert checkpoint.preprocessing == Preprocessing("webrtc", -30.0)


def test_either_of_paddles_names_is_read(tmp_path: Path) -> None:
    whole = pickle.loads((GOLDEN / "paddle-tiny.pdparams").read_bytes())
    expected = read_foreign(GOLDEN / "paddle-tiny.pdparams").tensors
    for unwanted in ("_l", ".cell."):
        content = {key: value for key, value in whole.items() if unwanted not in key}
        for protocol in (2, 4):
            path = tmp_path / f"step-7{protocol}.pdparams"
            path.write_bytes(pickle.dumps(content, protocol))
            weights = read_foreign(path)
            assert weights.tensors.keys() == expected.keys()
            assert all(torch.equal(weights.tensors[key], expected[key]) for key in expected)


def ddvc(model: dict[str, Tensor], start: str) -> dict[str, Any]:
    """A checkpoint as ddvc writes it."""
    state = {f"{start}{key}": tensor for key, tensor in model.items()}
    state["similarity_weight"] = torch.tensor(12.0)
    state["similarity_bias"] = torch.tensor(-4.0)
    return {"step": 26, "epoch": 3, "model_state": state, "optimizer_state": {}}


def test_checkpoints_of_ddvc(tmp_path: Path) -> None:
    ecapa = {
        "blocks.0.conv.conv.weight": torch.zeros(8, 80, 5),
        **drawn(np.load(GOLDEN / "speechbrain.npz")),
    }
    extra = {"model.mods.classifier.weight": torch.zeros(7, 192)}
    content = ddvc(ecapa, "model.mods.embedding_model.")
    content["model_state"] |= extra
    torch.save(content, tmp_path / "encoder.pt")
    made = api.convert(tmp_path / "encoder.pt", tmp_path / "ecapa")
    assert (made.step, made.preprocessing.trim) == (26, "edges")
    vector = api.load_encoder(tmp_path / "ecapa", device="cpu").network
    torch.testing.assert_close(vector.fc.weight, ecapa["fc.conv.weight"][:, :, 0])

    tiny = read_foreign(GOLDEN / "wavlm-large-tiny")
    import safetensors.torch

    original = safetensors.torch.load_file(GOLDEN / "wavlm-large-tiny" / "model.safetensors")
    torch.save(ddvc(original, "model."), tmp_path / "best_model.pt")
    weights = read_foreign(tmp_path / "best_model.pt", "ddvc")
    assert weights.encoder.do_normalize
    assert weights.encoder.do_stable_layer_norm
    assert float(weights.tensors["loss.similarity_weight"]) == 12.0
    for key, tensor in tiny.tensors.items():
        assert torch.equal(weights.tensors[key], tensor), key


def test_wavlm_without_a_head_gets_a_random_one_with_a_warning(tmp_path: Path) -> None:
    import safetensors.torch

    shutil.copytree(GOLDEN / "wavlm-base-tiny", tmp_path / "bare")
    path = tmp_path / "bare" / "model.safetensors"
    whole = safetensors.torch.load_file(path)
    bare = {key[6:]: value for key, value in whole.items() if key.startswith("wavlm.")}
    safetensors.torch.save_file(bare, path)
    made = [api.convert(tmp_path / "bare", tmp_path / name) for name in ("one", "two")]
    assert made[0].weights_sha256 == made[1].weights_sha256
    with pytest.warns(UserWarning, match="head is random"):
        api.load_encoder(tmp_path / "one", device="cpu")


class Bomb:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.target,))


@pytest.mark.parametrize("name", ["encoder.pt", "step-1.pdparams", "embedding_model.ckpt", "x.bin"])
def test_pickles_never_run(name: str, tmp_path: Path) -> None:
    bomb, path = Bomb(tmp_path / "exploded"), tmp_path / name
    memory = io.BytesIO()
    torch.save({"step": 1, "model_state": bomb}, memory)
    for content in (
        memory.getvalue(),
        pickle.dumps(bomb, protocol=2),
        pickle.dumps({"linear.weight": np.zeros(3), "lstm.weight_ih_l0": bomb}, protocol=4),
    ):
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match="cannot be read as weights"):
            read_foreign(path)
    assert not (tmp_path / "exploded").exists()


def test_damaged_and_unknown_weights(tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    memory = io.BytesIO()
    torch.save({"anything": torch.zeros(2)}, memory)
    whole = (GOLDEN / "paddle-tiny.pdparams").read_bytes()
    for content, words in (
        (b"", "cannot be read as weights"),
        (b"no weights", "cannot be read as weights"),
        (whole[: len(whole) // 2], "cannot be read as weights"),
        (memory.getvalue()[:-50], "cannot be read as weights"),
        (memory.getvalue(), "no known format; known formats:"),
    ):
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match=words):
            read_foreign(path)
    with pytest.raises(CheckpointError, match="did you mean 'speechbrain'"):
        read_foreign(path, "speechbrian")
    with pytest.raises(CheckpointError, match="no such file or folder"):
        read_foreign(tmp_path / "nothing")
    with pytest.raises(CheckpointError, match=r"ge2e-lstm: is not a file but an encoder that"):
        read_foreign(Path("ge2e-lstm"))
    with pytest.raises(CheckpointError, match=r"contains none of model\.safetensors"):
        read_foreign(tmp_path)
    for format in FORMATS:
        with pytest.raises(CheckpointError, match="these are not weights of"):
            read_foreign(path, format)


def test_weights_of_other_shapes_are_errors(tmp_path: Path) -> None:
    state = drawn(np.load(GOLDEN / "speechbrain.npz"))
    state["asp_bn.norm.weight"] = torch.zeros(7)
    del state["blocks.2.tdnn2.conv.conv.bias"]
    torch.save(state, tmp_path / "embedding_model.ckpt")
    with pytest.raises(CheckpointError, match=r"blocks\.1\.tdnn2\.conv\.bias is missing; asp_bn"):
        api.convert(tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with pytest.raises(CheckpointError, match="; they look like those of speechbrain"):
        read_foreign(tmp_path, "wespeaker")
    with pytest.raises(CheckpointError, match=r"'mfa\.conv\.conv\.weight' is missing"):
        SPEECHBRAIN.convert(Content({"blocks.0.conv.conv.weight": torch.zeros(8, 80, 5)}))


def test_convert_never_replaces_other_files(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(DataError, match="is not empty"):
        api.convert(GOLDEN / "paddle-tiny.pdparams", tmp_path)
    assert (tmp_path / "thesis.tex").exists()


def test_convert_refuses_another_checkpoint_before_it_reads_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, output = tmp_path / "weights.pdparams", tmp_path / "converted"
    shutil.copy(GOLDEN / "paddle-tiny.pdparams", source)
    digest = api.convert(source, output).weights_sha256
    (output / ".DS_Store").touch()
    assert api.convert(source, output).weights_sha256 == digest
    assert (output / ".DS_Store").exists()
    monkeypatch.setattr("timbral.checkpoints.foreign.registry.read_foreign", None)
    source.write_bytes(b"other weights")
    with pytest.raises(DataError, match="converted: exists with other content"):
        api.convert(source, output)


def test_zip_without_weights_is_an_error(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "voices.zip", "w") as archive:
        archive.writestr("a", "b")
    with pytest.raises(CheckpointError, match="cannot be read as weights"):
        api.load_encoder(tmp_path / "voices.zip")


def test_ecapa_of_other_features_is_an_error(tmp_path: Path) -> None:
    """SpeechBrain's encoders of TTS's mel spectrograms have the same tensors."""
    state = drawn(np.load(GOLDEN / "speechbrain.npz"))
    path = tmp_path / "embedding_model.ckpt"
    torch.save(state, path)
    hyperparams = tmp_path / "hyperparams.yaml"
    hyperparams.write_text("compute_features: !new:speechbrain.lobes.features.Fbank\n")
    assert read_foreign(path).encoder.channels == 1024
    hyperparams.write_text("hop_length: 256\nn_mels: 80\nmel_scale: slaney\n")
    with pytest.raises(CheckpointError, match=r"features in its hyperparams\.yaml are not made"):
        read_foreign(path)


def test_missing_tensor_of_wavlm_is_named(tmp_path: Path) -> None:
    shutil.copytree(GOLDEN / "wavlm-base-tiny", tmp_path / "w")
    weights = tmp_path / "w" / "model.safetensors"
    tensors = safetensors.torch.load_file(weights)
    short = {key: value for key, value in tensors.items() if "feature_projection.proj" not in key}
    safetensors.torch.save_file(short, weights)
    with pytest.raises(CheckpointError, match=r"transformer\.projection\.weight is missing"):
        api.convert(tmp_path / "w", tmp_path / "out")


USE_IN_ROUNDS = """
import os, sys
from pathlib import Path
from timbral.checkpoints.checkpoint import Checkpoint
from timbral.checkpoints.conversion import convert
from timbral.checkpoints.download import download
from timbral.checkpoints.resolve import resolve
from timbral.checkpoints.weights import load_network
golden = Path(sys.argv[1])
print("ready", flush=True)
for line in sys.stdin:
    folder = Path(line.strip())
    os.environ["TIMBRAL_CACHE"] = str(folder / "cache")
    used = resolve(golden / "paddle-tiny.pdparams")
    converted = convert(golden / "paddle-tiny.pdparams", folder / "out")
    downloaded = Checkpoint.read(download("wavlm-base-plus-sv", golden / "wavlm-base-tiny"))
    for checkpoint in (used, converted, downloaded):
        load_network(checkpoint)
        print(checkpoint.weights_sha256, end=" ")
    print(flush=True)
"""


@pytest.mark.slow
def test_processes_use_the_same_weights_for_the_first_time(tmp_path: Path) -> None:
    command = [sys.executable, "-c", USE_IN_ROUNDS, str(GOLDEN)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    processes = [subprocess.Popen(command, text=True, **pipes) for _ in range(2)]
    answers = []
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for number in range(4):
        for process in processes:
            assert process.stdin is not None
            process.stdin.write(f"{tmp_path / str(number)}\n")
            process.stdin.flush()
        answers += [process.stdout.readline() for process in processes if process.stdout]
    for process in processes:
        process.communicate()
        assert process.returncode == 0
    assert len(set(answers)) == 1
    assert len(answers[0].split()) == 3
    left = [path.name for path in tmp_path.rglob(".*") if path.suffix != ".lock"]
    assert left == []


def test_damaged_cache_is_converted_again() -> None:
    first = api.resolve(GOLDEN / "paddle-tiny.pdparams")
    whole = first.weights_path.read_bytes()
    for damaged in (whole[:1000], whole[:-1] + bytes([whole[-1] ^ 64])):
        first.weights_path.write_bytes(damaged)
        assert api.resolve(GOLDEN / "paddle-tiny.pdparams").weights_path.read_bytes() == whole


def test_refused_pickles_name_what_they_ask_for(tmp_path: Path) -> None:
    content = {"step": 1, "model_state": Path("x")}
    torch.save(content, tmp_path / "archive.pt")
    torch.save(content, tmp_path / "legacy.pt", _use_new_zipfile_serialization=False)
    for name in ("archive.pt", "legacy.pt"):
        words = r"it asks for pathlib\S*; only tensors and plain values are read"
        with pytest.raises(CheckpointError, match=words) as raised:
            read_foreign(tmp_path / name)
        assert "\n" not in str(raised.value)
        assert "trust" not in str(raised.value)


def test_legacy_files_of_torch_are_read(tmp_path: Path) -> None:
    state = {"lstm.weight_ih_l0": torch.ones(3)}
    path = tmp_path / "encoder.pt"
    torch.save({"model_state": state}, path, _use_new_zipfile_serialization=False)
    content = read_content(path)
    assert content.container == "torch"
    assert torch.equal(content.values["model_state"]["lstm.weight_ih_l0"], torch.ones(3))


def test_weights_that_are_not_finite_are_an_error(tmp_path: Path) -> None:
    state = drawn(np.load(GOLDEN / "speechbrain.npz"))
    state["fc.conv.bias"][3] = float("inf")
    torch.save(state, tmp_path / "embedding_model.ckpt")
    with pytest.raises(CheckpointError, match=r"fc\.bias contains numbers that are not finite"):
        api.convert(tmp_path, tmp_path / "out")


def test_torch_weights_of_an_lstm_are_not_taken_for_paddles(tmp_path: Path) -> None:
    weights = read_foreign(GOLDEN / "paddle-tiny.pdparams").tensors
    torch.save(with_prefix(weights, "encoder"), tmp_path / "lstm.pt")
    read = read_foreign(tmp_path / "lstm.pt").tensors
    assert torch.equal(read["encoder.linear.weight"], weights["encoder.linear.weight"])


@pytest.mark.parametrize("name", ["paddle-tiny", "wavlm-base-tiny", "ecapa", "ddvc"])
def test_tensors_of_odd_shapes_are_errors(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Anything but a CheckpointError would be a traceback on the command line."""
    if name in ("ecapa", "ddvc"):
        state = drawn(np.load(GOLDEN / "speechbrain.npz"))
        few = {key: state[key] for key in ["blocks.0.conv.conv.weight", *sorted(state)[:12]]}
        content = Content(few if name == "ecapa" else ddvc(few, "model.mods.embedding_model."))
    else:
        content = read_content(find_weights(GOLDEN / name))
    nested = content.values.get("model_state", content.values)
    for key in list(nested)[::2]:
        for odd in (torch.zeros(()), torch.zeros(3), torch.zeros(1, 0, 1, 1, 1), "no tensor"):
            values: Any = {**nested, key: odd}
            if nested is not content.values:
                values = {**content.values, "model_state": values}
            changed = replace(content, values=values)
            monkeypatch.setattr(registry, "read_content", lambda path, changed=changed: changed)
            with suppress(CheckpointError):
                api.convert(GOLDEN / "paddle-tiny.pdparams", tmp_path / "out")
                shutil.rmtree(tmp_path / "out")
