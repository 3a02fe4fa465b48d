"""Exported models: one file that takes waveforms and gives the vectors of torch."""

from __future__ import annotations

import json
import pickle
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch.nn import functional

from conftest import SMALL, Ask
from timbral import api
from timbral.audio.decode import Wave
from timbral.audio.preprocessing import Preprocessing
from timbral.checkpoints.download import downloaded_folder
from timbral.encoders.frontends import KALDI_FBANK_80, LOG_MEL_80, KaldiFbank, MelSpectrogram
from timbral.encoders.native_windows import Windows
from timbral.encoders.registry import ENCODERS
from timbral.errors import (
    CheckpointError,
    ConfigError,
    DataError,
    MissingExtraError,
    TimbralError,
)
from timbral.exporting import export_encoder, parity
from timbral.exporting.export_encoder import export
from timbral.exporting.half_weights import halve_weights
from timbral.exporting.replacements import DftFbank, DftMelSpectrogram, with_replacements
from timbral.exporting.tracing import OPSET
from timbral.gallery.gallery import Gallery
from timbral.inference import onnx_runtime
from timbral.inference.embedder import Embedder
from timbral.inference.exported_model import NO_HASH, with_hash


@dataclass(frozen=True)
class Pair:
    """An encoder in torch and as it was exported."""

    plain: Embedder
    path: Path
    exported: Embedder


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Pair]:
    """Every encoder, small, exported once; parity is measured on shorter recordings."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parity, "LONGEST_SECONDS", 3.0)
        patch.setattr(parity, "NUM_LENGTHS", 2)
        return {name: make_pair(name, tmp_path_factory.mktemp("exported")) for name in SMALL}


pytestmark = pytest.mark.usefixtures("short_parity")


def make_pair(name: str, folder: Path) -> Pair:
    torch.manual_seed(3)
    network = ENCODERS[name](SMALL[name])
    for module in network.modules():  # statistics that are not those of a new layer
        if isinstance(module, torch.nn.BatchNorm1d):
            torch.nn.init.uniform_(module.running_mean, -0.3, 0.3)
            torch.nn.init.uniform_(module.running_var, 0.5, 2.0)
    plain = Embedder(network, Preprocessing(min_rms_dbfs=-25.0), threshold=0.4, license="MIT")
    path = folder / f"{name}.onnx"
    export(plain, path)
    return Pair(plain, path, api.load_encoder(path))


@pytest.mark.parametrize("name", SMALL)
def test_vectors_are_those_of_torch(name: str, pairs: dict[str, Pair], waves: list[Wave]) -> None:
    """Of each recording alone, and of all together, the shortest that is allowed among them."""
    plain, exported = pairs[name].plain, pairs[name].exported
    given = [waves[0][: plain.network.min_samples], *waves[1:4]]
    expected = plain.encode_preprocessed(given)
    together = exported.encode_preprocessed(given)
    alone = np.concatenate([exported.encode_preprocessed([wave]) for wave in given])
    assert np.abs(together - expected).max() < 1e-4
    assert np.abs(together - alone).max() < 1e-5
    assert np.allclose(np.linalg.norm(together, axis=1), 1.0, atol=1e-6)


@pytest.mark.parametrize("name", SMALL)
def test_what_lies_after_an_end_does_not_matter(
    name: str, pairs: dict[str, Pair], waves: list[Wave]
) -> None:
    session = onnxruntime.InferenceSession(pairs[name].path)
    short, long = waves[0][:9000], waves[1][:30_000]
    padded = np.full((2, 31_000), np.nan, np.float32)
    padded[0, :9000], padded[1, :30_000] = short, long
    lengths = np.array([9000, 30_000])
    both = session.run(["vectors"], {"waves": padded, "lengths": lengths})[0]
    one = session.run(["vectors"], {"waves": short[None], "lengths": lengths[:1]})[0]
    assert np.abs(both[0] - one[0]).max() < 1e-5
    shorter = session.run(["vectors"], {"waves": padded, "lengths": lengths - 3000})[0]
    assert np.abs(both - shorter).max() > 1e-4, "lengths should matter"


def test_front_ends_are_equal(waves: list[Wave]) -> None:
    padded = torch.zeros(2, 40_000)
    padded[0, :30_000], padded[1] = torch.tensor(waves[0][:30_000]), torch.tensor(waves[1][:40_000])
    lengths = torch.tensor([30_000, 40_000])
    fbank, mel = KaldiFbank(KALDI_FBANK_80), MelSpectrogram(LOG_MEL_80)
    for plain, replaced in ((fbank, DftFbank(fbank)), (mel, DftMelSpectrogram(mel))):
        expected, frames = plain(padded, lengths)
        made, made_frames = replaced(padded, lengths)
        assert frames.tolist() == made_frames.tolist()
        assert (made - expected).abs().max() < 2e-3


@pytest.mark.parametrize("name", SMALL)
def test_replaced_layers_give_the_same_vectors(
    name: str, pairs: dict[str, Pair], waves: list[Wave]
) -> None:
    plain = pairs[name].plain.network
    lengths = torch.tensor([len(wave) for wave in waves[:2]])
    padded = torch.zeros(2, int(lengths.max()))
    for row, wave in enumerate(waves[:2]):
        padded[row, : len(wave)] = torch.from_numpy(wave)
    with torch.inference_mode():
        expected, replaced = (
            functional.normalize(network.embed_features(*network.features(padded, lengths)))
            for network in (plain, with_replacements(plain))
        )
    assert (replaced - expected).abs().max() < 1e-5


def test_windows_of_a_long_recording(
    pairs: dict[str, Pair], waves: list[Wave], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It goes through the graph in blocks, and each of its windows is the one of torch."""
    plain, exported = pairs["lstm"].plain, pairs["lstm"].exported
    monkeypatch.setattr(onnx_runtime, "WINDOWS_AT_ONCE", 4)
    long = np.concatenate(waves)[: 16_000 * 10 + 77]
    times, vectors = plain.encode_windows(long)
    made_times, made = exported.encode_windows(long)
    assert len(vectors) > 2 * 4
    assert np.array_equal(times, made_times)
    assert np.abs(made - vectors).max() < 1e-4
    assert np.abs(exported.encode([long, waves[0]]) - plain.encode([long, waves[0]])).max() < 1e-4


