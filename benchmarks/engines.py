"""Engines for one encoder: torch (timbral), onnxruntime and OpenVINO on the file that was exported.

    python benchmarks/engines.py ENCODER [--rounds 3] [--seconds 8] [--utterances 8]

Seconds of audio a second of processor time, one thread each, alternating, medians; least cosine to
torch in float32. Engines that are not installed are left out.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

import timbral
from timbral.audio.preprocessing import load
from timbral.demo.shipped import VOICES
from timbral.inference.embedder import Embedder

Engine = Callable[[np.ndarray], np.ndarray]


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


def engines(encoder: str, path: Path) -> dict[str, Engine]:
    def of(embedder: Embedder) -> Engine:
        return lambda wave: embedder.encode_preprocessed([wave])[0]

    plain = timbral.load_encoder(encoder, device="cpu")
    if not path.exists():
        timbral.export(plain, path)
    return {
        "torch fp32": of(plain),
        "torch bf16": of(timbral.load_encoder(encoder, device="cpu", precision="bf16")),
        "onnxruntime": of(timbral.load_encoder(path)),
        **openvino_engines(path),
    }


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
    options = parser.parse_args()
    torch.set_num_threads(1)
    waves = recordings(options.utterances, options.seconds)
    audio = sum(len(wave) for wave in waves) / 16_000
    with tempfile.TemporaryDirectory() as folder:
        made = engines(options.encoder, options.model or Path(folder) / "model.onnx")
        vectors = {name: np.stack([run(wave) for wave in waves]) for name, run in made.items()}
        spent: dict[str, list[float]] = {name: [] for name in made}
        for _ in range(options.rounds):
            for name, run in made.items():
                start = time.process_time()
                for wave in waves:
                    run(wave)
                spent[name].append(time.process_time() - start)
    expected = vectors["torch fp32"]
    print("| engine | s of audio / s | cosine |\n| --- | --- | --- |")
    for name, times in spent.items():
        cosine = (expected * vectors[name]).sum(1).min()
        print(f"| {name} | {audio / statistics.median(times):.0f} | {cosine:.6f} |")


if __name__ == "__main__":
    main()
