#!/usr/bin/env bash
# speechbrain 1.1.2, numpy 2.4.6, scipy 1.17.1, scikit-learn 1.9.1
#
# Guess, written down before: prepare_subset_csv of SpeechBrain's diarization picks the segments of one recording, and with
# clearly different voices do_spec_clustering, told their number, writes who speaks in it.
# Seen: it picks every recording whose name begins so. Of call1 to call12 call1 gets the segments of call10, call11 and
# call12 besides; the clustering takes eight voices for two, call1's own two people come under common names, and the RTTM
# of call1 mixes the turns of all four calls under five speakers. Nothing is said. call2 to call12 are right.
# Who is hurt: whoever diarizes recordings whose names are not of one length (call1 and call10, meeting and meeting-2, an
# identifier and the same with a suffix): enrollments cut by such an RTTM hold strangers.
# What to do: names of one length (call01), or rows where segment.rsplit("_", 2)[0] is the recording.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
pip=("$folder/venv/bin/pip" install -q --disable-pip-version-check)
"${pip[@]}" numpy==2.4.6 scipy==1.17.1 scikit-learn==1.9.1
"${pip[@]}" --no-deps speechbrain==1.1.2 # the file below needs none of the rest
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import csv
import importlib.machinery
import importlib.util
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np

package = Path(importlib.machinery.PathFinder.find_spec("speechbrain").origin).parent
spec = importlib.util.spec_from_file_location(
    "diarization", package / "integrations" / "alignment" / "diarization.py"
)
diarization = importlib.util.module_from_spec(spec)
spec.loader.exec_module(diarization)

CALLS, TURNS, WINDOWS = 12, 10, 4  # two people by turns of 4 windows of 3 s every 1.5 s
generator = np.random.default_rng(0)
rows, vectors, people = [["ID", "duration", "wav", "start", "stop"]], {}, {}
for number in range(1, CALLS + 1):
    call, voices = f"call{number}", generator.standard_normal((2, 192))
    for turn in range(TURNS):
        for window in range(WINDOWS):
            start = 10 * turn + 1.5 * window
            name = f"{call}_{start}_{start + 3}"
            rows.append([name, 3.0, f"{call}.wav", start, start + 3])
            vectors[name] = voices[turn % 2] + 0.8 * generator.standard_normal(192)
            people[name] = (call, turn % 2)


def segments(call: str) -> list[str]:
    """The segments that the package picks for a recording."""
    diarization.prepare_subset_csv(rows, call, "subset.csv")
    with open("subset.csv", newline="") as file:
        return [row["ID"] for row in csv.DictReader(file)]


ok = True
for call in (f"call{number}" for number in range(1, CALLS + 1)):
    picked = segments(call)
    stats = SimpleNamespace(stat1=np.array([vectors[name] for name in picked]), segset=picked)
    diarization.do_spec_clustering(stats, f"{call}.rttm", call, 2, 0.3, "cos", 10)
    lines = [line.split() for line in Path(f"{call}.rttm").read_text().splitlines() if line.startswith("SPEAKER")]
    speakers = sorted({line[7] for line in lines})
    own = {0: set(), 1: set()}
    for name in picked:
        if people[name][0] == call:
            middle = float(name.rsplit("_", 2)[1]) + 1.5
            own[people[name][1]] |= {line[7] for line in lines if float(line[3]) <= middle < float(line[3]) + float(line[4])}
    apart = not own[0] & own[1] and len(own[0]) == len(own[1]) == 1
    others = sorted({people[name][0] for name in picked} - {call})
    print(f"{call}: {len(picked)} segments, also of {others}; speakers in its RTTM {speakers}, own two told apart: {apart}")
    first = call == "call1"
    ok &= others == (["call10", "call11", "call12"] if first else []) and apart == (not first)
    ok &= (len(speakers) > 2) == first
sys.exit(0 if ok else "the behavior has changed: the segments are the recording's own")
PYTHON