@pytest.mark.parametrize("samples", [1600, 31_999, 32_000])
def test_a_last_window_counts_from_three_quarters(samples: int, pairs: dict[str, Pair]) -> None:
    wave = np.random.default_rng(samples).normal(0, 0.1, samples).astype(np.float32)
    plain, exported = pairs["lstm"].plain, pairs["lstm"].exported
    assert np.abs(exported.encode(wave) - plain.encode(wave)).max() < 1e-4


def test_the_graph_has_operators_of_onnx_alone_and_each_value_once(pairs: dict[str, Pair]) -> None:
    for pair in pairs.values():
        proto = onnx.load(pair.path)
        assert {(each.domain, each.version) for each in proto.opset_import} == {("", OPSET)}
        assert {node.domain for node in proto.graph.node} == {""}
        made_of = {(node.op_type, *node.input, str(node.attribute)) for node in proto.graph.node}
        assert len(made_of) == len(proto.graph.node)
        assert not {node.op_type for node in proto.graph.node} & {"Constant", "Identity"}


def test_the_file_contains_what_the_encoder_needs(pairs: dict[str, Pair]) -> None:
    plain, path = pairs["tdnn"].plain, pairs["tdnn"].path
    stored = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
    content = json.loads(stored["timbral"])
    assert content["format"] == 1
    assert content["weights_sha256"] == plain.weights_identity()
    assert content["embedding_identity"] == plain.embedding_identity()
    assert content["preprocessing"] == {"trim": "none", "min_rms_dbfs": -25.0}
    assert content["network"]["min_samples"] == plain.network.min_samples
    assert content["parity"]["cosine"] > 0.99999
    assert content["parity"]["max_difference"] < 1e-4
    exported = pairs["tdnn"].exported
    assert (exported.threshold, exported.license, exported.name) == (0.4, "MIT", "tdnn")
    assert "ONNX" not in {node.domain for node in onnx.load(path).graph.node}
    assert not {"STFT", "DFT", "MelWeightMatrix"} & {
        node.op_type for node in onnx.load(path).graph.node
    }


