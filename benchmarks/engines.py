"""Engines for one encoder: torch (timbral), onnxruntime and OpenVINO, on the exported file.

    python benchmarks/engines.py ENCODER [--rounds 3] [--seconds 8] [--utterances 8] [--skip bf16]
                                 [--calibrate CORPUS]

Prints audio per processor time (× real time) in one thread, the ratio to onnxruntime, and the
lowest cosine to the network without optimizations in float32. Engines alternate; times are medians,
and ratios are medians of the ratios of the rounds, so that a busy machine affects both equally.
Engines that are not installed are left out, and bf16 if the processor lacks it. With CORPUS, which
has recordings of many speakers, a file that computes in 8 bits is also measured.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

import timbral
from timbral.audio.preprocessing import load
from timbral.demo.shipped import VOICES
from timbral.inference.embedder import Embedder
from timbral.inference.optimize import IN_8_BITS
from timbral.inference.optimized.byte_products import CAN_MULTIPLY_BYTES
from timbral.inference.torch_runtime import TorchRuntime
from timbral.io.devices import has_bf16, tune_cpu

Engine = Callable[[np.ndarray], np.ndarray]
PLAIN, PEER = "torch fp32, plain network", "onnxruntime fp32"


def openvino_engines(path: Path) -> dict[str, Engine]:
    try:
        import openvino
    except ImportError:
        return {}

    def engine(hint: str) -> Engine:
        settings = {"INFERENCE_NUM_THREADS": 1, "EXECUTION_MODE_HINT": hint}
        compiled = openvino.Core().compile_model(path, "CPU", settings)

        def run(wave: np.ndarray) -> np.ndarray:
            lengths = np.array([len(wave)], dtype=np.int64)
            return np.asarray(compiled({"waves": wave[None], "lengths": lengths})["vectors"][0])

        return run

    return {
        "OpenVINO, accuracy hint": engine("ACCURACY"),
        "OpenVINO, its default": engine("PERFORMANCE"),
    }


class PlainRuntime(TorchRuntime):
    """The network as it is trained, neither folded nor packed."""

    def _prepare(self) -> None:
        self._embed_features = self.network.embed_features


def engines(
    encoder: str, path: Path, skip: Sequence[str], calibrate: Path | None, folder: Path
) -> dict[str, Engine]:
    def of(embedder: Embedder) -> Engine:
        return lambda wave: embedder.encode_preprocessed([wave])[0]

    timbral_fp32 = timbral.load_encoder(encoder, device="cpu")
    if not path.exists():
        timbral.export(timbral_fp32, path)
    network = copy.deepcopy(timbral_fp32.network)
    made = {
        PLAIN: of(timbral_fp32.with_inference(runtime=PlainRuntime(network))),
        "timbral fp32": of(timbral_fp32),
    }
    if "bf16" not in skip and has_bf16():  # minutes where it is emulated
        made["timbral bf16"] = of(timbral.load_encoder(encoder, device="cpu", precision="bf16"))
    if CAN_MULTIPLY_BYTES and type(network) in IN_8_BITS:
        made["timbral int8"] = of(timbral.load_encoder(encoder, device="cpu", precision="int8"))
    made[PEER] = of(timbral.load_encoder(path))
    if calibrate is not None:
        static = folder / "int8.onnx"
        timbral.export(timbral_fp32, static, precision="int8", calibrate=calibrate)
        made["onnxruntime int8, calibrated"] = of(timbral.load_encoder(static))
    return made | ({} if "openvino" in skip else openvino_engines(path))


def recordings(count: int, seconds: float) -> list[np.ndarray]:
    """Shipped voices, joined, of lengths around `seconds`."""
    files = sorted(VOICES.glob("*/*.ogg"))
    long = np.concatenate([load(path) for path in files[:: max(1, len(files) // (6 * count))]])
    lengths = np.linspace(0.6 * seconds, 1.4 * seconds, count) * 16_000
    ends = np.cumsum(lengths.astype(int))
    return [wave.copy() for wave in np.split(long, ends)[:count]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("encoder")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--utterances", type=int, default=8)
    parser.add_argument("--model", type=Path, help="its exported file; default: exported now")
    parser.add_argument("--calibrate", type=Path, help="recordings that show the ranges of int8")
    parser.add_argument("--skip", nargs="*", default=[], choices=["bf16", "openvino"])
    options = parser.parse_args()
    torch.set_num_threads(1)
    tune_cpu()  # as the verbs do
    waves = recordings(options.utterances, options.seconds)
    audio = sum(len(wave) for wave in waves) / 16_000
    with tempfile.TemporaryDirectory() as folder:
        path = options.model or Path(folder) / "model.onnx"
        made = engines(options.encoder, path, options.skip, options.calibrate, Path(folder))
        vectors = {name: np.stack([run(wave) for wave in waves]) for name, run in made.items()}
        spent: dict[str, list[float]] = {name: [] for name in made}
        for _ in range(options.rounds):
            for name, run in made.items():
                start = time.process_time()
                for wave in waves:
                    run(wave)
                spent[name].append(time.process_time() - start)
    expected = vectors[PLAIN]
    print(f"| engine | × real time | ratio to {PEER} | cosine |\n| --- | --- | --- | --- |")
    for name, times in spent.items():
        speed = audio / statistics.median(times)
        ratio = statistics.median(peer / own for peer, own in zip(spent[PEER], times, strict=True))
        cosine = (expected * vectors[name]).sum(1).min()
        print(f"| {name} | {speed:.0f} | {ratio:.2f} | {cosine:.6f} |")


if __name__ == "__main__":
    main()
