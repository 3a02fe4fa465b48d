"""The speakers of a list's recordings, which intervals are computed over."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from timbral.data.name_pairs import read_pairs
from timbral.embeddings.name_matching import match_loosely
from timbral.errors import DataError
from timbral.io.types import Ints
from timbral.scoring.enrollment import NamedRecordings
from timbral.scoring.trial_list import TrialList

__all__ = [
    "GUESSED",
    "Speakers",
    "certain_speakers_of",
    "known_speakers",
    "look_up",
    "numbered",
    "one_of_each",
    "speaker_names",
    "speakers_from_targets",
    "speakers_of",
]

Speakers = str | Path | Mapping[str, str]
"""the speaker of each name, or a file of lines ``name speaker``"""

STEM = r"^.*?([^/]+?)(\.[^./]*)?$"
"""the file name of a path without its suffix, which is often the utterance id in Kaldi"""

GUESSED = (
    "speakers are guessed from the target trials; one whose trials are not connected counts as "
    "several, which makes intervals too narrow. Give the speakers with `speakers`"
)


MOST_UNCERTAIN = 0.1
"""pairs of guessed speakers who may be one, per speaker, up to which a guess is certain: at least
nine of ten are then different speakers"""


def speakers_from_targets(trials: TrialList, recordings: NamedRecordings | None = None) -> Ints:
    """Speaker number of each name (K,), guessed: target trials join recordings of one speaker.

    The `recordings` of a model have its speaker, too. A name in no target trial counts as a speaker
    of its own. Speakers are numbered in the order of names, so that the draws of speakers in a
    bootstrap do not depend on the order of the trials.
    """
    groups = np.arange(len(trials.names))
    target = trials.labels == 1
    first, second = trials.first[target], trials.second[target]
    if recordings is not None:
        tests = np.asarray(
            pc.fill_null(pc.index_in(recordings.recordings, value_set=trials.names), -1)
        )
        first = np.append(first, recordings.name_of_each[tests >= 0])
        second = np.append(second, tests[tests >= 0])
    while True:
        lower = np.minimum(groups[first], groups[second])
        joined = groups.copy()
        np.minimum.at(joined, groups[first], lower)
        np.minimum.at(joined, groups[second], lower)
        joined = joined[joined][groups]
        if np.array_equal(joined, groups):
            break
        groups = joined
    least = np.full(len(groups), len(groups))
    np.minimum.at(least, groups, _ranks(trials.names))
    return np.unique(least[groups], return_inverse=True)[1].astype(np.int64)


def speakers_of(trials: TrialList, given: Speakers | None) -> Ints:
    """Speaker number of each name (K,): as `given`, else guessed from target trials."""
    if given is None:
        return speakers_from_targets(trials)
    return numbered(speaker_names(trials.names, given))


def certain_speakers_of(trials: TrialList, given: Speakers | None) -> Ints:
    """Like `speakers_of`, for what rests on the number of speakers.

    Guessed speakers are certain where non-target trials say of nearly every two that they differ.
    Raises DataError for others.
    """
    codes = speakers_of(trials, given)
    if given is not None:
        return codes
    count = int(codes.max()) + 1
    other = trials.labels == 0
    pairs = np.sort([codes[trials.first[other]], codes[trials.second[other]]], axis=0)
    differing = pairs[:, pairs[0] < pairs[1]]
    unknown = count * (count - 1) // 2 - len(np.unique(differing[0] * count + differing[1]))
    if unknown > MOST_UNCERTAIN * count:
        raise DataError(
            f"the speakers are unknown: target trials join the recordings into {count:,} groups, "
            f"but of {unknown:,} pairs of groups no trial says that they are two speakers. The "
            "promised rates rest on the number of speakers, so give `speakers`, a file of lines "
            "`name speaker`"
        )
    return codes


def speaker_names(
    names: pa.Array, given: Speakers, models: NamedRecordings | None = None
) -> pa.Array:
    """The speaker of each name (K,), strings.

    `given` maps names to speakers, or is a file of lines ``name speaker``, where a path may be
    given by its file name without the suffix. A model in `models` that is not given has the speaker
    of its recordings. Raises DataError for a name without a speaker, and a model with several.
    """
    speaker_of = _speaker_of_each(given)
    speakers = look_up(names, speaker_of)
    if models is not None:
        speakers = pc.coalesce(
            speakers, one_of_each(look_up(models.recordings, speaker_of), models)
        )
    if speakers.null_count:
        missing = names.filter(pc.is_null(speakers))
        where = "" if isinstance(given, Mapping) else f"{given}: "
        raise DataError(
            f"{where}{len(missing)} recordings have no speaker, the first: {missing[0]}"
        )
    return speakers


def known_speakers(recordings: NamedRecordings, given: Speakers) -> pa.Array:
    """The speaker of each recording (R,) by its name or its model's, strings; null without one."""
    speaker_of = _speaker_of_each(given)
    models = recordings.names.take(pa.array(recordings.name_of_each))
    return pc.coalesce(look_up(recordings.recordings, speaker_of), look_up(models, speaker_of))


def look_up(names: pa.Array, values: Mapping[str, str]) -> pa.Array:
    """The value of each name, or of its file name without the suffix (K,); null without one.

    Names still without one are matched by `match_loosely`.
    """
    known = pa.array(list(values), pa.string())
    stems = pc.replace_substring_regex(names, STEM, r"\1")
    rows = pc.coalesce(*(pc.index_in(keys, value_set=known) for keys in (names, stems)))
    if rows.null_count:
        matches = match_loosely(names.filter(pc.is_null(rows)), known)
        rows = pc.replace_with_mask(rows, pc.is_null(rows), pa.array(matches, pa.int32()))
        rows = pc.if_else(pc.less(rows, 0), None, rows)
    return pa.array(list(values.values()), pa.string()).take(rows)


def one_of_each(speakers: pa.Array, recordings: NamedRecordings) -> pa.Array:
    """The speaker of each name (K,) from those of its recordings (R,); DataError if they differ."""
    first = speakers.take(pa.array(recordings.starts[:-1]))
    expected = first.take(pa.array(recordings.name_of_each))
    differs = np.asarray(pc.fill_null(pc.not_equal(speakers, expected), False))
    if differs.any():
        row = int(np.argmax(differs))
        name = recordings.names[int(recordings.name_of_each[row])]
        raise DataError(
            f"{name} is enrolled with recordings of {expected[row]} and of {speakers[row]}, but a "
            "model must be of one speaker"
        )
    return first


def numbered(speakers: pa.Array) -> Ints:
    """Speaker numbers (K,) from 0, in alphabetical order; null counts as one more speaker."""
    encoded = speakers.dictionary_encode()
    numbers = np.append(_ranks(encoded.dictionary), len(encoded.dictionary))
    rows = np.asarray(pc.fill_null(encoded.indices, len(encoded.dictionary)))
    return np.asarray(numbers[rows])


def _ranks(names: pa.Array) -> Ints:
    """The position of each name (K,) in alphabetical order; names are distinct."""
    ranks = np.empty(len(names), dtype=np.int64)
    ranks[np.asarray(pc.sort_indices(names))] = np.arange(len(names))
    return ranks


def _speaker_of_each(given: Speakers) -> Mapping[str, str]:
    if isinstance(given, Mapping):
        return given
    return read_pairs(Path(given), "a list of speakers", single_words=True)
