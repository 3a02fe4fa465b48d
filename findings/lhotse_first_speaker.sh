#!/usr/bin/env bash
# lhotse 1.33.0, torch 2.13.0
#
# Guess, written down before: cut.trim_to_supervisions() gives a cut for each supervision, and that supervision is the
# first of its cut.
# Seen: where speakers overlap, the first is whoever began earlier. Of a cut trimmed to Ben's six seconds,
# supervisions[0] is Anna, who says the end of a sentence there; its start is negative. keep_overlapping=True, the
# default, keeps them, in order of time. Lhotse's own code takes cut.supervisions[0].speaker for the speaker of a cut
# as well, for one to simulate meetings from cuts.
# Who is hurt: whoever trains on utterances of meetings or calls (AMI, VoxConverse, CALLHOME) cut in this way: a share of
# the utterances, those that begin in another's sentence, is labeled with the wrong speaker.
# What to do: trim_to_supervisions(keep_overlapping=False), or take the supervision whose start is 0 and whose
# duration is the cut's.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check lhotse==1.33.0 torch==2.13.0 \
  soundfile==0.14.0 urllib3==2.8.0  # which lhotse imports and does not ask for
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import lhotse
import numpy as np
import soundfile

SECONDS, TURNS = 600, 200
generator = np.random.default_rng(0)
soundfile.write("meeting.wav", 0.1 * generator.standard_normal(SECONDS * 16_000), 16_000)
recording = lhotse.Recording.from_file("meeting.wav")
speakers = ("anna", "ben", "cora", "dan")
starts = np.arange(TURNS) * SECONDS / TURNS  # a turn every three seconds, a third of which overlap the next
turns = [
    lhotse.SupervisionSegment(id=f"turn-{number}", recording_id=recording.id, start=round(float(start), 2),
                              duration=4.0 if number % 3 == 0 else 2.5, speaker=speakers[number % 4])
    for number, start in enumerate(starts[:-1])
]
cuts = lhotse.CutSet.from_manifests(
    recordings=lhotse.RecordingSet.from_recordings([recording]), supervisions=lhotse.SupervisionSet.from_segments(turns)
)


def wrong(**options: bool) -> int:
    """How many cuts have another speaker's supervision first."""
    trimmed = list(cuts.trim_to_supervisions(**options))
    assert len(trimmed) == len(turns)
    return sum(cut.supervisions[0].speaker != turn.speaker for cut, turn in zip(trimmed, turns, strict=True))


default, alone = wrong(), wrong(keep_overlapping=False)
print(f"{len(turns)} turns; another speaker is first in the cuts of {default}, with keep_overlapping=False of {alone}")
sys.exit(0 if default > 50 and alone == 0 else "the behavior has changed: a cut's own supervision is the first")
PYTHON
