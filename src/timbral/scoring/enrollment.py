"""Models that a list of trials compares with recordings, as in NIST's evaluations and in SITW.

A model is a speaker enrolled with one or more recordings.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from timbral.errors import DataError
from timbral.io.text import read_lines, split_columns
from timbral.io.types import Ints
from timbral.scoring.nist_heading import HEADING, SIDE, check_sides, is_heading
from timbral.scoring.trial_list import TrialList

__all__ = ["AVERAGES", "NamedRecordings", "read_enrollment", "recordings_of"]

AVERAGES = ("vectors", "scores")
"""what is averaged over a model's recordings: their vectors, or their scores"""


@dataclass(frozen=True)
class NamedRecordings:
    """K names of a list: each is a model with its recordings, or a recording itself.

    `names` (K,) and `recordings` (R,) are strings, `starts` (K + 1,) integers: the recordings of
    name k, at least one, are `recordings[starts[k]:starts[k + 1]]`.
    """

    names: pa.Array
    recordings: pa.Array
    starts: Ints

    @classmethod
    def of(cls, recordings_of: Mapping[str, Collection[str]]) -> NamedRecordings:
        """From a mapping from names to recordings."""
        return cls(
            pa.array(recordings_of, pa.string()),
            pa.array([name for each in recordings_of.values() for name in each], pa.string()),
            np.append(0, np.cumsum([len(each) for each in recordings_of.values()])),
        )

    @property
    def are_single(self) -> bool:
        """Whether each name has one recording."""
        return len(self.recordings) == len(self.names)

    @property
    def name_of_each(self) -> Ints:
        """The name that each recording belongs to (R,)."""
        return np.repeat(np.arange(len(self.names)), np.diff(self.starts))


def read_enrollment(path: str | Path) -> NamedRecordings:
    """Read lines ``model recording [recording …]``; a model may have several lines.

    Words are separated by tabs or blanks. NIST's heading (modelid segmentid side) is recognized,
    and its sides are dropped. Raises DataError for a line without a recording, a recording listed
    twice for a model, and a recording with two sides.
    """
    path = Path(path)
    of_models: dict[str, dict[str, None]] = {}
    heading: list[str] = []
    sides: list[tuple[str, str]] = []
    for number, line in read_lines(path, "a list of enrollments"):
        words = split_columns(line)
        if number == 1 and is_heading(words):
            heading = words
            continue
        if line.startswith("#"):
            continue
        if heading:
            named = dict(zip(heading, words, strict=False))
            words = [named[name] for name in HEADING if name in named]
            if SIDE in named and len(words) > 1:
                sides.append((words[1], named[SIDE]))
        model, *recordings = words or [""]
        known = of_models.setdefault(model, {})
        repeated = [name for name in recordings if name in known]
        if not recordings or repeated or len(set(recordings)) < len(recordings):
            raise DataError(
                f"{path}:{number}: a line should be `model recording [recording …]`, with each "
                f"recording once per model; got {line!r}"
            )
        known.update(dict.fromkeys(recordings))
    check_sides(path, sides)
    if not of_models:
        raise DataError(
            f"{path}: contains no models; a line should be `model recording [recording …]`"
        )
    return NamedRecordings.of(of_models)


def recordings_of(trials: TrialList, enrollment: NamedRecordings | None) -> NamedRecordings:
    """The recordings of each name in a list; with `enrollment`, first sides are models.

    Raises DataError for a first side that is not enrolled, and a second side that is a model.
    """
    if enrollment is None:
        return NamedRecordings(trials.names, trials.names, np.arange(len(trials.names) + 1))
    at = np.asarray(pc.fill_null(pc.index_in(trials.names, value_set=enrollment.names), -1))
    first, second = np.unique(trials.first), np.unique(trials.second)
    unknown = first[at[first] < 0]
    if len(unknown):
        raise DataError(
            f"{len(unknown):,} models of the trials are not enrolled, the first "
            f"{trials.names[int(unknown[0])]}; a trial should contain a model and then a "
            "recording"
        )
    both = second[at[second] >= 0]
    if len(both):
        raise DataError(
            f"{trials.names[int(both[0])]} is both a model and a recording of the trials; rename "
            "one"
        )
    enrolled, bounds = enrollment.recordings.to_pylist(), enrollment.starts.tolist()
    return NamedRecordings.of(
        {
            name: enrolled[bounds[model] : bounds[model + 1]] if model >= 0 else [name]
            for name, model in zip(trials.names.to_pylist(), at.tolist(), strict=True)
        }
    )
