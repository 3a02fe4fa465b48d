"""Lists of trials: pairs of recordings to be verified."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from timbral.data.manifest import Utterance
from timbral.errors import DataError
from timbral.io.files import atomic_write
from timbral.io.text import BLANKS
from timbral.io.types import Ints
from timbral.scoring.trial_list import Trial, TrialList, read_trial_list

__all__ = [
    "draw_cross_session_trials",
    "draw_many_pairs",
    "draw_pairs",
    "read_labeled_list",
    "read_trials",
    "trial_line",
    "write_trials",
]


def read_trials(path: str | Path) -> list[Trial]:
    """The trials of `read_labeled_list` one by one."""
    return read_labeled_list(path).trials()


def read_labeled_list(path: str | Path) -> TrialList:
    """Read a list of target and non-target trials, as `read_trial_list` does.

    Raises DataError as that does, and when trials of one kind are missing.
    """
    listed = read_trial_list(path)
    if not listed.is_labeled:
        targets, nontargets = (int((listed.labels == label).sum()) for label in (1, 0))
        raise DataError(
            f"{path}: error rates need both target and non-target trials, such as `label path "
            f"path`; got {targets} target and {nontargets} non-target trials, and "
            f"{len(listed) - targets - nontargets} without a label. `timbral score` scores such a "
            "list, from vectors that `timbral embed` writes"
        )
    return listed


def draw_pairs(
    speakers: Sequence[str], *, max_per_kind: int = 2000, seed: int = 0
) -> list[tuple[int, int, int]]:
    """Draw trials (label, row, row) over utterances with these `speakers` (N,).

    As many target as non-target ones, at most `max_per_kind` of each; fewer when fewer pairs
    exist. Raises DataError when there is no pair of one kind.
    """
    rows_of = {name: np.flatnonzero(np.asarray(speakers) == name) for name in sorted(set(speakers))}
    pairs = [
        (int(rows[i]), int(rows[j]))
        for rows in rows_of.values()
        for i in range(len(rows))
        for j in range(i + 1, len(rows))
    ]
    if not pairs or len(rows_of) < 2:
        raise DataError(_too_few(len(rows_of), len(speakers)))
    generator = np.random.default_rng(seed)
    chosen = generator.permutation(len(pairs))[:max_per_kind]
    trials = [(1, *pairs[index]) for index in chosen]
    seen: set[tuple[int, int]] = set()
    for _ in range(20 * len(chosen)):
        if len(seen) == len(chosen):
            break
        first, second = sorted(generator.choice(len(speakers), size=2, replace=False).tolist())
        if speakers[first] != speakers[second]:
            seen.add((first, second))
    return trials + [(0, *pair) for pair in sorted(seen)]


def draw_many_pairs(speakers: Sequence[str], *, max_per_kind: int = 20_000, seed: int = 0) -> Ints:
    """Draw trials (N, 3) as `draw_pairs` does, but up to `max_per_kind` of each kind separately.

    More non-target than target trials cost little and make error rates steadier.
    """
    names, codes = np.unique(np.asarray(speakers), return_inverse=True)
    rows_of = [np.flatnonzero(codes == code) for code in range(len(names))]
    targets = [rows[np.stack(np.triu_indices(len(rows), 1), axis=1)] for rows in rows_of]
    generator = np.random.default_rng(seed)
    if len(names) < 2 or not any(map(len, targets)):
        raise DataError(_too_few(len(names), len(codes)))
    drawn = np.sort(generator.integers(len(codes), size=(4 * max_per_kind, 2)), axis=1)
    nontargets = np.unique(drawn[codes[drawn[:, 0]] != codes[drawn[:, 1]]], axis=0)
    chosen = [
        pairs[generator.permutation(len(pairs))[:max_per_kind]]
        for pairs in (np.concatenate(targets), nontargets)
    ]
    return np.concatenate([np.insert(chosen[0], 0, 1, axis=1), np.insert(chosen[1], 0, 0, axis=1)])


def draw_cross_session_trials(
    rows: Sequence[Utterance],
    genders: Mapping[str, str] | None = None,
    *,
    max_per_kind: int = 2000,
    seed: int = 0,
) -> list[Trial]:
    """Draw trials that cannot be decided by room, microphone or corpus.

    Target trials pair two sessions of a speaker; non-target trials two speakers of one corpus,
    and of one gender where `genders`, by speaker, knows both. At most `max_per_kind` of each kind,
    as many of one as of the other. Raises DataError when there is no pair of one kind.
    """
    known = genders or {}
    by_label: tuple[list[Trial], list[Trial]] = ([], [])  # non-target, target
    for index, first in enumerate(rows):
        for second in rows[index + 1 :]:
            label = int(first.speaker == second.speaker)
            if label:
                fits = first.session != second.session
            else:
                same_gender = known.get(first.speaker) == known.get(second.speaker)
                either_unknown = not known.keys() >= {first.speaker, second.speaker}
                fits = first.corpus == second.corpus and (same_gender or either_unknown)
            if fits:
                by_label[label].append(Trial(label, first.path, second.path))
    if not all(by_label):
        raise DataError(
            "cross-session trials need a speaker with two sessions, and two speakers of one "
            f"corpus; got {len(by_label[1])} target and {len(by_label[0])} non-target pairs"
        )
    count = min(max_per_kind, *map(len, by_label))
    generator = np.random.default_rng(seed)
    return [
        trials[index]
        for trials in reversed(by_label)
        for index in np.sort(generator.permutation(len(trials))[:count])
    ]


def write_trials(path: str | Path, trials: Sequence[Trial]) -> None:
    """Write lines ``label path path``, as `read_trials` reads them.

    A line's columns are separated by tabs if a path contains blanks, else by blanks. Raises
    DataError as `trial_line` does.
    """
    lines = [trial_line(str(trial.label), trial.first, trial.second) for trial in trials]
    with atomic_write(Path(path)) as temporary:
        temporary.write_text("".join(lines), "utf-8")


def trial_line(*words: str) -> str:
    """Words of a trial as one line, separated by blanks, or by tabs if a word contains blanks.

    Raises DataError for a word with a tab or line break, or with blanks at an end.
    """
    for word in words:
        if word != word.strip(BLANKS) or any(separator in word for separator in "\t\n\r"):
            raise DataError(
                f"{word!r}: cannot be written to a list of trials (it contains a tab or a line "
                "break, or begins or ends with a space); rename the file"
            )
    return ("\t" if any(" " in word for word in words) else " ").join(words) + "\n"


def _too_few(speakers: int, utterances: int) -> str:
    return (
        "trials need two speakers, and one speaker with two utterances; got "
        f"{speakers} speakers and {utterances} utterances"
    )
