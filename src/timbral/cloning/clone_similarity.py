"""Compare cloned voices with their references, by several encoders.

Start reading this package here.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations
from pathlib import Path

from timbral.cloning.clone_figures import (
    SpeakerDraws,
    SystemDifference,
    SystemFigures,
    compare_systems,
    system_figures,
)
from timbral.cloning.clone_files import replaced_figures, write_clone_table, write_figures
from timbral.cloning.clone_page import write_clone_page
from timbral.cloning.clone_sources import NO_SPEAKERS, find_clones
from timbral.cloning.clones import CloneSet
from timbral.cloning.copies import Pair, copies, similar_pairs, similar_real_pairs
from timbral.cloning.encode_recordings import encode_recordings
from timbral.cloning.encoded_recording import EncodedRecording
from timbral.cloning.encoder_view import EncoderFacts, EncoderView, comparable
from timbral.cloning.gaming import GamingFlag, gaming_flags
from timbral.cloning.kept_recordings import KeptRecordings
from timbral.cloning.own_references import own_reference_notes
from timbral.errors import AudioError, DataError, InputError
from timbral.inference.embedder import Embedder
from timbral.inference.load import embedder_of
from timbral.io.files import write_jsonl
from timbral.io.outputs import SIMILARITY, claim_folder
from timbral.io.types import Progress
from timbral.scoring.intervals import check_draws
from timbral.version import __version__

__all__ = ["SimilarityReport", "clone_similarity"]

NO_INTERVAL = "no intervals: they need five or more speakers"
NO_SAME_SPEAKER = (
    "no anchor for the same speaker, since there are no real recordings of the references' "
    "speakers but the references and copies of them; give more of them as `corpus`"
)
NO_OTHER_SPEAKER = (
    "no anchor for the nearest other speaker, since all real recordings are of one speaker; give "
    "some of others as `corpus`"
)


@dataclass(frozen=True)
class SimilarityReport:
    """How similar clones are to their references."""

    figures: tuple[SystemFigures, ...]
    """the figures of each system by each encoder"""
    differences: tuple[SystemDifference, ...]
    """each pair of systems compared by each encoder"""
    flags: tuple[GamingFlag, ...]
    """systems that only one encoder places close to their references"""
    views: tuple[EncoderView, ...]
    """the cosines by each encoder"""
    lines: tuple[str, ...]
    """a line for a paper, for each of `figures`"""
    failures: tuple[AudioError, ...]
    """recordings that could not be used"""
    notes: tuple[str, ...]
    """remarks on the figures"""


def clone_similarity(
    encoders: Sequence[Embedder | str | Path],
    sources: Sequence[str | Path],
    output: str | Path | None = None,
    *,
    meta: str | Path | None = None,
    corpus: str | Path | None = None,
    layout: str = "auto",
    to_speaker: bool = False,
    draws: int = 1000,
    progress: Progress = lambda done, total: None,
) -> SimilarityReport:
    """Compare synthesized recordings with their references.

    Args:
        encoders: Embedders, or anything that `load_encoder` takes; with two or more, a system that
            suits only one of them is flagged
        sources: one list or table (synthesized, reference) per system; or one folder of synthesized
            recordings per system, followed by the folder of references, whose recordings have the
            same names
        output: a folder for report.html, similarity.png, similarity.json, clones.parquet,
            clones.csv, failures.jsonl, and the vectors, so that a killed comparison resumes and
            another encoder or system costs only its own time; None: no files
        meta: a meta.lst of seed-tts-eval; `sources` are then folders of synthesized recordings
        corpus: more recordings of the references' speakers, and of others, for the anchors
        layout: layout of the references' folder and of `corpus`
        to_speaker: compare with the mean of the speaker's recordings except the clone's reference
        draws: bootstrap draws of speakers for the intervals; 0: no intervals
        progress: called with the number of recordings encoded so far, and in all

    Raises DataError if nothing can be compared, CheckpointError for unusable encoders.
    """
    check_draws(draws)
    if isinstance(encoders, str | Path | Embedder) or not encoders:
        raise InputError("encoders: a list of encoders is needed, such as ['campplus-zh-en']")
    named = [str(each) for each in encoders if isinstance(each, str | Path)]
    twice = next((name for name in named if named.count(name) > 1), None)
    if twice is not None:
        raise InputError(f"encoders: {twice} is listed twice; list it once")
    inputs = [*sources, *(given for given in (meta, corpus) if given is not None)]
    if output is not None:
        claim_folder(Path(output), SIMILARITY, inputs)
    found = find_clones(
        sources, meta=meta, corpus=corpus, layout=layout, to_speaker=to_speaker
    ).bounded()
    views, failures = _views(encoders, found, output, progress)
    report = _report(views, found, failures, draws)
    if output is None:
        return report
    replaced = replaced_figures(Path(output), report.figures)
    _write(Path(output), report)
    if replaced is None:
        return report
    note = (
        f"this report replaced one in {output} that had {replaced}; the vectors are kept, so name "
        "all systems and encoders together for one report of all"
    )
    return replace(report, notes=(*report.notes, note))


def _views(
    encoders: Sequence[Embedder | str | Path],
    found: CloneSet,
    output: str | Path | None,
    progress: Progress,
) -> tuple[list[EncoderView], list[AudioError]]:
    real = [each.path for each in found.real]
    paths = list(dict.fromkeys([*(clone.synthesized for clone in found.clones), *real]))
    total = len(paths) * len(encoders)
    failures = {failure.path: failure for failure in found.failures}
    compared: list[tuple[EncoderFacts, Mapping[str, EncodedRecording]]] = []
    pairs: set[Pair] = set()
    for number, given in enumerate(encoders):
        embedder = embedder_of(given)
        advance = partial(_advance, progress, number * len(paths), total)
        kept = None if output is None else KeptRecordings(Path(output), embedder)
        encoded, failed = encode_recordings(embedder, paths, advance, kept)
        failures |= {failure.path: failure for failure in failed}
        if not comparable(found.clones, encoded):
            raise DataError(
                f"none of {len(found.clones)} clones could be compared; the first failure: "
                f"{next(iter(failures.values()))}"
            )
        compared.append((EncoderFacts.of(embedder), encoded))
        pairs |= similar_pairs(found.clones, encoded) | similar_real_pairs(found, encoded)
    copied = copies(pairs)
    views = [EncoderView.of(facts, found, encoded, copied) for facts, encoded in compared]
    return _named_apart(views, encoders), list(failures.values())


def _named_apart(
    views: Sequence[EncoderView], encoders: Sequence[Embedder | str | Path]
) -> list[EncoderView]:
    """The views; encoders of one name, as of two precisions, also have the word that they were
    given by.
    """
    times = Counter(view.encoder for view in views)
    named = []
    for number, (view, given) in enumerate(zip(views, encoders, strict=True), 1):
        word = str(given) if isinstance(given, str | Path) else f"{number}"
        is_alone = times[view.encoder] == 1
        named.append(view if is_alone else replace(view, encoder=f"{view.encoder} ({word})"))
    return named


def _advance(progress: Progress, before: int, total: int, done: int) -> None:
    progress(before + done, total)


def _report(
    views: Sequence[EncoderView], found: CloneSet, failures: Sequence[AudioError], draws: int
) -> SimilarityReport:
    speaker_draws = SpeakerDraws([clone.speaker for clone in found.clones], draws)
    systems = list(dict.fromkeys(clone.system for clone in found.clones))
    figures = [
        system_figures(view, system, speaker_draws)
        for system in systems
        for view in views
        if any(clone.system == system for clone in view.clones)
    ]
    differences = [
        difference
        for first, second in combinations(systems, 2)
        for view in views
        if (difference := compare_systems(view, first, second, speaker_draws)) is not None
    ]
    notes = [*own_reference_notes(views), *found.notes, *_without_anchor(figures, found)]
    if draws and any(each.interval is None for each in figures):
        notes.append(NO_INTERVAL)
    notes += [
        f"no position by {encoder}: it does not separate the references' speakers clearly from "
        "the nearest others"
        for encoder in _without_position(figures)
    ]
    hashes = {view.encoder: view.weights_sha256 for view in views}
    return SimilarityReport(
        figures=tuple(figures),
        differences=tuple(differences),
        flags=tuple(gaming_flags(views, systems, speaker_draws)),
        views=tuple(views),
        lines=tuple(line_of(each, hashes[each.encoder]) for each in figures),
        failures=tuple(failures),
        notes=tuple(notes),
    )


def _without_anchor(figures: Sequence[SystemFigures], found: CloneSet) -> list[str]:
    """A note for each of the two anchors that a system lacks, if none says it yet."""
    notes = []
    if any(math.isnan(each.same) for each in figures) and NO_SPEAKERS not in found.notes:
        notes.append(NO_SAME_SPEAKER)
    if any(math.isnan(each.other) for each in figures):
        notes.append(NO_OTHER_SPEAKER)
    return notes


def _without_position(figures: Sequence[SystemFigures]) -> list[str]:
    """The encoders that have both anchors of a system, but give it no position."""
    return list(
        dict.fromkeys(
            each.encoder
            for each in figures
            if math.isnan(each.position) and not math.isnan(each.same + each.other)
        )
    )


def line_of(figures: SystemFigures, weights_sha256: str) -> str:
    """All that a paper should say about a figure, in one line."""
    words = [f"{figures.system}: SIM {figures.mean:.3f}"]
    if figures.interval is not None:
        low, high = figures.interval.low, figures.interval.high
        words.append(f"(95 % over speakers {low:.3f} to {high:.3f})")
    if not math.isnan(figures.same):
        words.append(f"same speaker {figures.same:.3f}")
    if not math.isnan(figures.other):
        words.append(f"nearest other {figures.other:.3f}")
    if not math.isnan(figures.position):
        words.append(f"position {figures.position:.2f}")
    what = ", ".join(
        f"{number:,} {noun}{'' if number == 1 else 's'}"
        for number, noun in ((figures.num_clones, "utterance"), (figures.num_speakers, "speaker"))
    )
    words.append(f"[{figures.encoder} {weights_sha256[:8]}, {what}, timbral {__version__}]")
    return "  ".join(words)


def _write(folder: Path, report: SimilarityReport) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    write_figures(
        folder,
        report.views,
        report.figures,
        report.differences,
        report.flags,
        report.lines,
        report.notes,
    )
    write_clone_table(folder, report.views)
    write_jsonl(folder / "failures.jsonl", [failure.as_dict() for failure in report.failures])
    unusable = len(report.failures)
    recordings = "1 recording" if unusable == 1 else f"{unusable:,} recordings"
    missing = [f"{recordings} could not be used (failures.jsonl)"] if unusable else []
    write_clone_page(
        folder,
        report.views,
        report.figures,
        report.differences,
        report.flags,
        report.lines,
        [*report.notes, *missing],
    )