def test_verbs_take_the_file(
    ask: Ask, run: Path, voices: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIMBRAL_CACHE", str(tmp_path / "cache"))
    model = tmp_path / "model.onnx"
    made = ask("export", run, "--output", model)
    assert made.code == 0, made.err
    assert "least cosine 1.0000000" in made.out or "least cosine 0.99999" in made.out
    first, second = sorted(voices.glob("*/*.ogg"))[:2]
    answers = [
        json.loads(ask("verify", encoder, first, second, "--json").out) for encoder in (run, model)
    ]
    assert answers[0]["score"] == pytest.approx(answers[1]["score"], abs=1e-5)
    assert answers[0]["weights_sha256"] == answers[1]["weights_sha256"]
    done = ask("embed", model, voices, "--output", tmp_path / "vectors")
    assert done.code == 0, done.err
    checked = ask("check", first, "--encoder", model)
    assert checked.code == 0, checked.err


def test_galleries_take_the_file(ask: Ask, run: Path, voices: Path, tmp_path: Path) -> None:
    """Vectors of a network and of its exported model are of one encoder."""
    model, gallery = tmp_path / "model.onnx", tmp_path / "gallery.db"
    plain = api.load_encoder(run)
    export(plain, model)
    exported = api.load_encoder(model)
    one, other, *_ = (sorted(folder.iterdir())[:3] for folder in sorted(voices.iterdir()))
    assert ask("enroll", gallery, "one", *one[:2], "--encoder", run, "--force").code == 0
    assert ask("enroll", gallery, "one", one[2], "--encoder", model, "--force").code == 0
    assert ask("embed", model, voices, "--output", tmp_path / "vectors").code == 0
    more = ["--embeddings", tmp_path / "vectors", "--encoder", model, "--force"]
    done = ask("enroll", gallery, *more)
    assert done.code == 0, done.err
    found = json.loads(ask("identify", gallery, other[0], "--encoder", model, "--json").out)
    with Gallery(gallery) as opened:
        assert len(opened) == 1 + len(list(voices.iterdir()))
        expected = opened.search(plain.encode(str(other[0])), 1)
    assert found["candidates"][0]["name"] == expected[0][0][0] == other[0].parent.name
    assert found["candidates"][0]["score"] == pytest.approx(float(expected[1][0, 0]), abs=1e-4)
    migrated = ask(
        "gallery", "migrate", gallery, "--to", model, "--bridge", *[tmp_path / "vectors"] * 2,
        "--output", tmp_path / "new.db",
    )  # fmt: skip
    assert "which compares with them as they are" in migrated.err  # it is the encoder it has
    assert np.allclose(exported.encode(str(one[0])), plain.encode(str(one[0])), atol=1e-4)


def test_an_encoder_in_place_of_a_gallery_is_told(ask: Ask, pairs: dict[str, Pair]) -> None:
    answer = ask("serve", pairs["tdnn"].path)
    assert (answer.code, answer.out) == (2, "")
    assert "is an exported model, not a gallery; give it as --encoder" in answer.err
    answer = ask("serve", "campplus-zh-en")
    assert "is the name of an encoder, not a gallery; give it as --encoder" in answer.err


def test_a_network_of_more_than_2_gb_is_refused_at_once(
    pairs: dict[str, Pair], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export_encoder, "LARGEST_BYTES", 1_000)
    with pytest.raises(CheckpointError, match="one ONNX file holds at most 2 GB; use the encoder"):
        export(pairs["tdnn"].plain, tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_workers_embed_with_the_file(ask: Ask, run: Path, voices: Path, tmp_path: Path) -> None:
    export(str(run), tmp_path / "model.onnx")
    words = ["embed", tmp_path / "model.onnx", voices, "--workers", 2]
    done = ask(*words, "--output", tmp_path / "vectors")
    assert done.code == 0, done.err


def test_pickled_embedder_opens_the_file_again(pairs: dict[str, Pair], waves: list[Wave]) -> None:
    exported = pairs["tdnn"].exported
    again = pickle.loads(pickle.dumps(exported))
    assert np.array_equal(again.encode(waves[0]), exported.encode(waves[0]))


@pytest.mark.parametrize("name", ["tdnn", "lstm"])
def test_half_precision_is_of_the_weights(
    name: str, pairs: dict[str, Pair], waves: list[Wave], tmp_path: Path
) -> None:
    pair, path = pairs[name], tmp_path / "half.onnx"
    made = export(pair.plain, path, precision="fp16")
    half = api.load_encoder(path)
    assert half.precision == "fp16"
    assert made.num_bytes < pair.path.stat().st_size
    assert made.parity.cosine >= 0.9999
    expected = np.stack([pair.exported.encode(wave) for wave in waves])
    vectors = half.encode(waves)
    assert (vectors * expected).sum(1).min() >= 0.9999
    assert not np.array_equal(vectors, expected)
    proto = onnx.load(path)
    onnx.checker.check_model(proto)
    kinds = {tensor.data_type for tensor in proto.graph.initializer}
    assert onnx.TensorProto.FLOAT16 in kinds
    large = [tensor for tensor in proto.graph.initializer if np.prod(tensor.dims) > 20_000]
    assert onnx.TensorProto.FLOAT in {tensor.data_type for tensor in large}, "the front-end's"


def test_weights_that_16_bits_cannot_hold_stay() -> None:
    large, small = np.full((64, 64), 1e5, np.float32), np.full((64, 64), 0.1, np.float32)
    graph = onnx.helper.make_graph(
        [
            onnx.helper.make_node("MatMul", ["x", "large"], ["y"]),
            onnx.helper.make_node("MatMul", ["y", "small"], ["z"]),
        ],
        "products",
        [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1, 64])],
        [onnx.helper.make_tensor_value_info("z", onnx.TensorProto.FLOAT, [1, 64])],
        [
            onnx.numpy_helper.from_array(large, "large"),
            onnx.numpy_helper.from_array(small, "small"),
        ],
    )
    model = onnx.helper.make_model(graph)
    halve_weights(model)
    kept = {each.name: onnx.numpy_helper.to_array(each) for each in model.graph.initializer}
    assert np.array_equal(kept["large"], large)
    assert kept["small_float16"].dtype == np.float16
    onnx.checker.check_model(model)


