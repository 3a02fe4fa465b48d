#!/usr/bin/env bash
# lhotse 1.33.0, torch 2.13.0, soundfile 0.14.0, numpy 2.4.6
#
# Guess, written down before: SupervisionSet.from_rttm understands that RTTM counts channels from 1; in a call with a
# speaker on each side each cut has its own speaker's sound.
# Seen: it takes the number over as it is, and lhotse counts from 0. Channel 1 of the RTTM becomes the second channel:
# trimmed to Anna, who is on the first, a cut holds Ben's side at that time. What is on channel 2 raises when it is
# loaded, and of mono recordings everything does. Diarizers write 1 for all turns of a stereo file; then nothing
# raises, and every cut is the second channel alone.
# Who is hurt: whoever trains on calls in stereo with turns from a diarizer: half of the utterances are silence, or the
# other side's voice through crosstalk, under the speaker's name.
# What to do: supervisions.map(lambda one: fastcopy(one, channel=one.channel - 1)), by lhotse.utils.fastcopy; for turns
# that a diarizer found in the mix of both sides trim_to_supervisions(keep_all_channels=True), and make that mono.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check lhotse==1.33.0 torch==2.13.0 \
  soundfile==0.14.0 numpy==2.4.6 urllib3==2.8.0  # which lhotse imports and does not ask for
cd "$folder"
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import sys
from pathlib import Path

import lhotse
import numpy as np
import soundfile
from lhotse.utils import fastcopy

RATE, TURN, TURNS = 16_000, 2, 20
PITCH = {"anna": 220.0, "ben": 110.0}  # Anna talks on the first channel, Ben on the second, by turns
time = np.arange(TURN * RATE) / RATE
call = np.zeros((TURN * RATE * TURNS, 2))
turns = []
for number in range(TURNS):
    speaker, side = list(PITCH)[number % 2], number % 2
    start = number * TURN
    call[start * RATE : (start + TURN) * RATE, side] = 0.3 * np.sin(2 * np.pi * PITCH[speaker] * time)
    turns.append((speaker, side, start))
call += 1e-4 * np.random.default_rng(0).standard_normal(call.shape)
soundfile.write("call.wav", call, RATE)
recordings = lhotse.RecordingSet.from_recordings([lhotse.Recording.from_file("call.wav")])


def heard(channels: str, fixed: bool = False) -> dict[str, int]:
    """What is in the cuts: their own speaker, not even her or him, or an error."""
    Path("call.rttm").write_text("".join(
        f"SPEAKER call {side + 1 if channels == 'sides' else 1} {start:.2f} {TURN:.2f} <NA> <NA> {speaker} <NA> <NA>\n"
        for speaker, side, start in turns
    ))
    supervisions = lhotse.SupervisionSet.from_rttm("call.rttm")
    if fixed:
        supervisions = supervisions.map(lambda one: fastcopy(one, channel=one.channel - 1))
    counts = dict.fromkeys(("own speaker", "another or nobody", "error"), 0)
    cuts = lhotse.CutSet.from_manifests(recordings=recordings, supervisions=supervisions)
    for cut in cuts.trim_to_supervisions(keep_overlapping=False):
        try:
            sound = cut.load_audio()[0]
        except Exception:
            counts["error"] += 1
            continue
        loudest = np.argmax(np.abs(np.fft.rfft(sound))) / TURN
        own = sound.std() > 0.01 and abs(loudest - PITCH[cut.supervisions[0].speaker]) < 2
        counts["own speaker" if own else "another or nobody"] += 1
    return counts


seen = {
    "channels 1 and 2": heard("sides"), "channel 1 for all": heard("all"), "1 and 2, less one": heard("sides", fixed=True),
}
for name, counts in seen.items():
    print(f"{name}: of {TURNS} cuts " + ", ".join(f"{kind} {count}" for kind, count in counts.items()))
half = TURNS // 2
expected = [[0, half, half], [half, half, 0], [TURNS, 0, 0]]
ok = [list(counts.values()) for counts in seen.values()] == expected
sys.exit(0 if ok else "the behavior has changed: channel 1 of an RTTM is the first channel")
PYTHON
