#!/usr/bin/env bash
# litdata 0.2.76, torch 2.13.0, soundfile 0.14.0, numpy 2.4.6
#
# Guess, written down before: optimize() keeps each recording's samples as they are, or raises where recordings differ in the type
# or the number of dimensions of their arrays.
# Seen: it raises where arrays meet lists, tensors or other keys, not in these. Arrays of one dimension are stored as bytes
# alone; their type, and that there is one dimension, is stated once, as that of a worker's first recording. With a mono
# recording first, each stereo recording comes back as one channel of twice the length: left and right by turns, which
# sounds an octave lower and half as fast. float64 behind float32 comes back as twice as many numbers, halves of the true
# ones, float32 behind float64 as half as many, next to nothing, int16 behind float32 as half as many, up to 1e37 (an odd
# number of samples raises when it is read). So do tensors. With stereo first all is right. Nothing is said.
# Who is hurt: whoever trains on a corpus in which some recordings are stereo, or which several readers made (soundfile's float64
# and torchaudio's float32, scipy's int16): these speakers have another voice, or none. Lengths look
# plausible, speakers and ids are right, and which recording is first depends on the number of workers.
# What to do: make all one form before storing, np.atleast_2d(samples.astype("float32")), for two dimensions are stored with
# their shape and type; or store the file's bytes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check litdata==0.2.76 torch==2.13.0 soundfile==0.14.0 numpy==2.4.6
cd "$folder"
cat > probe.py <<'PYTHON'
import shutil
import sys

import litdata
import numpy as np
import soundfile
import torch

RATE, RECORDINGS, PITCH = 16_000, 12, 200


def write(number: int, stereo: bool) -> None:
    time = np.arange(RATE + 2 * number) / RATE
    voice = sum(0.2 * np.sin(2 * np.pi * PITCH * harmonic * time) / harmonic for harmonic in range(1, 20))
    soundfile.write(f"{number}.wav", np.stack([voice, voice], axis=1) if stereo else voice, RATE)


def read(number: int, form: str) -> np.ndarray | torch.Tensor:
    """A recording, of which the last third is of another form than those before."""
    other = number >= RECORDINGS * 2 // 3
    types = {"float64 behind float32": ("float32", "float64"), "float32 behind float64": ("float64", "float32"),
             "int16 behind float32": ("float32", "int16")}.get(form, ("float32", "float32"))
    samples = soundfile.read(f"{number}.wav", dtype=types[other])[0]
    if form == "two dimensions":
        samples = samples.reshape(len(samples), -1)
    return torch.from_numpy(samples) if form == "stereo behind mono, tensors" else samples


def recording(job: tuple[int, str]) -> dict:
    return {"number": job[0], "speaker": f"voice{job[0]}", "samples": read(*job)}


def pitch(samples: np.ndarray) -> float:
    """The strongest frequency, as if the samples were of one channel."""
    return float(np.argmax(np.abs(np.fft.rfft(samples.ravel()))) * RATE / samples.size)


CASES = {  # whether the last third is stereo, and what of it comes back
    "one form": (False, "as stored"), "stereo behind mono": (True, "twice as long"),
    "stereo behind mono, tensors": (True, "twice as long"), "two dimensions": (True, "as stored"),
    "float64 behind float32": (False, "twice as long"), "float32 behind float64": (False, "half as long"),
    "int16 behind float32": (False, "half as long"),
}
if __name__ == "__main__":
    ok = True
    for form, (stereo, expected) in CASES.items():
        for number in range(RECORDINGS):
            write(number, stereo and number >= RECORDINGS * 2 // 3)
        shutil.rmtree("stored", ignore_errors=True)
        litdata.optimize(recording, [(number, form) for number in range(RECORDINGS)], "stored", chunk_bytes="64MB",
                         num_workers=1, start_method="fork", verbose=False)
        outcomes, details = [], ""
        for row in litdata.StreamingDataset("stored"):
            truth, samples = np.asarray(read(row["number"], form)), np.asarray(row["samples"])
            assert row["speaker"] == f"voice{row['number']}"
            if samples.shape == truth.shape and samples.dtype == truth.dtype and np.array_equal(samples, truth):
                outcomes.append("as stored")
                continue
            frames = len(truth)
            outcomes.append({2: "twice as long", 0.5: "half as long"}.get(len(samples) / frames, "other"))
            details = (f"; {truth.dtype} {truth.shape} came back as {samples.dtype} {samples.shape}, "
                       f"peak {np.nanmax(np.abs(samples)):.2g}")
            if stereo:
                details += f", the strongest tone at {pitch(samples):.0f} Hz instead of {PITCH}"
                ok &= abs(pitch(samples) - PITCH / 2) < 2
        names = ["as stored"] * (RECORDINGS * 2 // 3) + [expected] * (RECORDINGS - RECORDINGS * 2 // 3)
        print(f"{form}: {outcomes.count('as stored')} of {RECORDINGS} as stored{details}")
        ok &= outcomes == names
    sys.exit(0 if ok else "the behavior has changed: recordings come back as stored, or storing them raises")
PYTHON
"$folder/venv/bin/python" -W ignore probe.py 2> errors.txt | grep -v '^$' > out.txt || { cat out.txt errors.txt >&2; exit 1; }
grep -E ': [0-9]+ of ' out.txt
