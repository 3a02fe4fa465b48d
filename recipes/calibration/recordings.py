"""Recordings to fit calibrations on, and others to test them on.

    python recipes/calibration/recordings.py CORPORA OUTPUT [--speakers FILE]

CORPORA contains speechocean762-train, librispeech-251, LibriSpeech, LibriTTS, VCTK, noise and
rooms. OUTPUT becomes

    fit/CORPUS/SPEAKER/SIDE/*.flac     100 speakers of speechocean762, 248 of LibriSpeech, or those
                                       of FILE, whose lines are CORPUS-SPEAKER
    test/CELL/SPEAKER/SIDE/*.flac      other speakers, one condition in each CELL
    fit.txt, fit.txt.utt2spk, test-CELL.txt, test-CELL.txt.utt2spk

A speaker's material is divided between two sides (sessions, if a corpus has them), and target
trials are between the sides, so that no second of audio is on both sides of a trial. Each recording
to fit on is randomly cropped (1 to 16 s), put into a room, into noise and through a codec,
independently of the other side. The noises, the rooms and one codec (Opus) of the tests do not
occur in the recordings to fit on.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import degrade
import numpy as np
import soundfile as sf
from degrade import RATE, Sounds

from timbral.audio.decode import Wave
from timbral.data.corpora.scanning import scan_corpus
from timbral.data.manifest import Utterance
from timbral.data.speakers import read_speakers
from timbral.scoring.balanced_trials import draw_balanced
from timbral.scoring.list_speakers import write_speakers
from timbral.scoring.trial_list import Trial
from timbral.scoring.trials import write_trials

ROOMS_TO_FIT = ("rir1.wav", "rir2.wav", "rir3.wav", "Concrete_Room.wav", "impulse_response_0.wav")
SIDES = ("a", "b")
LENGTHS = (1.0, 16.0)
"""seconds of crops to fit on, evenly on a scale of octaves"""
CODECS = {"mu-law": 0.15, "a-law": 0.1, "gsm": 0.15, "vorbis": 0.1, "": 0.5}
"""probabilities of the codecs of recordings to fit on"""
Change = Callable[[Wave, np.random.Generator], Wave]


@dataclass(frozen=True)
class Speaker:
    """A speaker's recordings, for either side of a trial."""

    name: str
    gender: str
    sides: tuple[list[Path], list[Path]]
    halves: bool = False
    """whether there is only one recording, whose halves are the sides"""

    def material(self, side: int) -> list[Wave]:
        waves = [degrade.load(path) for path in self.sides[side]]
        if not self.halves:
            return waves
        return [np.array_split(wave, 2)[side] for wave in waves]


def speechocean(folder: Path) -> tuple[list[Speaker], list[Speaker]]:
    """Speakers to fit on, and the dev speakers."""
    genders = dict(line.split() for line in (folder / "spk2gender").read_text().splitlines())
    by_speaker: dict[str, list[Path]] = {}
    for row in scan_corpus("kaldi", folder):
        by_speaker.setdefault(row.speaker, []).append(Path(row.path))
    tested = set(read_speakers(folder / "speakers-dev.txt"))
    found = [
        Speaker(name, genders[name], (sorted(paths)[::2], sorted(paths)[1::2]))
        for name, paths in sorted(by_speaker.items())
    ]
    return (
        [speaker for speaker in found if speaker.name not in tested],
        [speaker for speaker in found if speaker.name in tested],
    )


def librispeech_excerpts(folder: Path, tested: set[str]) -> list[Speaker]:
    return [
        Speaker(row.speaker, "", ([Path(row.path)], [Path(row.path)]), halves=True)
        for row in sorted(scan_corpus("librispeech", folder), key=lambda row: row.speaker)
        if row.speaker not in tested
    ]


def with_sessions(layout: str, folder: Path) -> list[Speaker]:
    """Speakers with two sessions, one on each side; without sessions every other recording."""
    by_speaker: dict[str, dict[str, list[Path]]] = {}
    for row in scan_corpus(layout, folder):
        sessions = by_speaker.setdefault(row.speaker, {})
        sessions.setdefault(row.session, []).append(Path(row.path))
    speakers = []
    for name, sessions in sorted(by_speaker.items()):
        lists = [sorted(paths) for _, paths in sorted(sessions.items())]
        sides = (lists[0][::2], lists[0][1::2]) if len(lists) == 1 else (lists[0], lists[1])
        speakers.append(Speaker(name, "", sides))
    return speakers


def joined(waves: list[Wave], seconds: float, generator: np.random.Generator) -> Wave:
    """The recordings of a side, joined in random order and cut to a length."""
    order = generator.permutation(len(waves))
    pieces: list[Wave] = []
    while sum(map(len, pieces)) < seconds * RATE and len(pieces) < len(waves):
        pieces.append(waves[order[len(pieces)]])
    return degrade.crop(np.concatenate(pieces), seconds, generator)


def any_condition(sounds: Sounds) -> Change:
    """A room in 3 of 10 recordings, noise in 5 at 0 to 25 dB, a codec in 5, and any level."""

    def change(wave: Wave, generator: np.random.Generator) -> Wave:
        if generator.random() < 0.3:
            room = sounds.rooms[int(generator.integers(len(sounds.rooms)))]
            wave = degrade.reverberate(wave, room)
        if generator.random() < 0.5:
            noise = sounds.noises[int(generator.integers(len(sounds.noises)))]
            wave = degrade.add_noise(wave, noise, generator.uniform(0, 25), generator)
        codec = generator.choice(list(CODECS), p=list(CODECS.values()))
        if codec == "vorbis":
            wave = degrade.vorbis(wave)
        elif codec:
            wave = degrade.telephone(wave, codec)
        return wave * np.float32(10 ** (generator.uniform(-15, 0) / 20))

    return change


