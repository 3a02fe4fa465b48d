#!/usr/bin/env bash
# speechmos 0.0.1.1, onnxruntime 1.32.0, numpy 2.4.6; speech: the sample in pyannote-audio 4.0.7
#
# Guess, written down before: DNSMOS (P.835: OVRL, SIG, BAK) says the same of a recording that is 20 dB softer, to 0.1.
# Seen: the model is given samples as they are, and the overall score follows the level: from its best to peaks 30 dB below full
# scale it loses 0.3 and 0.8 on two parts of this telephone call, at full scale 0.2 and 0.5. Four recordings of LibriSpeech
# lost 0.9 to 1.5 when made 30 dB softer (3.52 became 2.33). The P.808 score of the same package stays within 0.1.
# Who is hurt: whoever sorts speech for cloning or training by a threshold of OVRL (3.0 is usual): clean recordings and whole
# speakers who were recorded softly are thrown out, and "better" after enhancement may be "louder".
# What to do: bring each recording to one level (a peak of 0.3, say) before it is scored, or go by P.808.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check speechmos==0.0.1.1 onnxruntime==1.32.0 librosa==0.11.0 \
  numpy==2.4.6 soundfile==0.14.0 pandas==3.1.1 tqdm==4.70.1
cd "$folder"
"$folder/venv/bin/pip" download -q --disable-pip-version-check --no-deps pyannote-audio==4.0.7
"$folder/venv/bin/python" -m zipfile -e pyannote_audio-4.0.7-py3-none-any.whl wheel
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import sys

import numpy as np
import soundfile
from speechmos import dnsmos

LEVELS = (0, -10, -30)
samples, rate = soundfile.read("wheel/pyannote/audio/sample/sample.wav")
ok = True
for start, end in ((7, 17), (20, 29)):
    speech = samples[start * rate : end * rate]
    overall, p808 = [], []
    for level in LEVELS:
        scores = dnsmos.run(speech / np.abs(speech).max() * 10 ** (level / 20), sr=rate)
        overall.append(float(scores["ovrl_mos"]))
        p808.append(float(scores["p808_mos"]))
    print(f"seconds {start} to {end}, peak at " + ", ".join(
        f"{level} dB: OVRL {mos:.2f}, P.808 {other:.2f}" for level, mos, other in zip(LEVELS, overall, p808)
    ))
    ok &= overall[1] - overall[2] > 0.2 and max(p808) - min(p808) < 0.1
sys.exit(0 if ok else "the behavior has changed: the score no longer follows the level")
PYTHON
