#!/usr/bin/env bash
# auditok 0.5.2, soundfile 0.14.0, numpy 2.4.6
#
# Guess, written down before: auditok reads WAV of 8 bits as it reads the same sound in 16 bits, or raises.
# Seen: WAV keeps 8 bits as 0 to 255 with silence at 128, and auditok takes the bytes as signed. Silence becomes -128, or
# jumps between -128 and 127, louder than any speech, and a soft sample lands at the other end of the scale. With the
# default threshold (50 dB) split() finds no speech in such a file, whatever is in it, for 8 bits reach 42 dB; with one low
# enough for 8 bits (40) all is speech, the pauses first of all. numpy() hands the same samples on. Files of
# soundfile and of Python's wave module alike; 16 bits are right, 24 bits raise.
# Who is hurt: whoever cuts telephone and dictation archives with it before embedding: files come back empty, as if nobody had
# talked, or their pauses are embedded as voices.
# What to do: read with soundfile and hand over 16 bits, auditok.split(bytes, sampling_rate=..., sample_width=2, channels=1).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check auditok==0.5.2 soundfile==0.14.0 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import sys
import wave

import auditok
import numpy as np
import soundfile

RATE, TALK = 16_000, ((1.0, 2.2), (3.5, 4.7))
generator = np.random.default_rng(0)
time = np.arange(6 * RATE) / RATE
talking = np.any([(time >= start) & (time < end) for start, end in TALK], axis=0)
sound = np.where(talking, 0.25, 0.001) * generator.standard_normal(len(time)).clip(-3, 3)
soundfile.write("16 bits.wav", sound, RATE, subtype="PCM_16")
soundfile.write("8 bits, soundfile.wav", sound, RATE, subtype="PCM_U8")
with wave.open("8 bits, wave.wav", "wb") as file:
    file.setparams((1, 1, RATE, 0, "NONE", ""))
    file.writeframes((np.round(127 * sound) + 128).astype(np.uint8).tobytes())
handed = np.round(32767 * soundfile.read("8 bits, wave.wav")[0]).astype("<i2").tobytes()


def found(regions) -> str:
    return ", ".join(f"{region.start:.1f}-{region.end:.1f} s" for region in regions) or "nothing"


seen = {}
for name in ("16 bits", "8 bits, soundfile", "8 bits, wave"):
    read, right = auditok.load(f"{name}.wav").numpy().ravel(), soundfile.read(f"{name}.wav")[0]
    alike = np.corrcoef(read, right)[0, 1]
    loud = [np.sqrt(np.mean(read[part] ** 2)) for part in (talking, ~talking)]
    seen[name] = alike, loud, *(found(auditok.split(f"{name}.wav", energy_threshold=limit)) for limit in (50, 40))
    print(f"{name}: correlation with the samples {alike:.2f}; rms {loud[0]:.0f} in speech, {loud[1]:.0f} in pauses; "
          f"speech found: {seen[name][2]}; with a threshold of 40 dB: {seen[name][3]}")
mended = found(auditok.split(handed, sampling_rate=RATE, sample_width=2, channels=1))
print(f"the 8 bits handed over as 16: {mended}; talking is {TALK}")
ok = seen["16 bits"][0] > 0.99 and seen["16 bits"][2] == mended != "nothing"
for name in ("8 bits, soundfile", "8 bits, wave"):
    alike, (speech, pauses), by_default, low = seen[name]
    ok &= alike < 0.9 and pauses > speech and by_default == "nothing" and low not in ("nothing", mended)
sys.exit(0 if ok else "the behavior has changed: 8 bits are read as they are written")
PYTHON