def cells(sounds: Sounds) -> dict[str, tuple[float, Change]]:
    """Conditions that calibrations are tested in, each with the length of its recordings."""

    def as_it_is(wave: Wave, generator: np.random.Generator) -> Wave:
        return wave

    def in_noise(wave: Wave, generator: np.random.Generator) -> Wave:
        noise = sounds.noises[int(generator.integers(len(sounds.noises)))]
        return degrade.add_noise(wave, noise, 10.0, generator)

    def in_room(wave: Wave, generator: np.random.Generator) -> Wave:
        return degrade.reverberate(wave, sounds.rooms[int(generator.integers(len(sounds.rooms)))])

    def by_telephone(codec: str) -> Change:
        return lambda wave, generator: degrade.telephone(wave, codec)

    def sometimes(change: Change) -> Change:
        return lambda wave, generator: change(wave, generator) if generator.random() < 0.5 else wave

    lengths = {f"{seconds}s": (float(seconds), as_it_is) for seconds in (1, 2, 4, 8)}
    return lengths | {
        "mu-law": (4.0, by_telephone("mu-law")),
        "gsm": (4.0, by_telephone("gsm")),
        "opus": (4.0, lambda wave, generator: degrade.opus(wave)),
        "one-by-telephone": (4.0, sometimes(by_telephone("mu-law"))),
        "noise": (4.0, in_noise),
        "room": (4.0, in_room),
        "level": (4.0, degrade.at_any_level),
    }


def make(
    speakers: list[Speaker],
    folder: Path,
    per_side: int,
    lengths: tuple[float, float],
    change: Change,
    seed: int,
) -> Iterator[Utterance]:
    """Write recordings of every speaker and side, FOLDER/SPEAKER/SIDE/NUMBER.flac."""
    for number, speaker in enumerate(speakers):
        for side, name in enumerate(SIDES):
            generator = np.random.default_rng([seed, number, side])
            material = speaker.material(side)
            for index in range(per_side):
                low, high = np.log(lengths)
                seconds = float(np.exp(generator.uniform(low, high)))
                wave = change(joined(material, seconds, generator), generator)
                path = folder / speaker.name / name / f"{index:02}.flac"
                path.parent.mkdir(parents=True, exist_ok=True)
                sf.write(path, np.clip(wave, -1, 1), RATE)
                yield Utterance(
                    str(path), f"{folder.name}-{speaker.name}", name, str(path), folder.name
                )


def write_list(
    rows: list[Utterance], genders: dict[str, str], path: Path, per_speaker: int
) -> None:
    """Write trials between the sides, and the speakers of their recordings."""
    trials: list[Trial] = []
    for corpus in sorted({row.corpus for row in rows}):
        of_corpus = [row for row in rows if row.corpus == corpus]
        drawn = draw_balanced(
            of_corpus, per_speaker=per_speaker, across_sessions=True, groups=genders
        )
        trials += [Trial(label, of_corpus[a].path, of_corpus[b].path) for label, a, b in drawn]
    write_trials(path, trials)
    write_speakers(path, ((row.path, row.speaker) for row in rows))
    print(f"{path}: {len(trials):,} trials of {len(rows):,} recordings")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpora", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--speakers", type=Path)
    options = parser.parse_args()
    chosen = None if options.speakers is None else set(read_speakers(options.speakers))
    corpora, output = options.corpora.resolve(), options.output.resolve()
    rooms, noise = corpora / "rooms", corpora / "noise"
    to_fit = Sounds.read(
        [*(noise / "mycroft").iterdir(), *(noise / "speech-commands-background").iterdir()],
        [rooms / name for name in ROOMS_TO_FIT],
    )
    to_test = Sounds.read(
        [*(noise / "speechbrain").iterdir(), *(noise / "picovoice").iterdir()],
        [path for path in rooms.iterdir() if path.name not in ROOMS_TO_FIT],
    )
    ocean, dev = speechocean(corpora / "speechocean762-train")
    sessions = with_sessions("librispeech", corpora / "LibriSpeech")
    sessions += with_sessions("libritts", corpora / "LibriTTS")
    vctk = with_sessions("vctk", corpora / "VCTK")
    libri = librispeech_excerpts(
        corpora / "librispeech-251", {speaker.name for speaker in sessions}
    )
    rows: list[Utterance] = []
    genders: dict[str, str] = {}
    change = any_condition(to_fit)
    for speakers, name, per_side in ((ocean, "speechocean762", 12), (libri, "librispeech", 4)):
        folder = output / "fit" / name
        if chosen is not None:
            speakers = [each for each in speakers if f"{name}-{each.name}" in chosen]
        rows += make(speakers, folder, per_side, LENGTHS, change, seed=1)
        genders |= {f"{name}-{speaker.name}": speaker.gender for speaker in speakers}
    write_list(rows, genders, output / "fit.txt", per_speaker=60)
    for number, (cell, (seconds, change)) in enumerate(cells(to_test).items()):
        tests: list[Utterance] = []
        of_speakers: dict[str, str] = {}
        for speakers, name in ((dev, "speechocean762"), (sessions, "sessions"), (vctk, "vctk")):
            folder = output / "test" / cell / name
            tests += make(speakers, folder, 5, (seconds, seconds), change, seed=100 + number)
            of_speakers |= {f"{name}-{speaker.name}": speaker.gender for speaker in speakers}
        write_list(tests, of_speakers, output / f"test-{cell}.txt", per_speaker=25)


if __name__ == "__main__":
    main()
