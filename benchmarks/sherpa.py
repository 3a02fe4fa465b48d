"""From files to vectors: timbral and sherpa-onnx's SpeakerEmbeddingExtractor.

    python benchmarks/sherpa.py FOLDER [--encoder campplus-zh-en] [--model FILE …] [--rounds 5]

Prints audio per processor time (× real time) in one thread, and the ratio to sherpa-onnx with the
file that `timbral export --sherpa` writes; contenders alternate, and medians are shown. FOLDER
contains wav or FLAC files, which soundfile reads for sherpa-onnx. FILE is another model for it,
such as one quantized by onnxruntime. Needs `pip install sherpa-onnx 'timbral[export]'`.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import soundfile
import torch

import timbral
from timbral.inference.optimized.byte_products import CAN_MULTIPLY_BYTES
from timbral.io.devices import has_bf16

Run = Callable[[list[Path]], object]
PEER = "sherpa-onnx fp32"


def sherpa_onnx(model: Path) -> Run:
    import sherpa_onnx  # type: ignore[import-not-found, unused-ignore]

    config = sherpa_onnx.SpeakerEmbeddingExtractorConfig(model=str(model), num_threads=1)
    extractor = sherpa_onnx.SpeakerEmbeddingExtractor(config)

    def run(files: list[Path]) -> None:
        for path in files:
            samples, rate = soundfile.read(path, dtype="float32")
            stream = extractor.create_stream()
            stream.accept_waveform(rate, samples)
            stream.input_finished()
            extractor.compute(stream)

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--encoder", default="campplus-zh-en")
    parser.add_argument("--model", type=Path, nargs="*", default=[])
    parser.add_argument("--files", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    found = sorted(path for end in ("wav", "flac") for path in options.folder.rglob(f"*.{end}"))
    files = found[:: max(1, len(found) // options.files)][: options.files]
    audio = sum(soundfile.info(path).duration for path in files)
    precisions = ["fp32", *(["bf16"] * has_bf16()), *(["int8"] * CAN_MULTIPLY_BYTES)]
    engines: dict[str, Run] = {
        f"timbral {precision}": timbral.load_encoder(
            options.encoder, device="cpu", precision=precision
        ).encode
        for precision in precisions
    }
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "sherpa.onnx"
        timbral.export_for_sherpa(options.encoder, model)
        engines[PEER] = sherpa_onnx(model)
        engines |= {f"sherpa-onnx {path.stem}": sherpa_onnx(path) for path in options.model}
        seconds: dict[str, list[float]] = {name: [] for name in engines}
        for number in range(options.rounds + 1):
            for name, run in engines.items():
                started = time.process_time()
                run(files)
                if number:  # the first round warms up
                    seconds[name].append(time.process_time() - started)
    print(f"{len(files)} recordings, {audio:.0f} s")
    for name, taken in seconds.items():
        ratio = statistics.median(
            peer / own for peer, own in zip(seconds[PEER], taken, strict=True)
        )
        print(f"{name:24} {audio / statistics.median(taken):5.0f} × real time   {ratio:.2f}")


if __name__ == "__main__":
    main()