def test_what_an_exported_model_cannot_do(pairs: dict[str, Pair], tmp_path: Path) -> None:
    exported = pairs["lstm"].exported
    refused: list[tuple[str, object]] = [
        ("no torch network", lambda: exported.save(tmp_path / "saved")),
        ("no torch network", lambda: export(exported, tmp_path / "again.onnx")),
        ("takes waveforms", lambda: exported.encode_mels([np.zeros((200, 40), np.float32)])),
        ("runs on the cpu", lambda: exported.to("cuda")),
        ("runs on the cpu", lambda: api.load_encoder(pairs["lstm"].path, device="cuda")),
        ("precision", lambda: api.load_encoder(pairs["lstm"].path, precision="bf16")),
        (
            "part of the exported model",
            lambda: exported.with_inference(windows=Windows(80, 40)).encode(np.ones(20_000)),
        ),
    ]
    for match, call in refused:
        with pytest.raises(ConfigError, match=match):
            call()  # type: ignore[operator]
    with pytest.raises(CheckpointError, match="use the encoder that it was exported from"):
        api.convert(pairs["lstm"].path, tmp_path / "converted")


def changed(path: Path, target: Path, *changes: tuple[bytes, bytes]) -> Path:
    """A copy whose bytes were replaced, with the hash that belongs to it."""
    content = path.read_bytes()
    stated = {e.key: e.value for e in onnx.load(path).metadata_props}["file_sha256"]
    for old, new in ((stated.encode(), NO_HASH.encode()), *changes):
        assert old in content
        content = content.replace(old, new, 1)
    target.write_bytes(with_hash(content))
    return target


