"""Open-set identification: what is promised of a search, and what happens.

    python recipes/gallery/identification.py CALIBRATION.json EMBEDDINGS [TESTED …]

EMBEDDINGS is an `embed` folder of many speakers. Galleries of 10, 100 and 340 of them are drawn,
with 3 recordings of the first half of each speaker's, as `timbral enroll` does it: whom the guard
refuses is no part of them. Recordings of the second half are searched, and recordings of all the
other speakers, who are strangers. TESTED are `embed` folders of other speakers, who are strangers
only. All are decided at the threshold of all recordings, also those with little speech, for which
`timbral identify` has stricter ones. Prints, for each rate that is asked for: strangers who are
given any name, with a 95 % interval over speakers; enrolled speakers who are not found; wrong
names.
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

from timbral.calibration.calibration import Calibration
from timbral.calibration.calibration_file import read_calibration
from timbral.errors import ConfigError, EnrollmentError
from timbral.gallery.encoder_identity import EncoderIdentity
from timbral.gallery.evidence import CalibratedEvidence
from timbral.gallery.gallery import Gallery
from timbral.gallery.posterior import posterior
from timbral.gallery.search_rates import SearchRates
from timbral.gallery.stranger_searches import stranger_searches
from timbral.gallery.voice_search import Voices
from timbral.gallery.voices import conditions_of
from timbral.io.types import Floats, Ints

SIZES = {10: 60, 100: 24, 340: 12}
"""voices of a gallery, and how many galleries are drawn"""
ENROLLED, SEARCHED = 3, 2
RATES = (0.1, 0.05, 0.02, 0.01)


@dataclass
class Counts:
    """Of one way to decide, over galleries."""

    strangers: list[tuple[str, float]] = field(default_factory=list)
    """speaker, and the fraction of searches with a name"""
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
            f"strangers named {rate:.1f} ({low:.1f} to {high:.1f}) %, not found "
            f"{100 * np.mean(self.missed):.1f} %, wrong name {100 * np.mean(self.wrong):.2f} %, "
            f"galleries above the promise {100 * np.mean(self.broken):.0f} %"
        )


@dataclass(frozen=True)
class Search:
    """The best voice of searches: llr, whether it is the speaker's, and the speakers."""

    llrs: Floats
    right: Ints
    speakers: list[str]
    all_llrs: Floats


def search(voices: Voices, material: Material, rows: Ints) -> Search:
    conditions = conditions_of(material.recordings(rows))
    found = voices.likeliest(material.vectors[rows], conditions)
    llrs = found.llrs
    speakers = [material.speakers[row] for row in rows]
    best = [voices.names[row] for row in found.rows[:, 0]]
    right = np.array([a == b for a, b in zip(best, speakers, strict=True)])
    return Search(llrs[:, 0], right, speakers, llrs)


def searches_of_strangers(
    voices: Voices,
    material: Material,
    outside: list[tuple[str, Ints, Ints]],
    tested: dict[str, Material],
) -> dict[str, Search]:
    """Of the speakers that were drawn, where some are left, and of each other set, by its name."""
    sets = {
        f" ({name})": search(voices, each, np.arange(len(each.names)))
        for name, each in tested.items()
    }
    if outside:
        rows = np.concatenate([each for _, _, each in outside])
        return {"": search(voices, material, rows), **sets}
    return sets


def thresholds(
    rates: SearchRates, with_strangers: SearchRates, calibration: Calibration
) -> Iterator[tuple[str, float, float | None]]:
    for rate in RATES:
        pair = calibration.threshold(rate).llr
        yield f"{100 * rate:g} %, threshold of one pair", rate, pair
        for name, source in (("the gallery", rates), ("with strangers", with_strangers)):
            try:
                yield f"{100 * rate:g} %, {name}", rate, source.threshold(rate)
            except ConfigError:
                yield f"{100 * rate:g} %, {name}", rate, None


