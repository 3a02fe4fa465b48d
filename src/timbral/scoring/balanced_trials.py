"""Lists of trials drawn from a corpus: as many for every speaker, the same every time."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np

from timbral.data.manifest import Utterance
from timbral.data.sources import find_utterances
from timbral.errors import ConfigError, DataError
from timbral.io.files import atomic_write
from timbral.io.outputs import FileKind, claim_file
from timbral.scoring.trial_list import Trial
from timbral.scoring.trial_speakers import read_map
from timbral.scoring.trials import write_trials

__all__ = ["TrialSummary", "draw_balanced", "trials"]

TRIALS = FileKind("a list of trials", line=r"[01][ \t]\S.*")
SPEAKERS_OF_NAMES = FileKind("a list of recordings and speakers", line=r"[^\t]+\t[^\t]+")
FEW_ROWS = 300
"""recordings of a speaker whose pairs can all be listed"""
TRIES = 50
"""draws of a non-target trial before a speaker has all that can be found"""


@dataclass(frozen=True)
class TrialSummary:
    """What a drawn list holds."""

    num_targets: int
    num_nontargets: int
    num_speakers: int
    num_without_targets: int
    """speakers of whom no two recordings make a target trial"""


def trials(
    source: str | Path,
    output: str | Path,
    *,
    layout: str = "auto",
    per_speaker: int = 50,
    across_sessions: bool = False,
    genders: str | Path | Mapping[str, str] | None = None,
    seed: int = 0,
) -> TrialSummary:
    """Draw a list of trials from a corpus, as many for every speaker, and write it.

    Args:
        source: a corpus as `inspect` takes it
        output: the list, lines ``label path path``; paths below a folder `source` start from it.
            Beside it, OUTPUT.utt2spk has the speaker of each recording, for `speakers` of
            `evaluate`, `score` and `compare`
        layout: how a corpus's folder is laid out; ``auto`` recognizes it
        per_speaker: target trials of each speaker, and as many non-target ones with others; fewer
            where there are not so many pairs
        across_sessions: pair only recordings of different sessions in target trials, so that room
            and microphone do not help
        genders: the gender of each speaker, or a file of lines ``speaker gender`` (Kaldi's
            spk2gender): non-target trials are within one gender; None: among all
        seed: of the draws; the same corpus and seed give the same list

    Raises DataError when the corpus cannot be read, gives no trial of one kind, or when a speaker
    has no gender; ConfigError for a `per_speaker` below 1.
    """
    found = list(find_utterances(source, layout))
    inputs = [x for x in (source, genders) if isinstance(x, str | Path)]
    claim_file(Path(output), TRIALS, inputs)
    of_names = Path(f"{output}.utt2spk")
    claim_file(of_names, SPEAKERS_OF_NAMES, inputs)
    drawn = draw_balanced(
        found,
        per_speaker=per_speaker,
        across_sessions=across_sessions,
        genders=genders
        if genders is None or isinstance(genders, Mapping)
        else read_map(Path(genders)),
        seed=seed,
    )
    names = [_name(row.path, source) for row in found]
    _write_speakers(of_names, names, found)
    write_trials(output, [Trial(label, names[one], names[other]) for label, one, other in drawn])
    with_targets = {found[first].speaker for label, first, _ in drawn if label}
    speakers = {row.speaker for row in found}
    targets = sum(label for label, _, _ in drawn)
    return TrialSummary(
        targets, len(drawn) - targets, len(speakers), len(speakers) - len(with_targets)
    )


def draw_balanced(
    utterances: Sequence[Utterance],
    *,
    per_speaker: int,
    across_sessions: bool = False,
    genders: Mapping[str, str] | None = None,
    seed: int = 0,
) -> list[tuple[int, int, int]]:
    """(label, row, row) of trials, as `trials` describes them."""
    if per_speaker < 1:
        raise ConfigError(f"per_speaker is a number of trials, 1 or more; got {per_speaker}")
    if seed < 0:
        raise ConfigError(f"seed is 0 or more; got {seed}")
    rows_of: dict[str, list[int]] = {}
    for row, utterance in enumerate(utterances):
        rows_of.setdefault(utterance.speaker, []).append(row)
    gender_of = dict.fromkeys(rows_of, "") if genders is None else genders
    unknown = sorted(rows_of.keys() - gender_of.keys())
    if unknown:
        raise DataError(f"{len(unknown)} speakers have no gender, the first: {unknown[0]}")
    drawn: list[tuple[int, int, int]] = []
    seen: set[tuple[int, int]] = set()
    for number, (speaker, rows) in enumerate(sorted(rows_of.items())):
        generator = np.random.default_rng([seed, number])
        sessions = [utterances[row].session for row in rows] if across_sessions else None
        targets = _targets(rows, sessions, per_speaker, generator)
        drawn += [(1, *pair) for pair in targets]
        same = [
            name for name in rows_of if gender_of[name] == gender_of[speaker] and name != speaker
        ]
        others = [rows_of[name] for name in sorted(same)]
        drawn += _nontargets(rows, others, len(targets), seen, generator)
    count = sum(label for label, _, _ in drawn)
    if not 0 < count < len(drawn):
        raise DataError(
            "trials need two speakers (of one gender) and a speaker with two recordings (of "
            f"different sessions); got {count} target and {len(drawn) - count} non-target trials"
        )
    return drawn


def _targets(
    rows: Sequence[int], sessions: Sequence[str] | None, count: int, generator: np.random.Generator
) -> list[tuple[int, int]]:
    """Up to `count` pairs of a speaker's rows, of different `sessions` where these are given."""
    if len(rows) <= FEW_ROWS:
        pairs = list(combinations(range(len(rows)), 2))
        order = generator.permutation(len(pairs)).tolist()
    else:  # too many pairs to be listed
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
    """Up to `count` pairs of a speaker's rows with other speakers', every speaker as likely."""
    drawn: list[tuple[int, int, int]] = []
    for _ in range(TRIES * count if others else 0):
        if len(drawn) == count:
            break
        theirs = others[int(generator.integers(len(others)))]
        one = rows[int(generator.integers(len(rows)))]
        other = theirs[int(generator.integers(len(theirs)))]
        if (min(one, other), max(one, other)) not in seen:
            seen.add((min(one, other), max(one, other)))
            drawn.append((0, one, other))
    return drawn


def _write_speakers(path: Path, names: Sequence[str], rows: Sequence[Utterance]) -> None:
    lines = (f"{name}\t{row.speaker}\n" for name, row in zip(names, rows, strict=True))
    with atomic_write(path) as temporary:
        temporary.write_text("".join(lines), "utf-8")


def _name(path: str, source: str | Path) -> str:
    """A path below the folder `source` from there, any other as it is."""
    root = os.path.abspath(source) + os.sep
    return path.removeprefix(root) if Path(source).is_dir() else path
