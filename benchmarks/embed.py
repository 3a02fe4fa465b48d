"""Files to vectors: timbral compared with the projects whose weights it reads.

    python benchmarks/embed.py [--peers PYTHON] [--threads 1] [--utterances 40] [--encoder NAME …]

Each contender is a process of its own that loads its model once, and then embeds the same 16 kHz
wav files. Runs alternate, and medians are compared. The other projects run under the Python given
by --peers (or $TIMBRAL_PEERS), where they are installed; any that is missing is left out:

    pip install torch torchaudio soundfile resemblyzer==0.1.4 speechbrain==1.1.2 transformers
    pip install --no-deps speakerlab==0.0.6

ECAPA-TDNN and WavLM have the same random weights on both sides, because speed does not depend on
them.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[1]
GOLDEN = ROOT / "tests" / "golden"
VOICES = ROOT / "src" / "timbral" / "demo" / "voices"
Embed = Callable[[list[str]], np.ndarray]


def drawn(golden: Any, prefix: str = "") -> dict[str, Any]:
    """The random weights of the golden files, as tensors under the original's names."""
    sys.path.insert(0, str(GOLDEN))
    import torch
    from weights import fill

    names, shapes = golden[f"{prefix}tensors"], golden[f"{prefix}shapes"]
    sizes = {str(n): tuple(map(int, str(s).split())) for n, s in zip(names, shapes, strict=True)}
    return {name: torch.from_numpy(np.array(array)) for name, array in fill(sizes).items()}


def timbral(encoder: str, precision: str, compile: bool) -> Embed:
    from timbral import api
    from timbral.checkpoints.foreign.speechbrain import ecapa_tensors
    from timbral.checkpoints.foreign.transformers import wavlm_tensors
    from timbral.checkpoints.weights import build_encoder, load_strictly, with_prefix
    from timbral.encoders.ecapa import EcapaConfig
    from timbral.encoders.wavlm.wavlm_config import WavlmConfig
    from timbral.inference.embedder import Embedder
    from timbral.io.devices import tune_cpu

    tune_cpu()  # as the verbs do
    if encoder in ("ecapa", "wavlm"):
        if encoder == "ecapa":
            tensors = ecapa_tensors(drawn(np.load(GOLDEN / "speechbrain.npz")))[1]
            model = build_encoder(EcapaConfig())
        else:
            tensors = wavlm_tensors(drawn(np.load(GOLDEN / "transformers.npz"), "base-full."))
            model = build_encoder(WavlmConfig())
        load_strictly(model, with_prefix(tensors, "encoder"), encoder)
        embedder = Embedder(model, precision=precision, compile=compile)
    else:
        api.download(encoder)
        embedder = api.load_encoder(encoder, device="cpu", precision=precision, compile=compile)

    def run(paths: list[str]) -> np.ndarray:
        waves = []
        for wave in embedder.try_load_many(paths):
            assert isinstance(wave, np.ndarray), wave
            waves.append(wave)
        return embedder.encode_preprocessed(waves)

    return run


def resemblyzer() -> Embed:
    from resemblyzer import VoiceEncoder, preprocess_wav

    encoder = VoiceEncoder("cpu", verbose=False)
    return lambda paths: np.stack([encoder.embed_utterance(preprocess_wav(p)) for p in paths])


def one_by_one(embed: Callable[[Any], Any]) -> Embed:
    """A loop over files, as in the projects' own examples."""
    import soundfile
    import torch

    def run(paths: list[str]) -> np.ndarray:
        vectors = []
        for path in paths:
            wave, _ = soundfile.read(path, dtype="float32")
            with torch.inference_mode():
                vectors.append(embed(torch.from_numpy(wave)).float().numpy())
        return np.stack(vectors)

    return run


def speakerlab() -> Embed:
    import torch
    from speakerlab.models.campplus.DTDNN import CAMPPlus
    from speakerlab.process.processor import FBank

    encoder = CAMPPlus(feat_dim=80, embedding_size=192)
    if os.environ.get("CAMPPLUS_WEIGHTS"):
        state = torch.load(os.environ["CAMPPLUS_WEIGHTS"], map_location="cpu", weights_only=True)
        encoder.load_state_dict(state)
    encoder.eval()
    front_end = FBank(80, sample_rate=16_000, mean_nor=True)
    return one_by_one(lambda wave: encoder(front_end(wave)[None])[0])


def speechbrain() -> Embed:
    import torch
    from speechbrain.lobes.features import Fbank
    from speechbrain.lobes.models.ECAPA_TDNN import ECAPA_TDNN
    from speechbrain.processing.features import InputNormalization

    encoder = ECAPA_TDNN(80, channels=[1024] * 4 + [3072], lin_neurons=192)
    encoder.load_state_dict(drawn(np.load(GOLDEN / "speechbrain.npz")))
    encoder.eval()
    fbank, norm = Fbank(n_mels=80), InputNormalization(norm_type="sentence", std_norm=False)
    one = torch.ones(1)
    return one_by_one(lambda wave: encoder(norm(fbank(wave[None]), one), one)[0, 0])


