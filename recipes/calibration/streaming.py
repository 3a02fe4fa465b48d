"""What a streaming verdict promises and keeps, and how much speech it needs.

    python recipes/calibration/streaming.py ENCODER CORPORA [--lengths]

The speakers are those that calibrations are tested on (see recordings.py). A speaker is enrolled
with some seconds of one side. Then 12 s of the other side, and of another speaker, arrive in pieces
of 0.25 s, as they are or degraded. Prints false accepts and false rejects with 95 % intervals over
speakers, separately those at the first look, and how long it took. With --lengths, decisions after
a fixed length are also made, with 8 s enrolled.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import degrade
import numpy as np
from degrade import RATE, Sounds
from recordings import Speaker, joined, speechocean, with_sessions

from timbral.audio.decode import Wave
from timbral.calibration.conditions import Conditions
from timbral.errors import ConfigError
from timbral.inference.embedder import Embedder
from timbral.inference.load import load_encoder
from timbral.inference.sides import Side, load_sides
from timbral.inference.streaming import (
    FIRST_LOOK,
    LOOK_FACTOR,
    Enrolled,
    StoppingBounds,
    StreamingVerifier,
    StreamState,
)
from timbral.io.types import Floats, Vectors
from timbral.scoring.speaker_means import SpeakerMeans

LONGEST = 12.0
LOOKS = FIRST_LOOK * LOOK_FACTOR ** np.arange(np.log(LONGEST) / np.log(LOOK_FACTOR))
"""lengths at which the stream is tested: seconds of audio, including pauses"""
RATES = (0.05, 0.02)
Rates: TypeAlias = tuple[float, float]
PROMISES: tuple[Rates, ...] = ((0.05, 0.1), (0.01, 0.1))
"""false accepts and false rejects"""
REPEATED = 3
"""number of pairs of each kind for a speaker"""
CHUNK = RATE // 4


def side_of(embedder: Embedder, wave: Wave) -> Side:
    """The vector, conditions and measures of samples at `RATE`."""
    (side,) = load_sides(embedder.loader, embedder.encode_preprocessed, {"samples": wave}, RATE)
    return side


def voice(embedder: Embedder, wave: Wave) -> tuple[Vectors, Conditions]:
    """The vector and conditions of speech, however little it is."""
    side = side_of(embedder, wave)
    return side.voice, side.conditions


def paths(embedder: Embedder, pairs: list[tuple[Speaker, Speaker]], seed: int) -> Floats:
    """The llr at each look (pairs, looks), of side a of the first speaker and b of the second."""
    assert embedder.calibration is not None
    rows = []
    for number, (enrolled, comes) in enumerate(pairs):
        generator = np.random.default_rng([seed, number])
        known = voice(embedder, joined(enrolled.material(0), 8.0, generator))
        wave = joined(comes.material(1), LONGEST, generator)
        row = []
        for seconds in LOOKS:
            vector, conditions = voice(embedder, wave[: round(seconds * RATE)])
            score = embedder.calibration.scores(known[0], vector)
            row.append(float(embedder.calibration.unlimited_llr(score, known[1], conditions)[0]))
        rows.append(row)
    return np.array(rows)


def pairs_of(
    groups: list[list[Speaker]], repeated: int, seed: int
) -> tuple[list[tuple[Speaker, Speaker]], list[tuple[Speaker, Speaker]]]:
    """Each speaker with itself, and with another of its group and gender."""
    generator = np.random.default_rng(seed)
    same = [(speaker, speaker) for group in groups for speaker in group] * repeated
    different = []
    for group in groups:
        for speaker in group * repeated:
            others = [x for x in group if x.gender == speaker.gender and x.name != speaker.name]
            different.append((speaker, others[int(generator.integers(len(others)))]))
    return same, different


@dataclass(frozen=True)
class Case:
    """How the enrolled side and the stream are recorded."""

    name: str
    enrolled_seconds: float
    change: Callable[[Wave, np.random.Generator], Wave] = lambda wave, generator: wave


def listen(
    embedder: Embedder, pair: tuple[Speaker, Speaker], case: Case, seed: list[int]
) -> list[StreamState | None]:
    """The state for each of `PROMISES` at the verdict, or at the end; None: not promised.

    Nothing is promised either where a warning says that something lies outside the ranges.
    """
    generator = np.random.default_rng(seed)
    enrolled, comes = pair
    known = case.change(joined(enrolled.material(0), case.enrolled_seconds, generator), generator)
    wave = case.change(joined(comes.material(1), LONGEST, generator), generator)
    vector, conditions = voice(embedder, known)
    measured: dict[int, tuple[Vectors, Conditions] | None] = {}

    def measure(samples: Vectors, name: str, rate: float) -> tuple[Vectors, Conditions] | None:
        if len(samples) not in measured:
            side = side_of(embedder, samples)
            found = (side.voice, side.conditions) if side.holds_speech else None
            measured[len(samples)] = found
        return measured[len(samples)]

    states: list[StreamState | None] = []
    for rates in PROMISES:
        try:
            bounds = StoppingBounds.of(
                embedder.calibration, *rates, float(conditions.speech_seconds[0])
            )
        except ConfigError:
            states.append(None)
            continue
        stream = StreamingVerifier(measure, Enrolled(vector, conditions, bounds), RATE)
        for start in range(0, len(wave), CHUNK):
            if stream.add(wave[start : start + CHUNK]).verdict != "undecided":
                break
        states.append(stream.state)
    return states


def report_case(embedder: Embedder, groups: list[list[Speaker]], case: Case) -> Iterator[str]:
    """Rows of the table."""
    pairs = [pair for kind in pairs_of(groups, REPEATED, seed=1) for pair in kind]
    numbers = {id(each): n for n, each in enumerate(x for group in groups for x in group)}
    states_of_pairs = [
        listen(embedder, pair, case, [3, number]) for number, pair in enumerate(pairs)
    ]
    for rates, states in zip(PROMISES, zip(*states_of_pairs, strict=True), strict=True):
        rows = [
            (numbers[id(pair[0])], numbers[id(pair[1])], state)
            for pair, state in zip(pairs, states, strict=True)
            if state is not None and not state.warnings
        ]
        name = f"{case.name}, {100 * rates[0]:g} and {100 * rates[1]:g} %"
        yield f"| {name} | {len(rows)} of {len(pairs)} promised | {' | '.join(errors(rows))} |"


def errors(rows: list[tuple[int, int, StreamState]]) -> Iterator[str]:
    """False accepts, then false rejects."""
    first, second = (np.array([row[side] for row in rows]) for side in (0, 1))
    is_target = first == second
    verdicts = np.array([row[2].verdict for row in rows])
    early = np.array([row[2].speech_seconds < FIRST_LOOK * LOOK_FACTOR for row in rows])
    seconds = np.array([row[2].seconds for row in rows])
    means = SpeakerMeans(first, second, is_target, draws=1000)
    for wrong, kind, mean in (
        ("same", ~is_target, means.of_nontargets),
        ("different", is_target, means.of_targets),
    ):
        wrongly = verdicts[kind] == wrong
        low, high = np.nanpercentile(mean(wrongly), [2.5, 97.5])
        yield (
            f"{100 * wrongly.mean():.1f} ({100 * low:.1f}–{100 * high:.1f}), at the first look "
            f"{100 * (wrongly & early[kind]).mean():.1f}, undecided "
            f"{100 * (verdicts[kind] == 'undecided').mean():.1f}, median "
            f"{np.median(seconds[kind]):.2f} s"
        )


def cases(sounds: Sounds) -> list[Case]:
    def in_noise(wave: Wave, generator: np.random.Generator) -> Wave:
        noise = sounds.noises[int(generator.integers(len(sounds.noises)))]
        return degrade.add_noise(wave, noise, 10.0, generator)

    def by_telephone(wave: Wave, generator: np.random.Generator) -> Wave:
        return degrade.telephone(wave, "mu-law")

    return [
        Case("8 s enrolled", 8.0),
        Case("1 s enrolled", 1.0),
        Case("8 s enrolled, by telephone", 8.0, by_telephone),
        Case("8 s enrolled, noise of 10 dB", 8.0, in_noise),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("encoder")
    parser.add_argument("corpora", type=Path)
    parser.add_argument("--lengths", action="store_true")
    options = parser.parse_args()
    embedder = load_encoder(options.encoder, device="cpu")
    _, dev = speechocean(options.corpora / "speechocean762-train")
    sessions = with_sessions("librispeech", options.corpora / "LibriSpeech")
    sessions += with_sessions("libritts", options.corpora / "LibriTTS")
    groups = [dev, sessions, with_sessions("vctk", options.corpora / "VCTK")]
    if options.lengths:
        same, different = pairs_of(groups, 3, seed=0)
        targets, nontargets = paths(embedder, same, seed=1), paths(embedder, different, seed=2)
        for rate in RATES:
            report(embedder, targets, nontargets, rate)
        return
    noise = options.corpora / "noise"
    sounds = Sounds.read([*(noise / "speechbrain").iterdir(), *(noise / "picovoice").iterdir()], [])
    for case in cases(sounds):
        for row in report_case(embedder, groups, case):
            print(row, flush=True)


def report(embedder: Embedder, targets: Floats, nontargets: Floats, rate: float) -> None:
    """Print errors and lengths of the sequential test, and of fixed lengths."""
    bounds = StoppingBounds.of(embedder.calibration, rate, max(rate, 0.1))
    ends = []
    for llrs in (targets, nontargets):
        out = (llrs >= bounds.accept_llr) | (llrs <= bounds.reject_llr)
        stops = np.where(out.any(axis=1), out.argmax(axis=1), len(LOOKS) - 1)
        ends.append((LOOKS[stops], llrs[np.arange(len(llrs)), stops], out.any(axis=1)))
    (length, last, decided), (length_others, last_others, decided_others) = ends
    rejects = float((decided & (last < 0)).mean())
    accepts = float((decided_others & (last_others > 0)).mean())
    print(
        f"promised {100 * rate:g} % false accepts: {100 * accepts:.1f} % false accepts, "
        f"{100 * rejects:.1f} % false rejects, undecided after {LONGEST:g} s: "
        f"{100 * (1 - decided.mean()):.1f} % and {100 * (1 - decided_others.mean()):.1f} %; "
        f"median {np.median(length):.2f} s for the same speaker, {np.median(length_others):.2f} s "
        "for another"
    )
    for seconds, of_targets, of_nontargets in zip(LOOKS, targets.T, nontargets.T, strict=True):
        threshold = np.quantile(of_nontargets, 1 - accepts)
        print(f"  after {seconds:.2f} s: {100 * (of_targets <= threshold).mean():.1f} % rejects")


if __name__ == "__main__":
    main()
