"""Draw balanced, reproducible lists of trials from a corpus."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from timbral.data.manifest import Manifest, Utterance
from timbral.data.sources import find_utterances
from timbral.data.speakers import read_speakers, select_speakers
from timbral.errors import ConfigError, DataError
from timbral.io.outputs import FileKind, claim_file
from timbral.scoring.list_columns import COLUMNS_OF_NAMES, columns_file, write_columns
from timbral.scoring.list_speakers import speakers_file, write_speakers
from timbral.scoring.speaker_groups import speaker_groups
from timbral.scoring.trial_list import Trial
from timbral.scoring.trials import write_trials
from timbral.scoring.utterances_of_vectors import holds_vectors, utterances_of_vectors

__all__ = ["TrialSummary", "draw_balanced", "trials"]

TRIALS = FileKind("a list of trials", line=r"[01][ \t]\S.*")
SPEAKERS_OF_NAMES = FileKind("a list of recordings and speakers", line=r"[^\t]+\t[^\t]+")
FEW_ROWS = 300
"""for a speaker with at most this many recordings, all pairs are listed"""
FEW_GROUPS = 6
"""groups that an error message lists"""
TRIES = 50
"""attempts per non-target trial to draw a new pair"""


@dataclass(frozen=True)
class TrialSummary:
    """Counts of a drawn list of trials."""

    num_targets: int
    num_nontargets: int
    num_speakers: int
    num_without_targets: int
    """speakers without a target trial"""
    num_with_fewer: int = 0
    """other speakers with fewer target trials than requested, because they have few recordings"""


def trials(
    source: str | Path | Manifest,
    output: str | Path,
    *,
    layout: str = "auto",
    per_speaker: int = 50,
    across_sessions: bool = False,
    genders: str | Path | Mapping[str, str] | None = None,
    same: Sequence[str] = (),
    only_speakers: str | Path | None = None,
    seed: int = 0,
) -> TrialSummary:
    """Draw a list of trials from a corpus, the same number for every speaker, and write it.

    Args:
        source: a corpus as for `inspect`, utterances, or a folder of vectors from `embed` or
            `import_embeddings`
        output: the list, lines ``label path path`` with paths relative to a folder `source`; for
            vectors ``label id id``, as `score` takes them. OUTPUT.utt2spk is also written, with the
            speaker of each recording, for the intervals of `evaluate`, `score` and `compare`
        layout: layout of the corpus folder; ``auto`` detects it
        per_speaker: target trials per speaker, and as many non-target trials; fewer if there are
            not enough pairs
        across_sessions: pair different sessions in target trials, so that room and microphone do
            not help
        genders: the gender of each speaker, or a file of lines ``speaker gender`` (Kaldi's
            spk2gender): keep non-target trials within one gender; None: no restriction
        same: columns of the corpus, such as ``gender``, that must be equal for the two speakers of
            a non-target trial
        only_speakers: a file of speaker ids, one per line, to draw from, such as those excluded
            from `train`; None: all
        seed: random seed; the same corpus and seed give the same list

    Raises DataError if the corpus cannot be read, has no trials of one kind, a speaker has no
    gender, or one of `only_speakers` is missing; ConfigError for a `per_speaker` below 1.
    """
    of_vectors = isinstance(source, str | Path) and holds_vectors(source)
    if isinstance(source, Manifest):
        manifest = source
    elif of_vectors:
        manifest = utterances_of_vectors(source)
    else:
        manifest = find_utterances(source, layout)
    if only_speakers is not None:
        manifest = _only(manifest, Path(only_speakers))
    utterances = list(manifest)
    inputs = [x for x in (source, genders, only_speakers) if isinstance(x, str | Path)]
    claim_file(Path(output), TRIALS, inputs)
    speakers_path = speakers_file(output)
    claim_file(speakers_path, SPEAKERS_OF_NAMES, inputs)
    columns_path = columns_file(output)
    claim_file(columns_path, COLUMNS_OF_NAMES, inputs)
    drawn = draw_balanced(
        utterances,
        per_speaker=per_speaker,
        across_sessions=across_sessions,
        groups=speaker_groups(manifest, genders, same),
        seed=seed,
    )
    names = [row.utterance if of_vectors else _name(row.path, source) for row in utterances]
    write_speakers(output, zip(names, (row.speaker for row in utterances), strict=True))
    write_columns(columns_path, names, manifest)
    write_trials(output, [Trial(label, names[one], names[other]) for label, one, other in drawn])
    targets_of = Counter(utterances[first].speaker for label, first, _ in drawn if label)
    num_speakers, num_targets = len({row.speaker for row in utterances}), targets_of.total()
    return TrialSummary(
        num_targets,
        len(drawn) - num_targets,
        num_speakers,
        num_without_targets=num_speakers - len(targets_of),
        num_with_fewer=sum(each < per_speaker for each in targets_of.values()),
    )


def _only(manifest: Manifest, file: Path) -> Manifest:
    """The utterances of the speakers that a file lists."""
    speakers = manifest.table["speaker"].cast(pa.string())
    kept = select_speakers(read_speakers(file), pc.unique(speakers).to_pylist(), file)
    rows = pc.is_in(speakers, value_set=pa.array(sorted(kept), pa.string()))
    return manifest.with_rows(manifest.table.filter(rows))


def draw_balanced(
    utterances: Sequence[Utterance],
    *,
    per_speaker: int,
    across_sessions: bool = False,
    groups: Mapping[str, str] | None = None,
    seed: int = 0,
) -> list[tuple[int, int, int]]:
    """Trials (label, row, row) of utterances, drawn as `trials` describes.

    groups: the group of each speaker, within which non-target trials are drawn; None: among all.
    Raises as `trials` does.
    """
    if per_speaker < 1:
        raise ConfigError(f"`per_speaker` must be a number of trials, 1 or more; got {per_speaker}")
    if seed < 0:
        raise ConfigError(f"`seed` must be 0 or more; got {seed}")
    rows_of: dict[str, list[int]] = {}
    for row, utterance in enumerate(utterances):
        rows_of.setdefault(utterance.speaker, []).append(row)
    group_of = dict.fromkeys(rows_of, "") if groups is None else groups
    drawn: list[tuple[int, int, int]] = []
    seen: set[tuple[int, int]] = set()
    for number, (speaker, rows) in enumerate(sorted(rows_of.items())):
        generator = np.random.default_rng([seed, number])
        sessions = [utterances[row].session for row in rows] if across_sessions else None
        targets = _targets(rows, sessions, per_speaker, generator)
        drawn += [(1, *pair) for pair in targets]
        same = [name for name in rows_of if group_of[name] == group_of[speaker] and name != speaker]
        others = [rows_of[name] for name in sorted(same)]
        drawn += _nontargets(rows, others, len(targets), seen, generator)
    count = sum(label for label, _, _ in drawn)
    if not count:
        raise DataError(_why_no_targets(utterances, len(rows_of), across_sessions))
    if count == len(drawn):
        raise DataError(_why_no_nontargets(sorted(rows_of), groups))
    return drawn


def _why_no_targets(
    utterances: Sequence[Utterance], num_speakers: int, across_sessions: bool
) -> str:
    counts = f"{len(utterances)} recordings of {num_speakers} speakers"
    if not across_sessions or len(utterances) == num_speakers:
        return f"no target trial: no speaker has two recordings; there are {counts}"
    sessions = len({(row.speaker, row.session) for row in utterances})
    return (
        f"no target trial: with `across_sessions` a speaker needs two sessions; there are {counts} "
        f"in {sessions} sessions. A session is a folder between speaker and recording, or the "
        "column session of a table"
    )


def _why_no_nontargets(speakers: Sequence[str], groups: Mapping[str, str] | None) -> str:
    if len(speakers) == 1:
        return (
            f"no non-target trial: all recordings are of one speaker, {speakers[0]!r}; if they "
            "are not, give the corpus's `layout`"
        )
    counts = Counter((groups or {}).get(speaker, "") for speaker in speakers)
    each = ", ".join(f"{count} {group}" for group, count in sorted(counts.items())[:FEW_GROUPS])
    return f"no non-target trial: no two speakers are in the same group; there are {each}"


def _targets(
    rows: Sequence[int], sessions: Sequence[str] | None, count: int, generator: np.random.Generator
) -> list[tuple[int, int]]:
    """Up to `count` pairs of a speaker's rows, from different `sessions` if these are given."""
    if len(rows) <= FEW_ROWS:
        pairs = list(combinations(range(len(rows)), 2))
        order = generator.permutation(len(pairs)).tolist()
    else:  # too many pairs to list
        draws = np.sort(generator.integers(len(rows), size=(TRIES * count, 2)), axis=1).tolist()
        pairs = list(dict.fromkeys((one, other) for one, other in draws if one < other))
        order = list(range(len(pairs)))
    kept = [pairs[at] for at in order if sessions is None or _differ(sessions, *pairs[at])]
    return [(rows[one], rows[other]) for one, other in sorted(kept[:count])]


def _differ(sessions: Sequence[str], one: int, other: int) -> bool:
    return sessions[one] != sessions[other]


def _nontargets(
    rows: Sequence[int],
    others: Sequence[Sequence[int]],
    count: int,
    seen: set[tuple[int, int]],
    generator: np.random.Generator,
) -> list[tuple[int, int, int]]:
    """Up to `count` pairs of a speaker's rows with rows of other speakers, each equally likely."""
    drawn: list[tuple[int, int, int]] = []
    for _ in range(TRIES * count if others else 0):
        if len(drawn) == count:
            break
        other_rows = others[int(generator.integers(len(others)))]
        one = rows[int(generator.integers(len(rows)))]
        other = other_rows[int(generator.integers(len(other_rows)))]
        if (min(one, other), max(one, other)) not in seen:
            seen.add((min(one, other), max(one, other)))
            drawn.append((0, one, other))
    return drawn


def _name(path: str, source: str | Path | Manifest) -> str:
    """A path, relative to the folder `source` if it is in there."""
    if isinstance(source, Manifest) or not Path(source).is_dir():
        return path
    return path.removeprefix(os.path.abspath(source) + os.sep)
