#!/usr/bin/env bash
# whisperx 3.8.6, torch 2.13.0, pandas 3.1.1, numpy 2.4.6
#
# Guess, written down before: assign_word_speakers gives each word whoever overlaps it most.
# Seen: so it does. With fill_nearest=True, though, which gives words in pauses "the nearest segment to a given time point" (this
# was read in the source before it was run), nearest is whose middle is nearest: a word 0.2 s behind a turn of a
# minute is half a minute from that turn's middle, and goes to somebody who says yes 8 s later. In a talk of long turns by one
# and short ones by others half of the words 0.1 s from a turn get another speaker; among turns of equal length none.
# Who is hurt: whoever makes speech corpora, enrollments or clones of words or sentences with a speaker: the host's words
# end up with a guest, and mostly those at the ends of turns, which the diarization cut a little short.
# What to do: fill_nearest=False, and give what has no speaker to the turn whose start or end is nearest.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
pip=("$folder/venv/bin/pip" install -q --disable-pip-version-check)
"${pip[@]}" torch==2.13.0 pandas==3.1.1 numpy==2.4.6
"${pip[@]}" --no-deps whisperx==3.8.6 # the function needs none of the rest
"$folder/venv/bin/python" - <<'PYTHON'
import importlib.machinery
import importlib.util
import logging
import sys
import types
from pathlib import Path

import numpy as np
import pandas as pd

package = Path(importlib.machinery.PathFinder.find_spec("whisperx").origin).parent
BESIDE = {  # what the file imports and the function does not use
    "pyannote": {}, "pyannote.audio": {"Pipeline": None}, "whisperx": {"__path__": [str(package)]},
    "whisperx.audio": {"load_audio": None, "SAMPLE_RATE": 16_000},
    "whisperx.schema": dict.fromkeys(("TranscriptionResult", "AlignedTranscriptionResult"), dict)
    | {"ProgressCallback": None},
    "whisperx.log_utils": {"get_logger": logging.getLogger},
}
for name, contents in BESIDE.items():
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__dict__.update(contents)
spec = importlib.util.spec_from_file_location("whisperx.diarize", package / "diarize.py")
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)

PAUSE = 1.0  # seconds between two turns; a word lies in it


def speakers(turns: pd.DataFrame, words: list[tuple[float, float]]) -> list[str | None]:
    segments = [{"start": start, "end": end, "text": "word", "words": [{"word": "word", "start": start, "end": end}]}
                for start, end in words]
    found = module.assign_word_speakers(turns, {"segments": segments}, fill_nearest=True)
    return [segment["words"][0].get("speaker") for segment in found["segments"]]


def talk(lengths: list[float]) -> pd.DataFrame:
    """Turns of the given lengths with pauses between, of a host and of two guests."""
    rows, time = [], 0.0
    for number, length in enumerate(lengths):
        who = "host" if number % 2 == 0 else f"guest{number // 2 % 2}"
        rows.append({"start": time, "end": time + length, "speaker": who})
        time += length + PAUSE
    return pd.DataFrame(rows)


minute = pd.DataFrame([{"start": 0.0, "end": 60.0, "speaker": "host"}, {"start": 68.3, "end": 69.0, "speaker": "guest"}])
behind, inside = speakers(minute, [(60.2, 60.4), (59.7, 60.1)])
print(f"host from 0 to 60 s, guest from 68.3 to 69 s: a word at 60.2 s is said to be of {behind}, one at 59.7 s of {inside}")
ok = (behind, inside) == ("guest", "host")
generator = np.random.default_rng(0)
for name, lengths in {
    "turns of 10 s": [10.0] * 400,
    "long and short turns": np.stack([generator.uniform(10, 60, 200), generator.uniform(0.5, 3, 200)], axis=1).ravel().tolist(),
}.items():
    turns = talk(lengths)
    ends, starts = turns["end"].to_numpy()[:-1], turns["start"].to_numpy()[1:]
    words = [(end + 0.1, end + 0.3) for end in ends] + [(start - 0.3, start - 0.1) for start in starts]
    truth = turns["speaker"].tolist()[:-1] + turns["speaker"].tolist()[1:]
    wrong = float(np.mean([given != right for given, right in zip(speakers(turns, words), truth)]))
    print(f"{name}: {100 * wrong:.0f} % of {len(words)} words in pauses get another speaker than the turn 0.1 s away")
    ok &= wrong == 0 if name == "turns of 10 s" else wrong > 0.3
sys.exit(0 if ok else "the behavior has changed: words in pauses get the turn that is nearest in time")
PYTHON