def test_files_of_strangers_are_refused(pairs: dict[str, Pair], tmp_path: Path) -> None:
    ours = pairs["tdnn"].path
    content = ours.read_bytes()
    other = tmp_path / "other.onnx"
    node = onnx.helper.make_node("Relu", ["waves"], ["vectors"])
    value = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)
        for name in ("waves", "vectors")
    ]
    graph = onnx.helper.make_graph([node], "relu", value[:1], value[1:])
    onnx.save(onnx.helper.make_model(graph), other)
    for name, made in {
        "was not written by `timbral export`": other.read_bytes(),
        "was not written by": b"",
        "damaged": content[: len(content) // 2],
        "was changed": content[:5000] + bytes([content[5000] ^ 1]) + content[5001:],
        "refers to other files": content.replace(
            b"\x12\x07timbral", b"\x12\x07timbral\n\x08location"
        ),
    }.items():
        (tmp_path / "bad.onnx").write_bytes(made)
        with pytest.raises(CheckpointError, match=name) as raised:
            api.load_encoder(tmp_path / "bad.onnx")
        assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        (b'{"format": 1', b'{"format": 7', "format 7, .*: update timbral, or export"),
        (b'"sample_rate": 16000', b'"sample_rate": -6000', "not positive"),
        (b'"trim": "none"', b'"trim": "nine"', "unknown trim"),
        (b'"precision":', b'"precisiom":', "unknown key"),
        (b'"threshold": 0.4', b'"threshold": {} ', "threshold"),
        (b'"calibration": ""', b'"calibration":"1"', "calibration"),
    ],
)
def test_wrong_metadata_is_refused(
    old: bytes, new: bytes, match: str, pairs: dict[str, Pair], tmp_path: Path
) -> None:
    bad = changed(pairs["tdnn"].path, tmp_path / "bad.onnx", (old, new))
    with pytest.raises(CheckpointError, match=match):
        api.load_encoder(bad)


def test_a_model_that_is_not_near_is_not_written(
    pairs: dict[str, Pair], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(parity.LARGEST_DIFFERENCE, "fp32", 0.0)
    with pytest.raises(CheckpointError, match="nothing was written"):
        export(pairs["tdnn"].plain, tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


def test_outputs_and_precisions_are_checked_first(tmp_path: Path, run: Path) -> None:
    (tmp_path / "notes.onnx").write_text("mine")
    refused: dict[str, tuple[type[TimbralError], str, str]] = {
        "is not an exported model": (DataError, "notes.onnx", "fp32"),
        "must end in .onnx": (ConfigError, "model.bin", "fp32"),
        "allowed: fp32, fp16 or int8": (ConfigError, "model.onnx", "fp64"),
    }
    for match, (error, name, precision) in refused.items():
        with pytest.raises(error, match=match):
            export(str(run), tmp_path / name, precision=precision)
    assert (tmp_path / "notes.onnx").read_text() == "mine"


def test_without_onnxruntime(
    pairs: dict[str, Pair], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingExtraError, match=r"\[onnx\].*pip install"):
        api.load_encoder(pairs["tdnn"].path)
    with pytest.raises(MissingExtraError, match=r"\[export\].*pip install"):
        export(pairs["tdnn"].plain, tmp_path / "model.onnx")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["campplus-zh-en", "ge2e-lstm"])
def test_published_weights(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also their calibration goes with them, where one is shipped."""
    if downloaded_folder(name) is None:
        pytest.skip(f"{name} is not on this machine")
    monkeypatch.undo()  # parity as users have it
    plain = api.load_encoder(name, device="cpu")
    made = export(plain, tmp_path / "model.onnx")
    assert made.parity.cosine > 0.99999
    exported = api.load_encoder(made.path)
    assert exported.calibration == plain.calibration
    assert exported.embedding_identity() == plain.embedding_identity()
