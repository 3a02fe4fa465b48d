#!/usr/bin/env bash
# comet_ml 3.58.8, numpy 2.4.6, scipy 1.17.1
#
# Guess, written down before: log_audio writes an array of floats as it is, clipped at 1, as TensorBoard, VisualDL and
# W&B do.
# Seen: by default (normalize_data="PCM_16_BIT") each clip is divided by its own peak, so that a recording at 1 % of
# full scale and one at 50 % come out equally loud, at full scale; integers too.
# Who is hurt: whoever listens to the batches of a training in Comet to check levels: gain augmentation, raised quiet
# recordings, background noise at an SNR across clips, and clipping all look alike or are not there.
# What to do: log_audio(int16 array, normalize_data="OFF"), or write the file and log its path.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check comet_ml==3.58.8 numpy==2.4.6 scipy==1.17.1
cd "$folder"
export COMET_INTERNAL_SENTRY_DSN="" COMET_LOGGING_CONSOLE=ERROR
"$folder/venv/bin/python" - <<'PYTHON'
import io
import sys
import zipfile
from pathlib import Path

import comet_ml
import numpy as np
from scipy.io import wavfile

time = np.arange(16_000) / 16_000
tone = np.sin(2 * np.pi * 220 * time).astype(np.float32)
experiment = comet_ml.OfflineExperiment(
    offline_directory="archive", log_code=False, log_git_metadata=False, log_env_details=False,
    display_summary_level=0,
)
for level in (0.01, 0.5):
    experiment.log_audio(level * tone, sample_rate=16_000, file_name=f"default-{level}.wav")
    pcm = np.int16(32767 * level * tone)
    experiment.log_audio(pcm, sample_rate=16_000, file_name=f"off-{level}.wav", normalize_data="OFF")
experiment.end()

peaks = []
[archive] = Path("archive").glob("*.zip")
with zipfile.ZipFile(archive) as opened:
    for name in opened.namelist():
        content = opened.read(name)
        if content[:4] == b"RIFF":
            rate, wave = wavfile.read(io.BytesIO(content))
            peaks.append(int(np.abs(wave.astype(np.int32)).max()))
peaks.sort()
print(f"peaks of clips at 0.01 and 0.5 of full scale (32767), each by default and with OFF: {peaks}")
ok = len(peaks) == 4 and peaks[0] < 400 and 16_000 < peaks[1] < 17_000 and peaks[2] == peaks[3] == 32767
sys.exit(0 if ok else "the behavior has changed: levels are kept by default")
PYTHON
