"""Files on disk to vectors on disk: timbral against loops over Resemblyzer and 3D-Speaker.

    python benchmarks/bulk.py [CORPUS] [--seconds 600] [--cores 1 2] [--peers PYTHON]

CORPUS is a folder of recordings, by default the voices that come with timbral. They are copied as
16 kHz wav and as Ogg Vorbis into a temporary folder. PYTHON is the interpreter of an environment
with `pip install resemblyzer speakerlab` (default: $TIMBRAL_PEERS); without it only timbral is
measured. Each run is a process of its own, pinned to its cores; imports and the loading of weights
are not counted, the start of timbral's workers is.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

import soundfile

from timbral.audio.decode import AUDIO_SUFFIXES
from timbral.audio.preprocessing import load
from timbral.demo.shipped import VOICES

COMMON = """
import json, os, resource, sys, time
from pathlib import Path
import numpy as np, torch
root, out, cores = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
torch.set_num_threads(cores)
files = sorted(p for p in root.rglob("*") if p.is_file())
def peak():
    who = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return max(resource.getrusage(w).ru_maxrss for w in who) / 1024
"""
TIMBRAL = (
    COMMON
    + """
from timbral import api
from timbral.bulk.engines import Engine
if __name__ == "__main__":
    e = api.load_encoder(sys.argv[4], device="cpu", precision=sys.argv[5])
    e.encode(files[0])
    t = time.monotonic()
    engine = Engine(workers=cores if cores > 1 else 1)
    api.embed(e, root, out, layout="tree", format="npy", engine=engine)
    print(json.dumps({"seconds": time.monotonic() - t, "peak_mb": peak()}))
"""
)
SPLIT = (
    COMMON
    + """
from timbral import api
from timbral.io.devices import tune_cpu
tune_cpu()
e = api.load_encoder(sys.argv[4], device="cpu")
e.encode(files[0])
times = {}
def timed(name, make):
    t = time.monotonic(); made = make(); times[name] = time.monotonic() - t; return made
waves = timed("decode", lambda: [e.load_audio(f) for f in files])
def features():
    with torch.inference_mode():
        for w in waves:
            e.network.features(torch.from_numpy(w)[None].clone(), torch.tensor([len(w)]))
timed("features", features)
vectors = timed("model", lambda: e.encode_preprocessed(waves))
times["model"] -= times["features"]
def write():
    out.mkdir()
    for n, v in enumerate(vectors): np.save(out / f"{n}.npy", v)
timed("write", write)
print(json.dumps(times))
"""
)
RESEMBLYZER = (
    COMMON
    + """
from resemblyzer import VoiceEncoder, preprocess_wav
e = VoiceEncoder("cpu", verbose=False)
e.embed_utterance(preprocess_wav(files[0]))
t = time.monotonic()
out.mkdir()
for n, f in enumerate(files):
    np.save(out / f"{n}.npy", e.embed_utterance(preprocess_wav(f)))
print(json.dumps({"seconds": time.monotonic() - t, "peak_mb": peak()}))
"""
)
SPEAKERLAB = (
    COMMON
    + """
import soundfile
from speakerlab.models.campplus.DTDNN import CAMPPlus
from speakerlab.process.processor import FBank
e = CAMPPlus(feat_dim=80, embedding_size=192).eval()  # the weights do not change the time
fbank = FBank(80, sample_rate=16000, mean_nor=True)
def embed(f):
    wave, rate = soundfile.read(f, dtype="float32")
    with torch.no_grad():
        return e(fbank(torch.from_numpy(wave)[None])[None]).numpy()
embed(files[0])
t = time.monotonic()
out.mkdir()
for n, f in enumerate(files):
    np.save(out / f"{n}.npy", embed(f))
print(json.dumps({"seconds": time.monotonic() - t, "peak_mb": peak()}))
"""
)
PEERS = {"ge2e-lstm": ("Resemblyzer", RESEMBLYZER), "campplus-zh-en": ("3D-Speaker", SPEAKERLAB)}


def write_copies(corpus: Path, seconds: float, target: Path) -> float:
    """Write recordings as wav and ogg, until there are `seconds` of them; returns how many."""
    total = 0.0
    for path in sorted(p for p in corpus.rglob("*") if p.suffix.lower() in AUDIO_SUFFIXES):
        if total >= seconds:
            break
        wave = load(path)
        total += len(wave) / 16_000
        for suffix, subtype in (("wav", "PCM_16"), ("ogg", "VORBIS")):
            copy = target / suffix / path.parent.name / f"{path.stem}.{suffix}"
            copy.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(copy, wave, 16_000, subtype=subtype)
    return total


def run(
    python: str, code: str, root: Path, cores: int, encoder: str = "", precision: str = "fp32"
) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "run.py"
        script.write_text(code)
        pinned = ["taskset", "-c", ",".join(map(str, sorted(os.sched_getaffinity(0))[:cores]))]
        words = [python, str(script), str(root), f"{folder}/out", str(cores), encoder, precision]
        environment = {**os.environ, "OMP_NUM_THREADS": str(cores)}
        result = subprocess.run(
            [*pinned, *words], env=environment, capture_output=True, text=True, check=False
        )
    if result.returncode:
        sys.exit(f"{encoder or python} failed:\n{result.stderr[-2000:]}")
    numbers: dict[str, float] = json.loads(result.stdout.splitlines()[-1])
    return numbers


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("corpus", type=Path, nargs="?", default=VOICES)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--cores", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--encoders", nargs="+", default=list(PEERS))
    parser.add_argument("--suffixes", nargs="+", default=["wav", "ogg"])
    parser.add_argument("--peers", default=os.environ.get("TIMBRAL_PEERS", ""))
    options = parser.parse_args()
    if not options.peers:
        print("no --peers: make an environment with `pip install resemblyzer speakerlab`")
    with tempfile.TemporaryDirectory() as folder:
        total = write_copies(options.corpus, options.seconds, Path(folder))
        count = len(list((Path(folder) / "wav").rglob("*.wav")))
        print(f"{count} utterances, {total:.0f} s; {platform.processor() or platform.machine()}")
        for encoder in options.encoders:
            for suffix in options.suffixes:
                split = run(sys.executable, SPLIT, Path(folder) / suffix, 1, encoder)
                fractions = ", ".join(
                    f"{name} {100 * value / sum(split.values()):.0f} %"
                    for name, value in split.items()
                )
                print(f"{encoder} {suffix}, 1 core: {fractions}", flush=True)
                for cores in options.cores:
                    corpus = Path(folder) / suffix
                    compare(options.peers, encoder, corpus, cores, count, total)


def compare(peers: str, encoder: str, corpus: Path, cores: int, count: int, total: float) -> None:
    measured = [
        (f"timbral {precision}", run(sys.executable, TIMBRAL, corpus, cores, encoder, precision))
        for precision in ("fp32", "bf16")
    ]
    name, code = PEERS[encoder]
    if peers:
        measured.append((name, run(peers, code, corpus, cores)))
    for who, result in measured:
        seconds = result["seconds"]
        ratio = f"{measured[-1][1]['seconds'] / seconds:4.1f} ×  " if peers else ""
        print(
            f"  {encoder:<15}{corpus.name}  {cores} cores  {who:<13}{count / seconds:7.1f} utt/s  "
            f"{total / seconds:6.0f} × real time  {ratio}{result['peak_mb']:6.0f} MB",
            flush=True,
        )


if __name__ == "__main__":
    main()
