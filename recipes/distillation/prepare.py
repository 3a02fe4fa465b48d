"""The store that `timbral-small` is distilled on.

    python recipes/distillation/prepare.py CORPORA VOICES OUTPUT

CORPORA holds speechocean762-train, librispeech-251 and wake-words-unlabeled, VOICES the 54
synthetic voices that come with timbral. OUTPUT becomes a store without the speakers that encoders
are evaluated on: the dev speakers of speechocean762, and 19, 26 and 27 of LibriSpeech.

A recording whose speaker nobody knows is a speaker of its own: two crops of it are of one speaker,
and that is all that a batch makes use of.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from pathlib import Path

from timbral.audio.preprocessing import Preprocessing
from timbral.data.corpora.registry import scan_corpus
from timbral.data.manifest import Utterance, check_unique
from timbral.data.prepared.prepare import prepare
from timbral.data.speakers import read_speakers

HELD_OUT = {"19", "26", "27"}
"""speakers of the list of trials between sessions, who are in librispeech-251 too"""


def named(rows: list[Utterance], corpus: str, *, has_speakers: bool = True) -> list[Utterance]:
    """Ids that no other corpus uses."""
    return [
        replace(
            row,
            utterance=f"{corpus}-{row.utterance}",
            speaker=f"{corpus}-{row.speaker if has_speakers else row.utterance}",
            corpus=corpus,
        )
        for row in rows
    ]


def training_rows(corpora: Path, voices: Path) -> list[Utterance]:
    kaldi = corpora / "speechocean762-train"
    held_out = set(read_speakers(kaldi / "speakers-dev.txt"))
    libri = scan_corpus("librispeech", corpora / "librispeech-251")
    return [
        *named(
            [row for row in scan_corpus("kaldi", kaldi) if row.speaker not in held_out],
            "speechocean762",
        ),
        *named([row for row in libri if row.speaker not in HELD_OUT], "librispeech"),
        *named(
            list(scan_corpus("tree", corpora / "wake-words-unlabeled")),
            "wake-words",
            has_speakers=False,
        ),
        *named(list(scan_corpus("folder", voices)), "voices"),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpora", type=Path)
    parser.add_argument("voices", type=Path)
    parser.add_argument("output", type=Path)
    options = parser.parse_args()
    corpora, voices = options.corpora.resolve(), options.voices.resolve()
    rows = check_unique(training_rows(corpora, voices), corpora)
    summary = prepare(rows, options.output, Preprocessing(), workers=os.cpu_count() or 1)
    print(
        f"{summary.num_utterances:,} utterances of {summary.num_speakers:,} speakers, "
        f"{summary.hours:.2f} h"
    )


if __name__ == "__main__":
    main()
