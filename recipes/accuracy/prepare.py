"""The data on which recipes are compared: a training store and two lists of trials.

    python recipes/accuracy/prepare.py CORPORA OUTPUT

CORPORA contains speechocean762-train (a Kaldi directory with speakers-dev.txt, trials-dev.txt and
spk2gender), librispeech-251, LibriSpeech and LibriTTS. OUTPUT becomes

    train/                speechocean762 without its dev speakers, LibriSpeech without 19, 26, 27
    trials-dev.txt        the dev trials of speechocean762: one session per speaker
    trials-sessions.txt   LibriSpeech and LibriTTS: target trials between two sessions
    *.txt.utt2spk         the speakers of each list

A recipe is better only if it is better on both lists. With one session per speaker, the room and
the microphone identify the speaker, so an encoder that learns them seems good.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from pathlib import Path

from timbral.audio.preprocessing import Preprocessing
from timbral.data.corpora.scanning import scan_corpus
from timbral.data.manifest import Manifest, Utterance, sorted_manifest
from timbral.data.prepared.prepare import prepare
from timbral.data.speakers import read_speakers
from timbral.scoring.list_speakers import write_speakers
from timbral.scoring.trial_list import Trial
from timbral.scoring.trials import draw_cross_session_trials, read_trials, write_trials

TESTED = {"19", "26", "27"}
"""the speakers of LibriSpeech/: they are among those of librispeech-251"""


def named(rows: list[Utterance], corpus: str) -> list[Utterance]:
    """Ids that no other corpus uses."""
    return [
        replace(
            row,
            utterance=f"{corpus}-{row.utterance}",
            speaker=f"{corpus}-{row.speaker}",
            corpus=corpus,
        )
        for row in rows
    ]


def training_rows(corpora: Path) -> Manifest:
    kaldi = corpora / "speechocean762-train"
    kept_out = set(read_speakers(kaldi / "speakers-dev.txt"))
    speechocean = [row for row in scan_corpus("kaldi", kaldi) if row.speaker not in kept_out]
    libri = [
        row
        for row in scan_corpus("librispeech", corpora / "librispeech-251")
        if row.speaker not in TESTED
    ]
    rows = named(speechocean, "speechocean762") + named(libri, "librispeech")
    return sorted_manifest(rows, corpora)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpora", type=Path)
    parser.add_argument("output", type=Path)
    options = parser.parse_args()
    corpora, output = options.corpora.resolve(), options.output
    summary = prepare(
        training_rows(corpora), output / "train", Preprocessing(), workers=os.cpu_count() or 1
    )
    print(
        f"{summary.num_utterances:,} utterances of {summary.num_speakers:,} speakers, "
        f"{summary.hours:.2f} h"
    )
    dev = [
        Trial(
            trial.label,
            str(corpora / "speechocean762-train" / trial.first),
            str(corpora / "speechocean762-train" / trial.second),
        )
        for trial in read_trials(corpora / "speechocean762-train" / "trials-dev.txt")
    ]
    sessions = [
        row
        for layout, name in (("librispeech", "LibriSpeech"), ("libritts", "LibriTTS"))
        for row in scan_corpus(layout, corpora / name)
    ]
    spoken = scan_corpus("kaldi", corpora / "speechocean762-train")
    speakers = {row.path: row.speaker for row in [*spoken, *sessions]}
    for name, trials in (("dev", dev), ("sessions", draw_cross_session_trials(sessions))):
        path = output / f"trials-{name}.txt"
        write_trials(path, trials)
        named_in = sorted({each for trial in trials for each in (trial.first, trial.second)})
        write_speakers(path, ((each, speakers[each]) for each in named_in))
        print(f"trials-{name}.txt: {len(trials):,} trials")


if __name__ == "__main__":
    main()
