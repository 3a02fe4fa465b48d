"""Who speaks in the recordings of a list of trials: intervals are over speakers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from timbral.errors import DataError
from timbral.io.text import read_lines, split_words
from timbral.io.types import Ints
from timbral.scoring.trial_list import TrialList

__all__ = ["GUESSED", "read_map", "speakers_from_targets", "speakers_of"]

STEM = r"^.*?([^/]+?)(\.[^./]*)?$"
"""of a path: the file's name without its suffix, which utterance ids of Kaldi often are"""

GUESSED = (
    "speakers are guessed from the target trials, and one whose trials do not hang together counts "
    "as several, which narrows intervals; `speakers` tells who speaks"
)


def speakers_from_targets(trials: TrialList) -> Ints:
    """A number of a speaker for each name (K,): target trials join recordings of one speaker.

    A recording in no target trial counts as a speaker of its own.
    """
    of = np.arange(len(trials.names))
    target = trials.labels == 1
    first, second = trials.first[target], trials.second[target]
    while True:
        lower = np.minimum(of[first], of[second])
        joined = of.copy()
        np.minimum.at(joined, of[first], lower)
        np.minimum.at(joined, of[second], lower)
        joined = joined[joined][of]
        if np.array_equal(joined, of):
            return np.unique(of, return_inverse=True)[1].astype(np.int64)
        of = joined


def speakers_of(trials: TrialList, given: str | Path | Mapping[str, str] | None) -> Ints:
    """A number of a speaker for each name (K,).

    `given` maps names to speakers, or is a file of lines ``name speaker``, where the name of a path
    may be its file's without the suffix; None: as target trials join recordings. Raises DataError
    for a name without a speaker.
    """
    if given is None:
        return speakers_from_targets(trials)
    of = given if isinstance(given, Mapping) else read_map(Path(given))
    known = pa.array(list(of), pa.string())
    stems = pc.replace_substring_regex(trials.names, STEM, r"\1")
    rows = pc.coalesce(*(pc.index_in(keys, value_set=known) for keys in (trials.names, stems)))
    if rows.null_count:
        missing = trials.names.filter(pc.is_null(rows))
        raise DataError(f"{len(missing)} recordings have no speaker, the first: {missing[0]}")
    speakers = pa.array(list(of.values()), pa.string()).take(rows)
    return np.asarray(speakers.dictionary_encode().indices, dtype=np.int64)


def read_map(path: Path) -> dict[str, str]:
    """Lines ``name speaker``, as Kaldi's utt2spk; DataError for another line, or a name twice."""
    speakers: dict[str, str] = {}
    for number, line in read_lines(path, "a list of speakers"):
        words = line.split("\t") if line.count("\t") == 1 else split_words(line)
        if len(words) != 2 or words[0] in speakers:
            raise DataError(
                f"{path}:{number}: a line is `name speaker`, each name once; got {line!r}"
            )
        speakers[words[0]] = words[1]
    return speakers
