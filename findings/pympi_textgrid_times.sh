#!/usr/bin/env bash
# pympi-ling 1.71, praat-parselmouth 0.4.7, numpy 2.4.6
#
# Guess, written down before: TextGrids that Praat wrote, with a start that is not 0, times below a tenth of a millisecond and
# labels with quotes, are read as the same intervals by pympi, praatio, textgrid, tgt and praat-textgrids, or refused.
# Seen: pympi takes of each time only its last digits and points: "2.5e-05" is 5.0 s, "5.551115123125783e-17", which
# is what 0.1 + 0.2 - 0.3 leaves of a zero, is 17.0 s, and "-1.5" is 1.5 s. Then a speaker's turn begins after its end, or another's
# speech is its own. Short and long text alike; Praat's binary form is right. It goes on into ELAN through to_eaf().
# (praatio raises on the exponent, textgrid rounds to 10 microseconds, tgt is right.)
# Who is hurt: whoever cuts enrollments or reference speech by TextGrids whose times were computed: shifted to a
# recording's start, joined from pieces, or aligned with a part that begins before zero.
# What to do: tgt or praatio; or round times before writing (round(time, 6) + 0.0); look for intervals that end before they begin.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check pympi-ling==1.71 praat-parselmouth==0.4.7 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import numpy as np
import parselmouth
from parselmouth.praat import call
from pympi.Praat import TextGrid

SECONDS = 20
FORMS = {"long text": "Save as text file", "short text": "Save as short text file", "binary": "Save as binary file"}


def grid(turn: tuple[float, float], start: float) -> parselmouth.Data:
    """A tier with one turn of a speaker between two times."""
    sound = parselmouth.Sound(np.zeros(16_000 * SECONDS), 16_000, start_time=start)
    made = call(sound, "To TextGrid", "speaker", "")
    for time in turn:
        if start < time < start + SECONDS:
            call(made, "Insert boundary", 1, time)
    call(made, "Set interval text", 1, call(made, "Get interval at time", 1, sum(turn) / 2), "anna")
    return made


CASES = {  # a turn, the start of the TextGrid, and when pympi says that the turn begins
    "a turn from 1.25 s": ((1.25, 4.5), 0.0, 1.25),
    "from 0.000025 s": ((2.5e-5, 4.5), 0.0, 5.0),
    "from 0.1 + 0.2 - 0.3 s": ((0.1 + 0.2 - 0.3, 4.5), -0.5, 17.0),
    "from -1.5 s": ((-1.5, 4.5), -2.0, 1.5),
}
ok = True
for name, (turn, start, expected) in CASES.items():
    made = grid(turn, start)
    for form, command in FORMS.items():
        call(made, command, "turn.TextGrid")
        tier = TextGrid("turn.TextGrid").get_tier(1)
        begin, end = next((begin, end) for begin, end, text in tier.get_all_intervals() if text == "anna")
        print(f"{name}, {form}: read as {begin} to {end} s")
        ok &= end == turn[1] and abs(begin - (turn[0] if form == "binary" else expected)) < 1e-9
sys.exit(0 if ok else "the behavior has changed: times with signs and exponents are read, or refused")
PYTHON
