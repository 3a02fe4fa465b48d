"""Recordings to vectors, for a comparison; what an earlier one kept is taken over."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from timbral.audio.decode import Wave
from timbral.audio.quality.measures import Quality
from timbral.cloning.encoded_recording import EncodedRecording, unit
from timbral.cloning.kept_recordings import KeptRecordings
from timbral.errors import AudioError
from timbral.inference.embedder import Embedder
from timbral.io.threads import map_ahead

__all__ = ["encode_recordings"]

BATCH = 32


def encode_recordings(
    embedder: Embedder,
    paths: Sequence[str],
    on_done: Callable[[int], None],
    kept: KeptRecordings | None = None,
) -> tuple[dict[str, EncodedRecording], list[AudioError]]:
    """Vectors of recordings by path, and those that cannot be used; counts them to `on_done`.

    Each batch joins those that are `kept`, so that a killed comparison is resumed.
    """
    encoded = {} if kept is None else kept.known(paths)
    failures: list[AudioError] = []
    missing = [path for path in paths if path not in encoded]

    def load(path: str) -> tuple[Wave, Quality] | AudioError:
        try:
            return embedder.loader.load_measured(path, "path", None)
        except AudioError as error:
            return error

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
        for (name, (_, quality)), vector in zip(usable, vectors, strict=True):
            if np.isfinite(vector).all():
                batch[name] = EncodedRecording(unit(vector), quality)
            else:
                failures.append(AudioError(name, "has no finite vector", "not-finite"))
        if kept is not None:
            kept.add(batch)
        encoded |= batch
    on_done(len(paths))
    return encoded, failures
