#!/usr/bin/env bash
# insanely-fast-whisper 0.0.15, pyannote.core 6.1.0, numpy 2.4.6
#
# Guess, written down before: each chunk of the transcript gets the speaker who talks over it most.
# Seen: the turns are first laid end to end, each from its own start to the next speaker's, so that who says "yes" inside
# somebody else's turn is given all the rest of it: a host talks from 0 to 60 s, a guest says yes at 30 s, and what the host
# says from 30 to 60 s is the guest's. Each turn takes one chunk at least, also one without words of its own. With perfect
# turns, of a talk with one interjection in each turn half of the chunks have a wrong speaker, with one in every fourth
# an eighth; whoever talks over a chunk most is right for all of them.
# Who is hurt: whoever cuts enrollments, corpora or clones from its output: a listener's recordings are the host's voice.
# What to do: keep the turns as the diarization gives them, overlaps included, and give each chunk whoever overlaps it most.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
pip=("$folder/venv/bin/pip" install -q --disable-pip-version-check)
"${pip[@]}" numpy==2.4.6 pyannote.core==6.1.0
"${pip[@]}" --no-deps insanely-fast-whisper==0.0.15 # the two functions need none of the rest
"$folder/venv/bin/python" - <<'PYTHON'
import importlib.machinery
import importlib.util
import sys
import types
from pathlib import Path

import numpy as np
from pyannote.core import Annotation, Segment

package = Path(importlib.machinery.PathFinder.find_spec("insanely_fast_whisper").origin).parent
BESIDE = {  # what the file imports and the functions do not use
    "requests": {}, "torch": {}, "torchaudio": {"functional": None}, "transformers": {}, "transformers.pipelines": {},
    "transformers.pipelines.audio_utils": {"ffmpeg_read": None},
}
for name, contents in BESIDE.items():
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__dict__.update(contents)
spec = importlib.util.spec_from_file_location("diarize", package / "utils" / "diarize.py")
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
CHUNK = 5


def chunks(turns: list[tuple[float, float, str]]) -> tuple[list[dict], list[str]]:
    """What each turn's speaker says, in chunks as Whisper gives them, and who it is; interjections have none."""
    parts = [(at, at + CHUNK, who) for start, end, who in turns for at in np.arange(start, end - CHUNK + 0.01, CHUNK)]
    return [{"text": str(n), "timestamp": (start, end)} for n, (start, end, _) in enumerate(parts)], [who for *_, who in parts]


def wrong(turns: list[tuple[float, float, str]], said: list[tuple[float, float, str]]) -> tuple[float, float, list[str]]:
    """The share of chunks with a wrong speaker or none: as the package gives them, and by overlap."""
    truth = Annotation()
    for number, (start, end, who) in enumerate(turns + said):
        truth[Segment(start, end), number] = who
    transcript, people = chunks(turns)
    segments = module.diarize_audio(None, lambda audio, **counts: truth, None, None, None)
    given = module.post_process_segments_and_transcripts(segments, transcript, group_by_speaker=False)
    found = {entry["text"]: entry["speaker"] for entry in given}
    overlaps = [truth.argmax(Segment(*entry["timestamp"])) for entry in transcript]
    names = [found.get(entry["text"], "nobody") for entry in transcript]
    return float(np.mean(np.array(names) != people)), float(np.mean(np.array(overlaps) != people)), names


talk = [(0.0, 60.0, "host"), (61.0, 91.0, "guest")]
_, _, names = wrong(talk, [(30.0, 30.5, "guest")])
print("a host from 0 to 60 s, a guest says yes at 30 s:", " ".join(names))
ok = names[:6] == ["host"] * 6 and names[6:12] == ["guest"] * 6
generator = np.random.default_rng(0)
for share, lowest, highest in ((0.0, 0.0, 0.0), (0.25, 0.08, 0.25), (1.0, 0.35, 0.7)):
    turns, said, time = [], [], 0.0
    for number in range(200):
        who, other = ("host", "guest") if number % 2 == 0 else ("guest", "host")
        length = float(CHUNK * generator.integers(4, 12))
        turns.append((time, time + length, who))
        if generator.random() < share:
            at = time + generator.uniform(0.2, 0.8) * length
            said.append((at, at + 0.5, other))
        time += length + 0.5
    errors, overlap, _ = wrong(turns, said)
    print(f"interjections in {share:.0%} of 200 turns: {errors:.0%} of the chunks are somebody else's, {overlap:.0%} by overlap")
    ok &= lowest <= errors <= highest and overlap == 0
sys.exit(0 if ok else "the behavior has changed: who says yes does not get the rest of the turn")
PYTHON
