"""Speed of preparing recordings: PaddleSpeech's own way and timbral, on the same files.

    python benchmarks/preparation.py [--rounds 3] [--files 200] [--kinds flac] [--cores 1]

Each run is a process of its own, pinned to its cores; the two alternate, so that a busy machine
slows both equally. Times are without imports. With two processes their start is included, so
timbral gets more audio, because its processes import torch. `ratio` is of hours per minute,
`cpu ratio` of hours per second of processor time, which is more reliable on a busy machine.

What is written is emptied at once and deleted at the end: for minutes after a deletion, ext4 passes
over every deleted file to create a new one, which took up to a third of a preparation. So begin
some minutes after anything that deletes thousands of files.

PaddleSpeech's way is written here from its description: librosa decodes and resamples, WebRTC's
detector gets each window as packed integers, librosa computes the mel, and numpy saves it. It needs
`pip install librosa` and the extra `[vad]`.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import resource
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile
import soxr

SHARED = Path(__file__).parents[2] / "shared" / "data" / "librispeech-251"
REPEATS = {1: (1, 5), 2: (2, 60)}
"""how often one process, and two or more, get the same audio, PaddleSpeech's way and timbral: a
start, or the folder's tables, should not count more than in a corpus of a usual size"""


def paddlespeech(paths: list[tuple[str, str]]) -> None:
    """PaddleSpeech's GE2E preprocessing of some files: (recording, mel) pairs."""
    import librosa
    import webrtcvad
    from scipy.ndimage import binary_dilation

    for source, target in paths:
        wave, rate = librosa.load(source, sr=None)
        if rate != 16_000:
            wave = librosa.resample(wave, orig_sr=rate, target_sr=16_000)
        gain = -30 - 10 * np.log10(np.mean(wave**2))
        if gain > 0:
            wave = wave * 10 ** (gain / 20)
        wave = wave[: len(wave) // 480 * 480]
        packed = struct.pack(f"{len(wave)}h", *np.round(wave * 32_767).astype(np.int16))
        detector = webrtcvad.Vad(mode=3)
        flags = [
            detector.is_speech(packed[2 * start : 2 * start + 960], sample_rate=16_000)
            for start in range(0, len(wave), 480)
        ]
        padded = np.concatenate([np.zeros(3), flags, np.zeros(4)])
        sums = np.cumsum(padded)
        sums[8:] = sums[8:] - sums[:-8]
        mask = binary_dilation(np.round(sums[7:] / 8).astype(bool), np.ones(7))
        wave = wave[np.repeat(mask, 480)]
        mel = librosa.feature.melspectrogram(
            y=wave, sr=16_000, n_fft=400, hop_length=160, n_mels=40
        )
        np.save(target, mel.astype(np.float32).T)


def run_paddlespeech(root: Path, output: Path, processes: int) -> Callable[[], None]:
    output.mkdir()
    paths = [
        (str(path), str(output / f"{number}.npy"))
        for number, path in enumerate(sorted(root.glob("*/*")))
    ]
    paddlespeech(paths[:2])  # imports and compiles

    def run() -> None:
        if processes == 1:
            return paddlespeech(paths)
        with multiprocessing.get_context("fork").Pool(processes) as pool:
            pool.map(paddlespeech, [paths[start::8] for start in range(8)], chunksize=1)

    return run


def run_timbral(
    trim: str, format: str, root: Path, output: Path, processes: int
) -> Callable[[], None]:
    from timbral.audio.preprocessing import Preprocessing
    from timbral.data.corpora.scanning import scan_corpus
    from timbral.data.prepared.prepare import prepare
    from timbral.io.memory import keep_freed_memory

    keep_freed_memory()  # as the command does
    preprocessing = Preprocessing(trim)
    utterances = scan_corpus("folder", root)
    prepare(utterances[:2], output / "warm", preprocessing, format=format)

    def run() -> None:
        prepare(utterances, output / "data", preprocessing, format=format, workers=processes)

    return run


CONTENDERS = {
    "PaddleSpeech: precomputed mels, WebRTC": run_paddlespeech,
    "timbral: precomputed mels, WebRTC": lambda *job: run_timbral("webrtc", "npy", *job),
    "timbral: precomputed mels, energy": lambda *job: run_timbral("energy", "npy", *job),
    "timbral: precomputed mels, Silero": lambda *job: run_timbral("silero", "npy", *job),
    "timbral: PCM store, untrimmed": lambda *job: run_timbral("none", "arrow", *job),
}


def child(name: str, root: Path, folder: Path, processes: int) -> None:
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:processes])
    run = CONTENDERS[name](root, folder / "out", processes)
    started, used = time.perf_counter(), sum(os.times()[:4])
    run()
    seconds, cpu = time.perf_counter() - started, sum(os.times()[:4]) - used
    for path in folder.rglob("*"):
        if path.is_file():
            os.truncate(path, 0)
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    memory = [resource.getrusage(kind).ru_maxrss / 1024 for kind in kinds]
    print(json.dumps({"seconds": seconds, "cpu": cpu, "mib": max(memory)}))


