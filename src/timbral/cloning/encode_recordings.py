"""Compute the vectors of recordings for a comparison, and reuse those of an earlier one."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from timbral.audio.decode import Wave
from timbral.audio.quality.measures import Quality
from timbral.cloning.encoded_recording import EncodedRecording
from timbral.cloning.kept_recordings import KeptRecordings
from timbral.data.file_state import file_stamp
from timbral.embeddings.vectors import finite_rows, unit_length
from timbral.errors import AudioError
from timbral.inference.embedder import Embedder
from timbral.inference.recordings import no_finite_vector
from timbral.io.threads import map_ahead

__all__ = ["encode_recordings"]

BATCH = 32
"""recordings that are encoded and stored together"""


def encode_recordings(
    embedder: Embedder,
    paths: Sequence[str],
    on_done: Callable[[int], None],
    kept: KeptRecordings | None = None,
) -> tuple[dict[str, EncodedRecording], list[AudioError]]:
    """The vectors of recordings by path, and the recordings that cannot be used.

    `on_done` is called with the number of recordings done. Each batch is stored in `kept`, so that
    a killed comparison resumes.
    """
    encoded = {} if kept is None else kept.known(paths)
    failures: list[AudioError] = []
    missing = [path for path in paths if path not in encoded]
    stamps: dict[str, tuple[int, int]] = {}

    def load(path: str) -> tuple[Wave, Quality] | AudioError:
        stamps[path] = file_stamp(path)  # before it is read, in case it is being written
        return embedder.loader.try_load_measured(path, "path")

    loaded = map_ahead(load, missing)
    for start in range(0, len(missing), BATCH):
        on_done(len(paths) - len(missing) + start)
        names = missing[start : start + BATCH]
        pairs = [(name, next(loaded)) for name in names]
        failures += [found for _, found in pairs if isinstance(found, AudioError)]
        usable = [(name, found) for name, found in pairs if not isinstance(found, AudioError)]
        waves = [wave for _, (wave, _) in usable]
        vectors = embedder.encode_preprocessed(waves) if waves else np.empty((0, 0), np.float32)
        batch: dict[str, EncodedRecording] = {}
        for (name, (_, quality)), vector, finite in zip(
            usable, unit_length(vectors), finite_rows(vectors), strict=True
        ):
            if finite:
                batch[name] = EncodedRecording(vector, quality)
            else:
                failures.append(no_finite_vector(name))
        if kept is not None:
            kept.add(batch, stamps)
        encoded |= batch
    on_done(len(paths))
    return encoded, failures
