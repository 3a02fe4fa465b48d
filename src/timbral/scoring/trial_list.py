"""Lists of millions of trials, as columns.

A list names few recordings many times, so each name is kept once: ten million trials take 90 MB and
are read in seconds. A file with one separator and the same columns in every line is read as arrays
of bytes, any other file line by line, which also finds a faulty line.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from timbral.errors import DataError
from timbral.io.near_names import beside
from timbral.io.text import read_lines, split_columns, split_words
from timbral.io.types import Ints
from timbral.scoring.nist_heading import has_heading, without_heading
from timbral.scoring.regular_file import read_regular_columns

__all__ = [
    "LABELS",
    "UNKNOWN",
    "Trial",
    "TrialList",
    "read_columns",
    "read_trial_list",
    "to_trials",
]

LABELS = {"1": 1, "0": 0, "target": 1, "nontarget": 0, "tgt": 1, "imp": 0}
UNKNOWN = -1
"""label of a trial in a list without labels"""
ODD_NAME = r"^[ #]| $|[\t\r\x00\"\x{FEFF}]"
"""names that only reading line by line handles"""
NIST_COLUMNS = tuple(range(2, 33))
"""numbers of columns below NIST's heading, of which keys have many"""
QUOTED = re.compile(r'"([^"]+)"(?!\S)|(\S+)')
FORMS = "`label path path`, `path path label` or `path path`, label 1 or target, 0 or nontarget"


@dataclass(frozen=True, slots=True)
class Trial:
    """One pair; label 1 for a target trial (same speaker), 0 for a non-target trial."""

    label: int
    first: str
    second: str


@dataclass(frozen=True)
class TrialList:
    """N trials over K names of recordings.

    `labels` (N,): 1 target, 0 non-target, `UNKNOWN`; `first`, `second` (N,): positions in `names`,
    different strings (K,).
    """

    labels: NDArray[np.int8]
    first: NDArray[np.int32]
    second: NDArray[np.int32]
    names: pa.Array

    @classmethod
    def of(cls, trials: Sequence[Trial]) -> TrialList:
        """From single trials, in their order."""
        names: dict[str, int] = {}
        first = [names.setdefault(trial.first, len(names)) for trial in trials]
        second = [names.setdefault(trial.second, len(names)) for trial in trials]
        labels = np.array([trial.label for trial in trials], dtype=np.int8)
        sides = [np.array(rows, dtype=np.int32) for rows in (first, second)]
        return cls(labels, sides[0], sides[1], pa.array(names, pa.string()))

    def __len__(self) -> int:
        return len(self.labels)

    def trials(self) -> list[Trial]:
        """The trials one by one, in their order."""
        names = self.names.to_pylist()
        columns = (self.labels.tolist(), self.first.tolist(), self.second.tolist())
        return [
            Trial(label, names[one], names[two]) for label, one, two in zip(*columns, strict=True)
        ]

    @property
    def is_labeled(self) -> bool:
        """Whether there are both target and non-target trials, and no others."""
        return bool((self.labels == 1).any() and (self.labels == 0).any())

    def select(self, rows: NDArray[np.bool_] | Ints) -> TrialList:
        """The trials of `rows`, a mask (N,) or positions; `names` are kept."""
        return TrialList(self.labels[rows], self.first[rows], self.second[rows], self.names)


def read_trial_list(path: str | Path) -> TrialList:
    """Read a list of trials: of VoxCeleb, Kaldi, WeSpeaker, or without labels.

    Lines are ``label path path``, ``path path label`` or ``path path``; labels are 1 and 0, target
    and nontarget, or tgt and imp (SITW). Separators are tabs, or else blanks. Paths may contain
    blanks in lines with tabs, and in double quotes, which are removed if all paths have them or the
    lines cannot be read otherwise. Lines that begin with # are comments. NIST's heading (modelid
    segmentid side targettype …) says which columns are which. Raises DataError when the file cannot
    be read, is empty, or when lines differ, naming the first that does.
    """
    path = Path(path)
    labels = None
    if has_heading(path):
        columns = read_columns(path, NIST_COLUMNS, "a list of trials", FORMS)
        labels, *columns = without_heading(path, columns)
        if labels is not None and not _are_labels(labels):
            raise DataError(f"{path}: targettype must be target or nontarget, or 1 or 0")
        if not len(columns[0]):
            raise DataError(f"{path}: contains no trials below its heading")
        return to_trials(labels, *columns)
    columns = read_columns(path, (2, 3), "a list of trials", FORMS)
    if len(columns) == 3:
        at = next((index for index in (0, 2) if _are_labels(columns[index])), None)
        if at is None:
            raise DataError(_without_label(path))
        labels = columns.pop(at)
    if all(map(_are_quoted, columns)):
        columns = [_unquoted(column) for column in columns]
    return to_trials(labels, *columns)


