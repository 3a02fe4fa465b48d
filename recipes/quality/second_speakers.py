"""How many recordings with a second speaker `audit --encoder` finds, and its false alarms.

    python recipes/quality/second_speakers.py ../shared/data results speechocean762 --most 6
    python recipes/quality/second_speakers.py ../shared/data results excerpts-pieces demo … --fit

In each draw, another speaker of the corpus takes 30 or 50 % of the time in 2 % of its recordings.
The recordings from which the second speakers were cut are left out. Recordings are read once, and
draws differ in which of them are changed. `--fit` prints which constants of the score suit the
corpora best. `--true-moments` splits recordings exactly where the second speaker begins or ends,
which shows how much a better search for that moment could gain at most.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import soundfile
from planted import CORPORA, FRACTIONS, Corpus, plant
from scipy.optimize import minimize
from scipy.special import expit
from sounds import RATE

import timbral
from timbral.bulk.part_vectors import embed_parts
from timbral.data.manifest import Utterance
from timbral.embeddings.audit.second_speaker import (
    EVIDENCE,
    PRIOR,
    SplitRecordings,
    find_second_speakers,
)
from timbral.inference.speech_parts import parts_at, windows_of
from timbral.inference.speech_windows import speech_extent

PLANTED = 0.02
PLANTS = "plants.json"
LEAST_SAMPLES = RATE // 4
"""least length of a part"""
PRECISION = 0.9
"""precision for which `best_threshold` looks for a threshold"""
LENGTHS = (0.0, 0.6, 0.8, 1.0, 1.2, 2.0, np.inf)
"""seconds that second speakers talk, which are counted apart"""


@dataclass(frozen=True)
class Plant:
    """A recording of the corpus with a second speaker in it."""

    recording: int
    other: int
    """a recording of the second speaker"""
    fraction: float
    moment: float
    seconds: float
    is_after: bool


@dataclass(frozen=True)
class Material:
    """N recordings of a corpus, and P others with a second speaker, split into parts."""

    codes: np.ndarray
    """the speaker of each recording (N,)"""
    plants: list[Plant]
    parts: SplitRecordings
    """rows 0 to N - 1 are of the corpus, N to N + P - 1 of the others; without those that cannot be
    split"""


def write(corpus: Corpus, folder: Path, count: int) -> None:
    """Write the recordings of a corpus, and `count` with a second speaker, as files."""
    random = np.random.default_rng(0)
    rows = [(speaker, wave) for speaker, waves in corpus.items() for wave in waves]
    for row, (speaker, wave) in enumerate(rows):
        (folder / speaker).mkdir(parents=True, exist_ok=True)
        soundfile.write(folder / speaker / f"{row:05d}.wav", wave, RATE)
    plants: list[Plant] = []
    (folder / "planted").mkdir(exist_ok=True)
    while len(plants) < count:
        row, other = random.integers(len(rows), size=2).tolist()
        fraction = FRACTIONS[len(plants) % 2]
        if rows[row][0] == rows[other][0]:
            continue
        made = plant(rows[row][1], rows[other][1], fraction, random)
        if made is not None:
            soundfile.write(folder / "planted" / f"{len(plants):05d}.wav", made.wave, RATE)
            plants.append(Plant(row, other, fraction, made.moment, made.seconds, made.is_after))
    (folder / PLANTS).write_text(json.dumps([asdict(each) for each in plants]), "utf-8")


def material(folder: Path, encoder: str) -> Material:
    paths = sorted(
        folder.glob("[!.]*/*.wav"), key=lambda path: (path.parts[-2] == "planted", path.name)
    )
    utterances = [
        Utterance(str(path), path.parent.name, "", str(path), corpus="") for path in paths
    ]
    plants = [Plant(**each) for each in json.loads((folder / PLANTS).read_text("utf-8"))]
    speakers = [each.speaker for each in utterances[: len(paths) - len(plants)]]
    kept, failures = embed_parts(
        timbral.load_encoder(encoder), utterances, np.arange(len(paths)), folder / ".parts"
    )
    assert not failures, failures
    blocks = list(kept)
    parts = SplitRecordings(
        *(
            np.concatenate([getattr(block, name) for block in blocks])
            for name in ("rows", "parts", "seconds", "moments")
        )
    )
    return Material(np.unique(speakers, return_inverse=True)[1], plants, parts)


def at_true_moments(made: Material, folder: Path, encoder: str) -> Material:
    """The material with the planted recordings split at the true moments.

    Recordings with a part that would be too short stay as they are.
    """
    embedder, size = timbral.load_encoder(encoder), len(made.codes)
    old = made.parts
    parts = replace(old, parts=old.parts.copy(), seconds=old.seconds.copy())
    moments = parts.moments.copy()
    for at in np.flatnonzero(old.rows >= size).tolist():
        number = int(old.rows[at]) - size
        wave = embedder.load_audio(folder / "planted" / f"{number:05d}.wav")
        begin, end = speech_extent(wave, RATE)
        moment = round(made.plants[number].moment * RATE)
        if min(moment - begin, end - moment) >= LEAST_SAMPLES:
            cut = np.array([[begin, moment], [moment, end]])
            (both,) = parts_at(embedder, [wave], windows_of(embedder, [wave]), [cut])
            assert both is not None
            parts.parts[at], parts.seconds[at] = both.vectors, both.seconds
            moments[at] = made.plants[number].moment
    return replace(made, parts=replace(parts, moments=moments))


@dataclass(frozen=True)
class Draw:
    """The result of an audit of the corpus with some recordings replaced."""

    planted: list[int]
    """indices in `Material.plants`"""
    found: dict[int, tuple[float, float, bool]]
    """by recording: probability, moment, is_after"""


def draw(made: Material, random: np.random.Generator, *, outsiders: bool) -> Draw:
    """Audit with some recordings replaced; with `outsiders`, second speakers have no others."""
    size = len(made.codes)
    wanted = max(1, round(PLANTED * size))
    taken: dict[int, int] = {}
    sources: set[int] = set()
    for number in random.permutation(len(made.plants)).tolist():
        each = made.plants[number]
        if len(taken) < wanted and each.recording not in taken and each.recording not in sources:
            taken[each.recording] = number
            sources.add(each.other)
    source, staying = np.arange(size), np.ones(size, dtype=bool)
    if outsiders:
        staying = ~np.isin(made.codes, made.codes[list(sources)])
    staying[list(sources)] = False
    for row, number in taken.items():
        source[row], staying[row] = size + number, True
    at = np.full(size + len(made.plants), -1)
    at[made.parts.rows] = np.arange(len(made.parts.rows))
    rows = np.flatnonzero(staying & (at[source] >= 0))
    chosen = at[source[rows]]
    parts = SplitRecordings(
        rows, made.parts.parts[chosen], made.parts.seconds[chosen], made.parts.moments[chosen]
    )
    found = {
        each.recording: (each.probability, each.moment, each.is_after)
        for each in find_second_speakers([parts], made.codes)
    }
    return Draw(list(taken.values()), found)


def counts(made: Material, draws: list[Draw], least: float) -> np.ndarray:
    """Found, planted and false alarms (S, 3) of each label's speaker."""
    table = np.zeros((made.codes.max() + 1, 3))
    for each in draws:
        planted = {made.plants[number].recording for number in each.planted}
        for row in planted:
            table[made.codes[row], 1] += 1
        for row, (probability, _, _) in each.found.items():
            if probability >= least:
                table[made.codes[row], 0 if row in planted else 2] += 1
    return table