def draw(material: Material, size: int, seed: int) -> Iterator[tuple[str, Ints, Ints]]:
    """Speakers in random order, with rows to enroll and rows to search."""
    generator = np.random.default_rng([size, seed])
    rows_of = material.rows_of()
    for speaker in generator.permutation(sorted(rows_of)):
        rows = rows_of[speaker]
        half = len(rows) // 2
        yield (
            str(speaker),
            generator.permutation(rows[:half])[:ENROLLED],
            generator.permutation(rows[half:])[:SEARCHED],
        )


def enroll(
    gallery: Gallery,
    evidence: CalibratedEvidence,
    material: Material,
    drawn: list[tuple[str, Ints, Ints]],
    size: int,
) -> list[tuple[str, Ints, Ints]]:
    """Enroll speakers until there are `size` voices, or nobody is left; those that are enrolled."""
    inside = []
    for each in drawn:
        name, rows, _ = each
        try:
            gallery.enroll_vectors(name, material.recordings(rows), evidence, partial=True)
        except EnrollmentError:
            continue
        inside.append(each)
        if len(inside) == size:
            break
    return inside


def run(
    material: Material, calibration: Calibration, size: int, tested: dict[str, Material]
) -> None:
    counts: dict[str, Counts] = {}
    stated: list[tuple[float, bool]] = []
    entropy: list[float] = []
    refused = 0
    for seed in range(SIZES[size]):
        drawn = list(draw(material, size, seed))
        evidence = CalibratedEvidence(calibration)
        with tempfile.TemporaryDirectory() as folder:
            identity = EncoderIdentity("measured", "0", "0", material.vectors.shape[1])
            gallery = Gallery.create(Path(folder) / "g.db", identity)
            inside = enroll(gallery, evidence, material, drawn, size)
            refused += sum(each.recording_sha256 == "" for each in gallery.refused_searches())
            outside = drawn[drawn.index(inside[-1]) + 1 :]
            known, outside = outside[::2], outside[1::2]
            voices = Voices.of(gallery.snapshot(), evidence)
            pairs = voices.pairs()
            alone = SearchRates(voices.count, stranger_searches(gallery, voices), pairs)
            strangers = [(name, material.recordings(rows)) for name, rows, _ in known]
            more = SearchRates(voices.count, stranger_searches(gallery, voices, strangers), pairs)
        targets = search(voices, material, np.concatenate([each for _, _, each in inside]))
        sets = searches_of_strangers(voices, material, outside, tested)
        for suffix, strange in sets.items():
            for name, rate, threshold in thresholds(alone, more, calibration):
                if threshold is None or (suffix and "pair" in name):
                    continue
                count = counts.setdefault(name + suffix, Counts())
                named = strange.llrs >= threshold
                count.strangers += zip(strange.speakers, named.astype(float), strict=True)
                count.broken.append(bool(named.mean() > rate))
                count.missed.append(float(1 - (targets.right & (targets.llrs >= threshold)).mean()))
                count.wrong.append(float((~targets.right & (targets.llrs >= threshold)).mean()))
        others = [(each, False) for suffix, each in sets.items() if not suffix]
        for found, is_target in ((targets, True), *others):
            for llrs, right in zip(found.all_llrs, found.right, strict=True):
                seen = np.maximum(llrs, calibration.limits[0])
                each, nobody = posterior(seen, size, 0.5, alone.least)
                best = max(float(each[0]), nobody)
                is_right = bool(right) if each[0] > nobody else not is_target
                stated.append((best, is_right))
                entropy.append(-np.log2(nobody if not is_target else max(1 - nobody, 1e-9)))
    print(
        f"{size} voices, {SIZES[size]} galleries; {100 * refused / SIZES[size] / size:.1f} % of "
        f"voices refused as enrolled already; least promise {100 * alone.least:.2g} %, with "
        f"{len(known)} strangers {100 * more.least:.2g} %"
    )
    for name, count in counts.items():
        print(f"  {name} [{len(count.broken)}]: {count}")
    _print_stated(stated, entropy)


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
    options = parser.parse_args()
    calibration = read_calibration(options.calibration)
    material = Material.read(options.embeddings)
    tested = {folder.name: Material.read(folder) for folder in options.tested}
    for size in SIZES:
        run(material, calibration, size, tested)


if __name__ == "__main__":
    main()