def read_columns(
    path: Path, counts: tuple[int, ...], content: str, forms: str
) -> list[pa.DictionaryArray]:
    """The columns of a text file whose lines all have the same number of words, one of `counts`.

    `content` (with its article) and `forms` of a line are for errors. Raises DataError for any
    other file.
    """
    columns = _read_regular(path, counts, content) or _read_each_line(path, counts, content, forms)
    if not len(columns[0]):
        raise DataError(f"{path}: contains no trials; a trial is {forms}")
    return columns


def _read_regular(
    path: Path, counts: tuple[int, ...], content: str
) -> list[pa.DictionaryArray] | None:
    """The columns of a file whose lines all have the same form; None for any other."""
    try:
        columns = read_regular_columns(path, counts)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file{beside(path)}") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read as {content} ({error.strerror})") from None
    if columns is None:
        return None
    odd = (pc.match_substring_regex(column.dictionary, ODD_NAME) for column in columns)
    return None if any(pc.any(found).as_py() for found in odd) else columns


_Split: TypeAlias = Callable[[str], list[str]]


def _split_quoted(line: str) -> list[str]:
    """Words between blanks; one in double quotes may contain blanks, and loses its quotes."""
    return [quoted or plain for quoted, plain in QUOTED.findall(line)]


def _read_each_line(
    path: Path, counts: tuple[int, ...], content: str, forms: str, split: _Split = split_columns
) -> list[pa.DictionaryArray]:
    rows: list[list[str]] = []
    for number, line in read_lines(path, content):
        if line.startswith("#"):
            continue
        words = split(line)
        if len(words) not in counts or (rows and len(words) != len(rows[0])):
            if split is not _split_quoted and len(_split_quoted(line)) in counts and '"' in line:
                return _read_each_line(path, counts, content, forms, _split_quoted)
            raise DataError(
                f"{path}:{number}: a trial should be {forms}, the same in every line; got "
                f"{line!r}; if paths contain spaces, separate the columns by tabs, or quote the "
                "paths"
            )
        rows.append(words)
    columns = zip(*rows, strict=True) if rows else [[], []]
    return [pa.array(column, pa.string()).dictionary_encode() for column in columns]


def to_trials(
    labels: pa.DictionaryArray | None, first: pa.DictionaryArray, second: pa.DictionaryArray
) -> TrialList:
    """Trials from columns of text; None as labels: all `UNKNOWN`."""
    codes = np.full(len(first), UNKNOWN, dtype=np.int8)
    if labels is not None:
        of_words = [LABELS[word] for word in labels.dictionary.to_pylist()]
        codes = np.array(of_words, dtype=np.int8)[labels.indices.to_numpy()]
    names = pc.unique(pa.concat_arrays([first.dictionary, second.dictionary]))
    left, right = (
        pc.index_in(column.dictionary, names).to_numpy().astype(np.int32)[column.indices.to_numpy()]
        for column in (first, second)
    )
    return TrialList(codes, left, right, names)


def _are_quoted(column: pa.DictionaryArray) -> bool:
    return bool(pc.all(pc.match_substring_regex(column.dictionary, '^".+"$')).as_py())


def _unquoted(column: pa.DictionaryArray) -> pa.DictionaryArray:
    names = pc.replace_substring_regex(column.dictionary, '^"|"$', "")
    return pa.DictionaryArray.from_arrays(column.indices, names)


def _are_labels(column: pa.DictionaryArray) -> bool:
    return set(column.dictionary.to_pylist()) <= set(LABELS)


def _without_label(path: Path) -> str:
    """The message about the first line without a label in the column where most have one."""
    lines = [(n, split_words(line)) for n, line in read_lines(path, "a list of trials")]
    lines = [(number, words) for number, words in lines if not words[0].startswith("#")]
    at = max((0, -1), key=lambda column: sum(words[column] in LABELS for _, words in lines))
    number, words = next((n, words) for n, words in lines if words[at] not in LABELS)
    return f"{path}:{number}: a trial should be {FORMS}; got {' '.join(words)!r}"