def transformers() -> Embed:
    from transformers import WavLMConfig, WavLMForXVector

    model: Any = WavLMForXVector(WavLMConfig(use_weighted_layer_sum=True))
    model.eval()
    model.load_state_dict(drawn(np.load(GOLDEN / "transformers.npz"), "base-full."))
    return one_by_one(lambda wave: model(wave[None]).embeddings[0])


PEERS: dict[str, tuple[str, Callable[[], Embed]]] = {
    "ge2e-lstm": ("resemblyzer", resemblyzer),
    "campplus-zh-en": ("speakerlab", speakerlab),
    "ecapa": ("speechbrain", speechbrain),
    "wavlm": ("transformers", transformers),
}


def work(encoder: str, contender: str, threads: int, paths: list[str]) -> None:
    """A contender's process: for each line on standard input it runs once and prints a line."""
    import torch

    torch.set_num_threads(threads)
    if contender.startswith("timbral"):
        _, precision, *rest = contender.split()
        embed = timbral(encoder, precision, bool(rest))
    else:
        embed = PEERS[encoder][1]()
    vectors = embed(paths[:2])
    if "compiled" in contender:
        embed(paths)
    print("ready", flush=True)
    for _ in sys.stdin:
        begun = time.perf_counter()
        vectors = embed(paths)
        seconds = time.perf_counter() - begun
        unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps({"s": seconds, "mb": peak, "v": unit.tolist()}), flush=True)


def start(
    python: str, encoder: str, contender: str, threads: int, files: Path
) -> subprocess.Popen[str] | None:
    """Start a contender; None if it cannot be started."""
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    command = [python, __file__, "--work", encoder, contender, str(threads), str(files)]
    process = subprocess.Popen(
        command,
        env=environment,
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    while line := process.stdout.readline():
        if line == "ready\n":
            return process
    reason = process.stderr.read().strip().splitlines()[-1:]
    print(f"  {contender}: left out, {''.join(reason)}")
    return None


def write_files(folder: Path, count: int) -> float:
    """Shipped voices as 16 kHz wav files; returns their seconds."""
    import soundfile

    seconds = 0.0
    for index, path in enumerate(sorted(VOICES.glob("*/*.ogg"))[::11][:count]):
        wave, rate = soundfile.read(path, dtype="int16")
        soundfile.write(folder / f"{index:03}.wav", wave, rate)
        seconds += len(wave) / rate
    return seconds


def compare(encoder: str, options: argparse.Namespace, files: Path, seconds: float) -> None:
    count = len(list(files.glob("*.wav")))
    print(f"\n{encoder}: {count} utterances, {seconds:.0f} s, {options.threads} threads")
    names = [PEERS[encoder][0], "timbral fp32", "timbral bf16"]
    names += ["timbral bf16 compiled"] if options.compile else []
    running = {}
    for name in names:
        python = sys.executable if name.startswith("timbral") else options.peers
        if process := start(python, encoder, name, options.threads, files):
            running[name] = process
    results: dict[str, list[dict[str, Any]]] = {name: [] for name in running}
    for _ in range(options.runs):
        for name, process in running.items():
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write("run\n")
            process.stdin.flush()
            results[name].append(json.loads(process.stdout.readline()))
    for process in running.values():
        process.communicate()
    report(results, count, seconds)


def report(results: dict[str, list[dict[str, Any]]], count: int, seconds: float) -> None:
    first = next(iter(results))
    exact = np.array(results["timbral fp32"][0]["v"])
    base = statistics.median(run["s"] for run in results[first])
    print(f"  {'':<24}{'utt/s':>8}{'xRT':>8}{'ratio':>8}{'peak MB':>9}  cosine to fp32")
    for name, runs in results.items():
        median = statistics.median(run["s"] for run in runs)
        cosine = np.einsum("ne,ne->n", np.array(runs[0]["v"]), exact).min()
        print(
            f"  {name:<24}{count / median:8.1f}{seconds / median:8.0f}{base / median:8.2f}"
            f"{runs[-1]['mb']:9.0f}  {cosine:.5f}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--peers", default=os.environ.get("TIMBRAL_PEERS", sys.executable))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--utterances", type=int, default=40)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--encoder", nargs="*", default=list(PEERS), choices=list(PEERS))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        seconds = write_files(Path(folder), options.utterances)
        for encoder in options.encoder:
            compare(encoder, options, Path(folder), seconds)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--work"]:
        _, _, encoder, contender, threads, folder = sys.argv
        files = sorted(str(path) for path in Path(folder).glob("*.wav"))
        work(encoder, contender, int(threads), files)
    else:
        main()
