"""Recordings that the ranges of an exported graph's numbers are taken from."""

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
"""of each, from its beginning"""


def range_waves(corpus: RangeCorpus, embedder: Embedder) -> list[Wave]:
    """Preprocessed recordings (T,), up to 64, spread over a corpus; unusable ones are left out.

    Raises DataError as `find_utterances` does, and where fewer than 8 can be used.
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
