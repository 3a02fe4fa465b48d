"""Recordings for measuring the ranges of the numbers in an exported graph."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

from timbral.audio.decode import Wave
from timbral.data.manifest import Utterance
from timbral.data.sources import find_utterances
from timbral.errors import AudioError, DataError
from timbral.inference.embedder import Embedder

__all__ = ["RangeCorpus", "range_waves"]

RangeCorpus: TypeAlias = str | Path | Sequence[Utterance]
"""a corpus as `find_utterances` takes it, or utterances of one"""
NUM_RECORDINGS = 64
LEAST_RECORDINGS = 8
SECONDS = 6.0
"""how many seconds of each recording are used, from its start"""


def range_waves(corpus: RangeCorpus, embedder: Embedder) -> list[Wave]:
    """Up to 64 preprocessed recordings (T,), spread over a corpus; unusable ones are left out.

    Raises the errors of `find_utterances`, and DataError if fewer than 8 can be used.
    """
    named = isinstance(corpus, str | Path)
    rows = find_utterances(corpus) if isinstance(corpus, str | Path) else corpus
    what = str(corpus) if named else "the corpus"
    num = min(NUM_RECORDINGS, len(rows))
    paths = [rows[round((len(rows) - 1) * number / max(num - 1, 1))].path for number in range(num)]
    longest = max(int(SECONDS * embedder.sample_rate), embedder.network.min_samples)
    waves, failures = [], []
    for loaded in embedder.try_load_many(paths):
        if isinstance(loaded, AudioError):
            failures.append(loaded)
        elif len(loaded) >= embedder.network.min_samples:
            waves.append(loaded[:longest])
    if len(waves) < LEAST_RECORDINGS:
        why = f"; {failures[0]}" if failures else ""
        raise DataError(
            f"{what}: only {len(waves)} of {num} recordings can be used; {LEAST_RECORDINGS} are "
            f"needed to measure the ranges of the encoder's numbers{why}"
        )
    return waves
