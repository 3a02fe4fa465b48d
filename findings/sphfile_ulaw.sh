#!/usr/bin/env bash
# sphfile 1.0.3, soundfile 0.14.0, numpy 2.2.6
#
# Guess, written down before: sphfile reads NIST SPHERE files of mu-law, the encoding of telephone corpora, or raises.
# Seen: it hands out the codes. `content` is the file's bytes as uint8, both channels in one row, and write_wav writes
# them as a WAV of 8-bit PCM, so that silence becomes noise of nearly full scale and the loudest samples the quietest.
# No warning, though its README says that mu-law is supported. Of a header longer than 1,024 bytes the rest becomes
# samples. 16-bit PCM (TED-LIUM, TIMIT) comes out right, so that a first try convinces. soundfile reads all of these.
# Who is hurt: whoever prepares Switchboard, Fisher or the SRE corpora with it: speech below its noise, levels 25 dB too
# high, rates and durations all right; vectors of it tell little but that a file went this way.
# What to do: soundfile.read (sph2pipe where the encoding says embedded-shorten).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check sphfile==1.0.3 soundfile==0.14.0 numpy==2.2.6
cd "$folder"
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import sys

import numpy as np
import soundfile
import sphfile

RATE, SECONDS = 8_000, 10
generator = np.random.default_rng(0)


def voice(pitch: float, level: float) -> np.ndarray:
    """A buzz through three formants that comes and goes three times a second, over faint noise."""
    time = np.arange(SECONDS * RATE) / RATE
    phase = np.cumsum(pitch * (1 + 0.3 * np.sin(4 * np.pi * time))) / RATE
    pulses = np.diff(np.floor(phase), prepend=0.0)
    lengths = np.arange(RATE // 10) / RATE
    formants = ((600, 80, 1.0), (1400, 100, 0.5), (2600, 150, 0.3))
    ring = sum(a * np.exp(-np.pi * width * lengths) * np.sin(2 * np.pi * f * lengths) for f, width, a in formants)
    talking = np.convolve(np.sin(6 * np.pi * time) > 0.3, np.ones(320) / 320, "same")
    wave = np.convolve(pulses, ring)[: len(time)] * talking
    return level * wave / wave.std() + 1e-3 * generator.standard_normal(len(wave))


def mu_law(wave: np.ndarray) -> np.ndarray:
    """The codes of ITU-T G.711."""
    pcm = (wave * 32768).astype(int)
    size = np.minimum(np.abs(pcm), 32635) + 132
    exponent = np.floor(np.log2(size)).astype(int) - 7
    return (~(np.where(pcm < 0, 128, 0) | exponent << 4 | size >> exponent + 3 & 15) & 255).astype(np.uint8)


def write(name: str, channels: int, coding: str, data: bytes, width: int, header: int = 1024) -> None:
    fields = [
        ("channel_count", "-i", channels), ("sample_count", "-i", len(data) // channels // width),
        ("sample_rate", "-i", RATE), ("sample_n_bytes", "-i", width), ("sample_sig_bits", "-i", 8 * width),
        ("sample_byte_format", "-s2" if width == 2 else "-s1", "01" if width == 2 else "1"),
        ("sample_coding", f"-s{len(coding)}", coding),
    ]
    text = f"NIST_1A\n{header:7d}\n" + "".join(f"{key} {kind} {value}\n" for key, kind, value in fields) + "end_head\n"
    with open(name, "wb") as file:
        file.write(text.encode().ljust(header, b"\n") + data)


left, right = voice(200, 0.03), voice(120, 0.05)
sides = np.stack([left, right], axis=1)
write("call.sph", 2, "ulaw", mu_law(sides).tobytes(), 1)
write("pcm.sph", 2, "pcm", (sides * 32768).astype("<i2").tobytes(), 2)
write("long.sph", 1, "pcm", (left * 32768).astype("<i2").tobytes(), 2, 2048)


def clarity(samples: np.ndarray) -> float:
    """Decibels of what follows the left voice over what does not."""
    fit = samples - samples.mean()
    gain = fit @ left / (left @ left)
    return 10 * np.log10(np.sum((gain * left) ** 2) / np.sum((fit - gain * left) ** 2))


found = {}
for name in ("pcm.sph", "call.sph"):
    sphfile.SPHFile(name).write_wav("by_sphfile.wav")
    for reader, path in (("sphfile", "by_sphfile.wav"), ("soundfile", name)):
        samples = soundfile.read(path)[0][:, 0]
        found[name, reader] = clarity(samples)
        louder = 20 * np.log10(samples.std() / left.std())
        print(f"{name} by {reader}: speech {clarity(samples):+.0f} dB above the rest, level {louder:+.0f} dB")
content = sphfile.SPHFile("call.sph").content
extra = len(sphfile.SPHFile("long.sph").content) - len(left)
print(f"call.sph: content is {content.dtype}, {content.shape}; long.sph: {extra} samples too many")
ok = min(found["pcm.sph", "sphfile"], found["call.sph", "soundfile"]) > 20 and found["call.sph", "sphfile"] < 0
ok &= content.dtype == np.uint8 and extra == 512
sys.exit(0 if ok else "the behavior has changed: mu-law is decoded or refused")
PYTHON