def rates(table: np.ndarray) -> tuple[float, float]:
    """Recall and precision."""
    found, planted, wrong = table.sum(axis=0)
    return found / planted, found / max(found + wrong, 1)


def interval(table: np.ndarray, which: int) -> tuple[float, float]:
    """The 95 % interval of recall (`which` 0) or precision (1), from 1,000 draws of speakers."""
    random = np.random.default_rng(0)
    drawn = (table[random.integers(len(table), size=len(table))] for _ in range(1000))
    low, high = np.nanquantile([rates(each)[which] for each in drawn], [0.025, 0.975])
    return float(low), float(high)


def lines(made: Material, draws: list[Draw]) -> Iterator[str]:
    for least in (0.1, 0.3, 0.5, 0.7, 0.9):
        table = counts(made, draws, least)
        found, true = rates(table)
        of_found, of_true = interval(table, 0), interval(table, 1)
        yield (
            f"probability {least}: found {found:.0%} ({of_found[0]:.0%} to {of_found[1]:.0%}) of "
            f"{table[:, 1].sum():.0f}, true {true:.0%} ({of_true[0]:.0%} to {of_true[1]:.0%}), "
            f"{table[:, 2].sum():.0f} false alarms in {len(draws)} draws"
        )
    yield from by_length(made, draws, 0.5)
    best = best_threshold(made, draws)
    if best is None:
        yield f"no threshold has a precision of {PRECISION:.0%}"
    else:
        yield f"the lowest threshold with a precision of {PRECISION:.0%} is probability {best:.3f}:"
        yield from by_length(made, draws, best)
    known = [
        (made.plants[number], each.found[made.plants[number].recording])
        for each in draws
        for number in each.planted
        if each.found.get(made.plants[number].recording, (0.0,))[0] >= 0.5
    ]
    right = [plant.is_after == is_after for plant, (_, _, is_after) in known]
    away = [abs(plant.moment - moment) for plant, (_, moment, _) in known]
    yield (
        f"of those found {np.mean(right):.0%} on the right side; moment {np.median(away):.2f} s "
        f"away in the median, {np.quantile(away, 0.9):.2f} s in nine of ten"
    )