def make_corpus(folder: Path, files: int, kind: str) -> float:
    """Write the same recordings as wav, flac, or wav at 48 kHz; returns hours."""
    from timbral.audio.preprocessing import load
    from timbral.demo.shipped import VOICES

    sources = sorted(SHARED.glob("*/*/*.flac")) or sorted(VOICES.glob("*/*.ogg"))
    samples = 0
    for number, source in enumerate(sources[:files]):
        wave = load(source)
        samples += len(wave)
        rate = 48_000 if kind == "wav 48 kHz" else 16_000
        if rate != 16_000:
            wave = soxr.resample(wave, 16_000, rate)
        suffix = "flac" if kind == "flac" else "wav"
        path = folder / "1" / f"speaker{number % 10}" / f"{number}.{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, wave, rate, subtype="PCM_16")
    for repeats in sorted(set(sum(REPEATS.values(), ())) - {1}):
        for path in (folder / "1").glob("*/*"):
            for copy in range(repeats):
                link = folder / str(repeats) / f"{path.parent.name}-{copy}" / path.name
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to(path)
    return samples / 16_000 / 3600


def measure(name: str, root: Path, written: Path, processes: int) -> dict[str, float]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    folder = tempfile.mkdtemp(dir=written)
    command = [sys.executable, __file__, "--child", name, str(root), folder, str(processes)]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if result.returncode:
        sys.exit(result.stderr)
    content: dict[str, float] = json.loads(result.stdout.splitlines()[-1])
    return content


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--files", type=int, default=200)
    parser.add_argument("--kinds", nargs="*", default=["wav 16 kHz", "flac", "wav 48 kHz"])
    parser.add_argument("--cores", nargs="*", type=int, default=[1, 2])
    parser.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        name, root, folder, processes = arguments.child
        return child(name, Path(root), Path(folder), int(processes))
    cores = [count for count in arguments.cores if count <= len(os.sched_getaffinity(0))]
    print(f"{'':31} {'cores':>5} {'h/min':>7} {'ratio':>6} {'cpu ratio':>9} {'MiB':>5}")
    with tempfile.TemporaryDirectory() as temporary:
        for number, kind in enumerate(arguments.kinds):
            corpus, written = Path(temporary, f"in{number}"), Path(temporary, f"out{number}")
            written.mkdir()
            hours = make_corpus(corpus, arguments.files, kind)
            print(f"{kind}, {hours:.2f} h")
            for count in cores:
                compare(corpus, written, hours, count, arguments.rounds)


def compare(folder: Path, written: Path, hours: float, cores: int, rounds: int) -> None:
    few, many = REPEATS[min(cores, 2)]
    repeats = {name: few if name.startswith("PaddleSpeech") else many for name in CONTENDERS}
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in CONTENDERS}
    for _ in range(rounds):
        for name in CONTENDERS:
            root = folder / str(repeats[name])
            runs[name].append(measure(name, root, written, cores))

    def median(name: str, key: str) -> float:
        return statistics.median(run[key] for run in runs[name]) / (hours * repeats[name])

    first = next(iter(CONTENDERS))
    for name in CONTENDERS:
        ratios = [median(first, key) / median(name, key) for key in ("seconds", "cpu")]
        memory = max(run["mib"] for run in runs[name])
        speed = 60 / median(name, "seconds")
        print(f"{name:31} {cores:5} {speed:7.1f} {ratios[0]:6.2f} {ratios[1]:9.2f} {memory:5.0f}")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
