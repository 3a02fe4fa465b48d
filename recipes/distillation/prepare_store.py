"""The store that `timbral-small` is distilled on.

    python recipes/distillation/prepare_store.py CORPORA VOICES OUTPUT

CORPORA contains speechocean762-train, librispeech-251 and wake-words-unlabeled; VOICES are the 54
synthetic voices that are shipped with timbral. OUTPUT becomes a store without the speakers that
encoders are evaluated on (the dev speakers of speechocean762, and 19, 26 and 27 of LibriSpeech),
and without those that the student's calibration is fitted on: every fourth other speaker of
LibriSpeech and every fifth of speechocean762, listed in OUTPUT.calibration-speakers.txt.

A recording of an unknown speaker counts as a speaker of its own. Two crops of it are of one
speaker, and a batch needs no more than that.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from pathlib import Path

from timbral.audio.preprocessing import Preprocessing
from timbral.data.corpora.scanning import scan_corpus
from timbral.data.manifest import Utterance, sorted_manifest
from timbral.data.prepared.prepare import prepare
from timbral.data.speakers import read_speakers

HELD_OUT = {"19", "26", "27"}
"""speakers of the list of trials between sessions, who are in librispeech-251 too"""
CALIBRATE_EVERY = {"librispeech": 4, "speechocean762": 5}
"""how many speakers of a corpus there are to one that the calibration is fitted on"""


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


def calibration_speakers(rows: list[Utterance], corpus: str) -> set[str]:
    return set(sorted({row.speaker for row in rows})[:: CALIBRATE_EVERY[corpus]])


def training_rows(corpora: Path, voices: Path) -> tuple[list[Utterance], list[str]]:
    """What is trained on, and CORPUS-SPEAKER of whom the calibration is fitted on."""
    kaldi = corpora / "speechocean762-train"
    dev = set(read_speakers(kaldi / "speakers-dev.txt"))
    labeled = {
        "speechocean762": [row for row in scan_corpus("kaldi", kaldi) if row.speaker not in dev],
        "librispeech": [
            row
            for row in scan_corpus("librispeech", corpora / "librispeech-251")
            if row.speaker not in HELD_OUT
        ],
    }
    rows, kept = [], []
    for corpus, found in labeled.items():
        speakers = calibration_speakers(found, corpus)
        rows += named([row for row in found if row.speaker not in speakers], corpus)
        kept += sorted(f"{corpus}-{speaker}" for speaker in speakers)
    unlabeled = list(scan_corpus("tree", corpora / "wake-words-unlabeled"))
    rows += named(unlabeled, "wake-words", has_speakers=False)
    rows += named(list(scan_corpus("folder", voices)), "voices")
    return rows, kept


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpora", type=Path)
    parser.add_argument("voices", type=Path)
    parser.add_argument("output", type=Path)
    options = parser.parse_args()
    corpora, voices = options.corpora.resolve(), options.voices.resolve()
    rows, kept = training_rows(corpora, voices)
    manifest = sorted_manifest(rows, corpora)
    listed = options.output.with_name(f"{options.output.name}.calibration-speakers.txt")
    listed.parent.mkdir(parents=True, exist_ok=True)
    listed.write_text("".join(f"{name}\n" for name in kept), "utf-8")
    summary = prepare(manifest, options.output, Preprocessing(), workers=os.cpu_count() or 1)
    print(
        f"{summary.num_utterances:,} utterances of {summary.num_speakers:,} speakers, "
        f"{summary.hours:.2f} h"
    )


if __name__ == "__main__":
    main()