def best_threshold(made: Material, draws: list[Draw]) -> float | None:
    """The lowest probability at which these draws have a precision of `PRECISION`."""
    planted, others = log_ratios(made, draws)
    thresholds = np.sort(planted)
    found = len(planted) - np.arange(len(planted))
    wrong = len(others) - np.searchsorted(np.sort(others), thresholds)
    good = np.flatnonzero(found / (found + wrong) >= PRECISION)
    if not len(good):
        return None
    return float(expit(EVIDENCE * thresholds[good[0]] + np.log(PRIOR / (1 - PRIOR)))) - 1e-9


def by_length(made: Material, draws: list[Draw], least: float) -> Iterator[str]:
    """How many are found with a threshold, by how long the second speaker talks."""
    planted = [(made.plants[number], each.found) for each in draws for number in each.planted]
    for low, high in (*itertools.pairwise(LENGTHS), (1.0, np.inf), (0.0, np.inf)):
        found = [
            found.get(plant.recording, (0.0,))[0] >= least
            for plant, found in planted
            if low <= plant.seconds < high
        ]
        if found:
            rate = np.mean(found)
            yield f"  second speaker of {low} to {high} s: {sum(found)} of {len(found)}, {rate:.0%}"


def log_ratios(made: Material, draws: list[Draw]) -> tuple[np.ndarray, np.ndarray]:
    """The log ratios behind the probabilities, of planted recordings and of others."""
    planted: list[float] = []
    others: list[float] = []
    for each in draws:
        rows = {made.plants[number].recording for number in each.planted}
        for row, (probability, _, _) in each.found.items():
            odds = np.log(max(probability, 1e-30)) - np.log(max(1 - probability, 1e-15))
            value = (odds - np.log(PRIOR / (1 - PRIOR))) / EVIDENCE
            (planted if row in rows else others).append(value)
    return np.array(planted), np.array(others)


def fit(ratios: list[tuple[np.ndarray, np.ndarray]]) -> str:
    """EVIDENCE and PRIOR with the lowest cross-entropy.

    Planted recordings have the total weight `PLANTED` (2 %), all recordings of a kind the same.
    """
    planted, others = (np.concatenate(each) for each in zip(*ratios, strict=True))
    odds = np.log(PLANTED / (1 - PLANTED))

    def loss(weights: np.ndarray) -> float:
        missed = np.logaddexp(0, -(weights[0] * planted + weights[1])).mean()
        wrong = np.logaddexp(0, weights[0] * others + weights[1]).mean()
        return float(PLANTED * missed + (1 - PLANTED) * wrong)

    best = minimize(loss, [EVIDENCE, odds], method="Nelder-Mead").x
    return (
        f"EVIDENCE {best[0]:.3f}, PRIOR {expit(best[1]):.4f}: {loss(best):.5f}; "
        f"as it is: {loss(np.array([EVIDENCE, np.log(PRIOR / (1 - PRIOR))])):.5f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("results", type=Path, help="folder for recordings and vectors")
    parser.add_argument("corpora", nargs="+", choices=CORPORA)
    parser.add_argument("--most", type=int, default=1000, help="recordings of a speaker")
    parser.add_argument("--encoders", nargs="+", default=["campplus-zh-en"])
    parser.add_argument("--plants", type=int, default=150)
    parser.add_argument("--draws", type=int, default=10)
    parser.add_argument("--outsiders", action="store_true", help="second speakers are strangers")
    parser.add_argument("--true-moments", action="store_true")
    parser.add_argument("--fit", action="store_true")
    options = parser.parse_args()
    ratios = []
    for name, encoder in itertools.product(options.corpora, options.encoders):
        folder = options.results / name
        if not (folder / PLANTS).exists():
            corpus = CORPORA[name](options.data)
            few = {speaker: waves[: options.most] for speaker, waves in corpus.items()}
            write(few, folder, options.plants)
        made = material(folder, encoder)
        if options.true_moments:
            made = at_true_moments(made, folder, encoder)
        random = np.random.default_rng(1)
        draws = [draw(made, random, outsiders=options.outsiders) for _ in range(options.draws)]
        size, speakers = len(made.codes), made.codes.max() + 1
        print(f"{name}, {encoder}: {size} recordings of {speakers} speakers")
        print("\n".join(lines(made, draws)), flush=True)
        ratios.append(log_ratios(made, draws))
    if options.fit:
        print(fit(ratios))


if __name__ == "__main__":
    main()
