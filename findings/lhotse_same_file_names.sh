#!/usr/bin/env bash
# lhotse 1.33.0, torch 2.13.0
#
# Guess, written down before: RecordingSet.from_dir on a tree SPEAKER/001.wav raises because of the repeated ids, or
# keeps the recordings apart.
# Seen: it keeps them all under one id, without a word, since an id is the file's stem. CutSet.from_manifests then gives
# each of these recordings the supervisions of all of them: every recording is labeled with every speaker. Looking one up
# by its id gives whichever the disk listed first. lhotse.validate notices, but nothing calls it by itself.
# Who is hurt: whoever makes manifests of a corpus with a folder for each speaker and the same names in each (VoxCeleb's
# VIDEO/00001.wav, most recordings of one's own): training sees utterances under the wrong speakers.
# What to do: from_dir(..., recording_id=lambda path: str(path.relative_to(root).with_suffix(""))), and
# lhotse.validate_recordings_and_supervisions before use.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check lhotse==1.33.0 torch==2.13.0 \
  soundfile==0.14.0 urllib3==2.8.0  # which lhotse imports and does not ask for
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import sys
from pathlib import Path

import lhotse
import numpy as np
import soundfile

SPEAKERS = ("anna", "ben")
generator = np.random.default_rng(0)
for speaker in SPEAKERS:
    Path("corpus", speaker).mkdir(parents=True)
    soundfile.write(f"corpus/{speaker}/001.wav", 0.1 * generator.standard_normal(16_000), 16_000)
recordings = lhotse.RecordingSet.from_dir("corpus", "*.wav")
supervisions = lhotse.SupervisionSet.from_segments(
    lhotse.SupervisionSegment(id=f"{Path(r.sources[0].source).parent.name}-001", recording_id=r.id, start=0,
                              duration=1.0, speaker=Path(r.sources[0].source).parent.name)
    for r in recordings
)
cuts = lhotse.CutSet.from_manifests(recordings=recordings, supervisions=supervisions)
labels = {cut.recording.sources[0].source: sorted(s.speaker for s in cut.supervisions) for cut in cuts}
print(f"ids: {[recording.id for recording in recordings]}; speakers of each cut: {labels}")
named = lhotse.RecordingSet.from_dir("corpus", "*.wav", recording_id=lambda path: "-".join(path.parts[-2:]))
print(f"with recording_id: {sorted(recording.id for recording in named)}")
ok = len(labels) == 2 and all(names == list(SPEAKERS) for names in labels.values())
sys.exit(0 if ok else "the behavior has changed: recordings of one name are refused or kept apart")
PYTHON
