#!/usr/bin/env bash
# pyannote.database 6.1.1, pandas 3.1.1
#
# Guess, written down before: a speaker called NA in an RTTM file stays a speaker of that name; load_rttm reads names as
# strings.
# Seen: load_rttm leaves pandas' list of words for "no value" on. Speakers called NA, nan or null all become one label,
# the float nan; the turns of a recording called NA are gone, and load_uem leaves that recording out.
# Who is hurt: whoever trains, clusters or evaluates speakers by initials or by names such as Nan: two people become one
# label, which no list of enrolled speakers holds, and the error rate counts their speech as confused or missed.
# What to do: give speakers and recordings a prefix (spk-NA) before they are written to RTTM, and compare the labels
# read with those written.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check pyannote.database==6.1.1 pandas==3.1.1
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import sys
from pathlib import Path

from pyannote.database.util import load_rttm, load_uem

TURNS = [("call", "NA"), ("call", "nan"), ("call", "null"), ("call", "AN"), ("NA", "AN")]
lines = [f"SPEAKER {uri} 1 {start}.0 1.0 <NA> <NA> {name} <NA> <NA>\n" for start, (uri, name) in enumerate(TURNS)]
Path("a.rttm").write_text("".join(lines))
Path("a.uem").write_text("call 1 0.0 5.0\nNA 1 0.0 5.0\n")
annotations, regions = load_rttm("a.rttm"), load_uem("a.uem")
labels = {uri: annotation.labels() for uri, annotation in annotations.items()}
print("speakers written: NA, nan, null, AN; recordings written: call, NA")
print(f"load_rttm: {labels}; load_uem: {sorted(regions)}")
merged = len(labels["call"]) == 2 and any(isinstance(label, float) for label in labels["call"])
ok = merged and "NA" not in labels and "NA" not in regions
sys.exit(0 if ok else "the behavior has changed: names are kept")
PYTHON
