"""Open-set identification: what is promised for a search, and what happens.

    python recipes/gallery/identification.py CALIBRATION.json EMBEDDINGS [TESTED …]
        [--crops CROPS] [--enroll-crops] [--sizes N …]

EMBEDDINGS is an `embed` folder of many speakers. Galleries of 10, 100 and 340 of them are drawn.
Each voice gets 3 recordings from the first half of its speaker's, as `timbral enroll` does it;
speakers whom the guard refuses are not enrolled. Recordings from the second half are searched, and
recordings of all other speakers, who are strangers. TESTED are `embed` folders of other speakers,
all of them strangers.

Recordings with little speech are decided as by `timbral identify`, at thresholds of their own or
without a promise, and counted separately. Those below the ranges of the calibration, for which
nothing is promised, are left out. CROPS is an `embed` folder of short crops of the speakers of
EMBEDDINGS, made by crops.py: they are searched as well, and each known stranger has one; with
`--enroll-crops`, so has each voice.

Prints for each requested rate: strangers who get any name, with a 95 % interval over speakers;
enrolled speakers who are not found; and wrong names.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from material import Material
from numpy.typing import NDArray

from timbral.calibration.calibration import Calibration, promised
from timbral.calibration.calibration_file import read_calibration
from timbral.errors import ConfigError, EnrollmentError
from timbral.gallery.encoder_identity import EncoderIdentity
from timbral.gallery.evidence import CalibratedEvidence
from timbral.gallery.gallery import Gallery
from timbral.gallery.posterior import posterior
from timbral.gallery.search_rates import SearchRates
from timbral.gallery.stranger_searches import Strangers, stranger_searches
from timbral.gallery.voice_search import Voices
from timbral.gallery.voices import conditions_of
from timbral.io.types import Floats, Ints

SIZES = {10: 60, 100: 24, 340: 12}
"""sizes of galleries in voices, and how many galleries of each size are drawn"""
ENROLLED, SEARCHED = 3, 2
RATES = (0.1, 0.05, 0.02, 0.01)
Drawn = tuple[str, Ints, Ints]
"""a speaker, rows to enroll and rows to search"""


@dataclass
class Counts:
    """Outcomes of one way to decide, over galleries."""

    strangers: list[tuple[str, float]] = field(default_factory=list)
    """each stranger, and the fraction of their searches that give a name"""
    missed: list[float] = field(default_factory=list)
    wrong: list[float] = field(default_factory=list)
    broken: list[bool] = field(default_factory=list)

    def __str__(self) -> str:
        speakers = sorted({name for name, _ in self.strangers})
        by_speaker = [np.mean([x for name, x in self.strangers if name == s]) for s in speakers]
        counts = np.array([sum(name == s for name, _ in self.strangers) for s in speakers])
        draws = np.random.default_rng(0).multinomial(
            len(speakers), np.full(len(speakers), 1 / len(speakers)), size=2000
        )
        rates = (draws * counts) @ np.array(by_speaker) / (draws @ counts)
        low, high = 100 * np.percentile(rates, [2.5, 97.5])
        rate = 100 * np.mean([x for _, x in self.strangers])
        return (
            f"{len(speakers)} strangers, named {rate:.1f} ({low:.1f} to {high:.1f}) %; "
            + (
                f"enrolled not found {100 * np.mean(self.missed):.1f} %, wrong name "
                f"{100 * np.mean(self.wrong):.2f} %; "
                if self.missed
                else ""
            )
            + f"galleries above the promise {100 * np.mean(self.broken):.0f} %"
        )


@dataclass(frozen=True)
class Search:
    """The likeliest voice of each search."""

    llrs: Floats
    right: Ints
    speakers: list[str]
    all_llrs: Floats
    is_short: NDArray[np.bool_]
    """whether it has less net speech than the calibration promises with all others"""

    def rows(self, mask: NDArray[np.bool_]) -> Search:
        speakers = [name for name, kept in zip(self.speakers, mask, strict=True) if kept]
        return Search(
            self.llrs[mask], self.right[mask], speakers, self.all_llrs[mask], self.is_short[mask]
        )


def search(voices: Voices, material: Material, rows: Ints, calibration: Calibration) -> Search:
    every = conditions_of(material.recordings(rows))
    rows = rows[~calibration.ranges.below(every)]  # of the others nothing is promised
    conditions = conditions_of(material.recordings(rows))
    found = voices.likeliest(material.vectors[rows], conditions)
    llrs = found.llrs
    speakers = [material.speakers[row] for row in rows]
    best = [voices.names[row] for row in found.rows[:, 0]]
    right = np.array([a == b for a, b in zip(best, speakers, strict=True)])
    is_short = conditions.speech_seconds < calibration.short_seconds
    return Search(llrs[:, 0], right, speakers, llrs, is_short)


def searches_of_strangers(
    voices: Voices,
    material: Material,
    outside: list[Drawn],
    tested: dict[str, Material],
    calibration: Calibration,
) -> dict[str, Search]:
    """Searches of the drawn speakers who are not enrolled, if any, and of each tested set."""
    sets = {
        f" ({name})": search(voices, each, np.arange(len(each.names)), calibration)
        for name, each in tested.items()
    }
    if outside:
        rows = np.concatenate([each for _, _, each in outside])
        return {"": search(voices, material, rows, calibration), **sets}
    return sets


@dataclass(frozen=True)
class Rates:
    """What searches promise of all recordings, and of those with little speech."""

    of_all: SearchRates
    of_short: SearchRates

    @classmethod
    def of(
        cls, gallery: Gallery, voices: Voices, calibration: Calibration, strangers: Strangers = ()
    ) -> Rates:
        of_short = stranger_searches(
            gallery, voices, strangers, shorter_than=calibration.short_seconds
        )
        return cls(
            SearchRates(
                voices.count, stranger_searches(gallery, voices, strangers), voices.pairs()
            ),
            SearchRates(voices.count, of_short, voices.pairs(0.0)),
        )


@dataclass(frozen=True)
class Threshold:
    """The llr from which on a voice is named."""

    name: str
    rate: float
    of_all: float
    of_short: float | None
    """the threshold for recordings with little speech; None: nothing is promised of them"""

    def parts(self, found: Search) -> Iterator[tuple[str, Search, float]]:
        """Searches that are counted together: what they are, and the threshold."""
        yield "", found.rows(~found.is_short), self.of_all
        if self.of_short is None:
            yield ", little speech, NOT PROMISED", found.rows(found.is_short), self.of_all
        else:
            yield ", little speech", found.rows(found.is_short), self.of_short


def thresholds(
    alone: Rates, with_strangers: Rates, calibration: Calibration
) -> Iterator[Threshold]:
    def at(source: SearchRates, rate: float) -> float | None:
        try:
            return source.threshold(rate)
        except ConfigError:
            return None

    for rate in RATES:
        pair = calibration.threshold(rate).llr
        of_short_pair = promised(rate, calibration.points_at(0.0))
        least = None if of_short_pair is None else of_short_pair.llr
        yield Threshold(f"{100 * rate:g} %, threshold of one pair", rate, pair, least)
        for name, source in (("the gallery", alone), ("with strangers", with_strangers)):
            of_all = at(source.of_all, rate)
            if of_all is not None:  # else `identify` refuses the rate
                of_short = at(source.of_short, rate)
                yield Threshold(f"{100 * rate:g} %, {name}", rate, of_all, of_short)


@dataclass(frozen=True)
class Recordings:
    """Recordings of speakers to enroll and to search: first whole ones, then crops."""

    material: Material
    num_whole: int

    @classmethod
    def read(cls, folder: Path, crops: Path | None) -> Recordings:
        whole = Material.read(folder)
        every = whole if crops is None else whole.joined(Material.read(crops))
        return cls(every, len(whole.names))

    def draw(self, size: int, seed: int) -> Iterator[Drawn]:
        """Speakers in random order, with rows to enroll and rows to search."""
        generator = np.random.default_rng([size, seed])
        rows_of = self.material.rows_of()
        for speaker in generator.permutation(sorted(rows_of)):
            every = rows_of[speaker]
            rows, crops = every[every < self.num_whole], every[every >= self.num_whole]
            half = len(rows) // 2
            enrolled = generator.permutation(rows[:half])[:ENROLLED]
            searched = generator.permutation(rows[half:])[:SEARCHED]
            of_first = np.array([Path(self.material.names[row]).name[0] == "a" for row in crops])
            if len(crops):
                of_second = generator.permutation(crops[~of_first])[:SEARCHED]
                searched = np.append(searched, of_second)
                enrolled = np.append(enrolled, generator.permutation(crops[of_first])[:1])
            yield str(speaker), enrolled, searched


def enroll(
    gallery: Gallery,
    evidence: CalibratedEvidence,
    material: Material,
    drawn: list[Drawn],
    size: int,
    before: int,
) -> list[Drawn]:
    """Enroll speakers until there are `size` voices, or nobody is left; returns those enrolled.

    Only rows before `before` are enrolled.
    """
    inside = []
    for each in drawn:
        name, rows, _ = each
        given = material.recordings(rows[rows < before])
        try:
            gallery.enroll_vectors(name, given, evidence, partial=True)
        except EnrollmentError:
            continue
        inside.append(each)
        if len(inside) == size:
            break
    return inside


def run(
    recordings: Recordings,
    calibration: Calibration,
    size: int,
    tested: dict[str, Material],
    enroll_crops: bool,
) -> None:
    counts: dict[str, Counts] = {}
    stated: list[tuple[float, bool]] = []
    entropy: list[float] = []
    refused = 0
    material = recordings.material
    before = len(material.names) if enroll_crops else recordings.num_whole
    for seed in range(SIZES[size]):
        drawn = list(recordings.draw(size, seed))
        evidence = CalibratedEvidence(calibration)
        with tempfile.TemporaryDirectory() as folder:
            identity = EncoderIdentity("measured", "0", "0", material.vectors.shape[1])
            gallery = Gallery.create(Path(folder) / "g.db", identity)
            inside = enroll(gallery, evidence, material, drawn, size, before)
            refused += sum(each.recording_sha256 == "" for each in gallery.refused_searches())
            outside = drawn[drawn.index(inside[-1]) + 1 :]
            known, outside = outside[::2], outside[1::2]
            voices = Voices.of(gallery.snapshot(), evidence)
            alone = Rates.of(gallery, voices, calibration)
            strangers = [(name, material.recordings(rows)) for name, rows, _ in known]
            more = Rates.of(gallery, voices, calibration, strangers)
        rows = np.concatenate([each for _, _, each in inside])
        targets = search(voices, material, rows, calibration)
        sets = searches_of_strangers(voices, material, outside, tested, calibration)
        for suffix, strange in sets.items():
            for threshold in thresholds(alone, more, calibration):
                if not suffix or "pair" not in threshold.name:
                    count(counts, threshold, suffix, strange, targets)
        others = [(each, False) for suffix, each in sets.items() if not suffix]
        for found, is_target in ((targets, True), *others):
            for llrs, right in zip(found.all_llrs, found.right, strict=True):
                seen = np.maximum(llrs, calibration.limits[0])
                enrolled, nobody = posterior(seen, size, 0.5, alone.of_all.least)
                best = max(float(enrolled[0]), nobody)
                is_right = bool(right) if enrolled[0] > nobody else not is_target
                stated.append((best, is_right))
                entropy.append(-np.log2(nobody if not is_target else max(1 - nobody, 1e-9)))
    print(
        f"{size} voices, {SIZES[size]} galleries; {100 * refused / SIZES[size] / size:.1f} % of "
        f"voices refused as enrolled already; least promise {100 * alone.of_all.least:.2g} %, with "
        f"{len(known)} strangers {100 * more.of_all.least:.2g} %; with little speech "
        f"{100 * alone.of_short.least:.2g} and {100 * more.of_short.least:.2g} %"
    )
    for name, counted in counts.items():
        print(f"  {name} [{len(counted.broken)}]: {counted}")
    _print_stated(stated, entropy)


def count(
    counts: dict[str, Counts], threshold: Threshold, suffix: str, strange: Search, targets: Search
) -> None:
    """Decide the searches of strangers and of voices in one gallery."""
    of_targets = {name: found for name, found, _ in threshold.parts(targets)}
    for part, found, llr in threshold.parts(strange):
        if not len(found.llrs):
            continue
        each = counts.setdefault(threshold.name + part + suffix, Counts())
        named = found.llrs >= llr
        each.strangers += zip(found.speakers, named.astype(float), strict=True)
        each.broken.append(bool(named.mean() > threshold.rate))
        own = of_targets[part]
        accepted = own.llrs >= llr
        each.missed += (~(own.right & accepted)).astype(float).tolist()
        each.wrong += (~own.right & accepted).astype(float).tolist()


def _print_stated(stated: list[tuple[float, bool]], entropy: list[float]) -> None:
    values = np.array(stated)
    edges = (0.5, 0.8, 0.9, 0.95, 1.01)
    cells = []
    for low, high in itertools.pairwise(edges):
        rows = (values[:, 0] >= low) & (values[:, 0] < high)
        if rows.any():
            cells.append(
                f"{100 * values[rows, 0].mean():.1f} % stated, {100 * values[rows, 1].mean():.1f} "
                f"% right ({rows.sum()})"
            )
    print(
        f"  probabilities of the likeliest answer: {'; '.join(cells)}; cross-entropy of "
        f"enrolled or not {np.mean(entropy):.3f} bits"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("calibration", type=Path)
    parser.add_argument("embeddings", type=Path)
    parser.add_argument("tested", type=Path, nargs="*")
    parser.add_argument("--crops", type=Path)
    parser.add_argument("--enroll-crops", action="store_true")
    parser.add_argument("--sizes", type=int, nargs="+", choices=SIZES, default=list(SIZES))
    options = parser.parse_args()
    calibration = read_calibration(options.calibration)
    recordings = Recordings.read(options.embeddings, options.crops)
    tested = {folder.name: Material.read(folder) for folder in options.tested}
    for size in options.sizes:
        run(recordings, calibration, size, tested, options.enroll_crops)


if __name__ == "__main__":
    main()
