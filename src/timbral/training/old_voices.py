"""Voices outside the new corpus, whose accuracy fine-tuning must keep (`keep_old`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from timbral.data.prepared.base import PreparedData
from timbral.data.prepared.open import open_prepared
from timbral.data.prepared.store import Store
from timbral.encoders.base import SpeakerEncoder
from timbral.errors import ConfigError, DataError
from timbral.io.types import Ints
from timbral.scoring.intervals import MIN_SPEAKERS
from timbral.scoring.trials import draw_many_pairs
from timbral.training.degraded_copies import DegradedCopies
from timbral.training.validation import Validation, ValidationResult

__all__ = ["MAX_SPEAKERS", "OldVoices", "WatchedValidation", "check_new_voices", "open_old_voices"]

MAX_SPEAKERS = 200
"""speakers from each folder, evenly spread: enough for an interval, few enough to be quick"""
UTTERANCES_PER_SPEAKER = 10
"""most recordings of an old speaker that are compared: more speakers narrow an interval, more
recordings of each hardly do"""


@dataclass(frozen=True)
class OldVoices:
    """Prepared data of other voices, and trials among them."""

    name: str
    """name of the folder, unique within a run"""
    validation: Validation
    degraded: Validation | None = None
    """the same recordings as degraded copies; None where there is no audio, as in mels"""


class WatchedValidation(Validation):
    """Validation on new voices that also measures the error rate of old ones.

    Its metrics include `val_old_eer`, the highest EER of the old voices, and `val_old_eer_NAME` for
    each if there are several.
    """

    def __init__(self, data: PreparedData, rows: Ints, old: Sequence[OldVoices]) -> None:
        super().__init__(data, rows)
        self.old = tuple(old)

    def compared(self) -> list[tuple[str, Validation]]:
        """New voices, then all kinds of old ones, by name, in as many trials as they allow."""
        new = Validation(self.data, self.rows, draw=draw_many_pairs)
        found = [("new voices", new)]
        for one in self.old:
            name = f" ({one.name})" if len(self.old) > 1 else ""
            found.append((f"old voices{name}", one.validation))
            if one.degraded is not None:
                found.append((f"degraded old voices{name}", one.degraded))
        return found

    def run(self, encoder: SpeakerEncoder) -> ValidationResult | None:
        result = super().run(encoder)
        if result is None:
            return None
        rates: dict[str, float] = {}
        for voices in self.old:
            watched = voices.validation.run(encoder)
            if watched is None:
                return None
            rates[f"val_old_eer_{voices.name}"] = watched.metrics["val_eer"]
        named = rates if len(rates) > 1 else {}
        metrics = {**result.metrics, "val_old_eer": max(rates.values()), **named}
        return replace(result, metrics=metrics)


def open_old_voices(
    folders: Sequence[Path], encoder: SpeakerEncoder, *used: tuple[PreparedData, Ints]
) -> list[OldVoices]:
    """The old voices of prepared data; `used` is the training and validation data.

    From each folder at most MAX_SPEAKERS speakers with two or more sufficiently long recordings are
    used. Raises ConfigError for data with other preprocessing, DataError for too few speakers, or
    for speakers that are also in `used`.
    """
    opened = []
    data = used[0][0]
    for name, folder in zip(_names(folders), folders, strict=True):
        old = open_prepared(folder)
        old.check_encoder(encoder)
        if old.preprocessing != data.preprocessing:
            raise ConfigError(
                f"`keep_old`: {folder} was prepared with {old.preprocessing}, but {data.folder} "
                f"with {data.preprocessing}; prepare both with the same settings"
            )
        _refuse_shared(used, old)
        opened.append(_watched(name, old, _usable(old, encoder.min_samples), encoder.min_samples))
    return opened


def _watched(name: str, old: PreparedData, rows: Ints, min_samples: int) -> OldVoices:
    watched = _many_trials(old, rows)
    if not isinstance(old, Store):
        return OldVoices(name, watched)
    copies = DegradedCopies(old, watched.rows, min_samples)
    return OldVoices(name, watched, _many_trials(copies, watched.rows))


def _many_trials(data: PreparedData, rows: Ints) -> Validation:
    return Validation(data, rows, utterances=UTTERANCES_PER_SPEAKER, draw=draw_many_pairs)


def check_new_voices(data: PreparedData, rows: Ints) -> None:
    """Raise DataError for validation rows of too few speakers for an interval."""
    count = len(_with_two(data, rows))
    if count < MIN_SPEAKERS:
        raise DataError(
            f"`keep_old` needs at least {MIN_SPEAKERS} validation speakers with two or more "
            f"recordings each; {data.folder} has {count}: hold out more with validation_speakers, "
            "such as 20, or give validation_data"
        )


def _usable(old: PreparedData, min_samples: int) -> Ints:
    """Rows of the speakers to watch."""
    rows = np.flatnonzero(old.samples >= min_samples)
    codes = _with_two(old, rows)
    if len(codes) < MIN_SPEAKERS:
        raise DataError(
            f"`keep_old`: {old.folder} has {len(codes)} speakers with two or more recordings that "
            f"are long enough; at least {MIN_SPEAKERS} are needed"
        )
    count = min(MAX_SPEAKERS, len(codes))
    watched = codes[np.arange(count) * len(codes) // count]
    return rows[np.isin(old.speaker_codes[rows], watched)]


def _with_two(data: PreparedData, rows: Ints) -> Ints:
    """Codes of the speakers with two or more rows."""
    codes, counts = np.unique(data.speaker_codes[rows], return_counts=True)
    return np.asarray(codes[counts > 1])


def _refuse_shared(used: Sequence[tuple[PreparedData, Ints]], old: PreparedData) -> None:
    """Raise DataError for speakers in both: of one corpus and name, or with a common recording."""
    voices: set[tuple[str, str]] = set()
    paths: set[str] = set()
    for data, rows in used:
        taken = data.table.take(rows)
        voices |= set(_speakers(taken))
        paths |= set(taken["path"].to_pylist()) - {"", None}
    of_old = zip(_speakers(old.table), old.table["path"].to_pylist(), strict=True)
    shared = {voice[1] for voice, path in of_old if voice in voices or path in paths}
    if shared:
        names = sorted(shared)
        more = " …" if len(names) > 3 else ""
        raise DataError(
            f"`keep_old`: {len(names)} of the speakers of {old.folder} are also in "
            f"{used[0][0].folder}: {', '.join(names[:3])}{more}. Old voices must not be used in "
            "training or validation: list them in exclude_speakers, or prepare the old voices "
            "without them"
        )


def _speakers(table: pa.Table) -> list[tuple[str, str]]:
    """Corpus and name of each row's speaker, as ids such as 19 occur in several corpora."""
    return list(zip(table["corpus"].to_pylist(), table["speaker"].to_pylist(), strict=True))


def _names(folders: Sequence[Path]) -> list[str]:
    """The folders' names, or their full paths if two have the same name."""
    names = [folder.resolve().name for folder in folders]
    if len(set(names)) < len(names):
        names = [str(folder) for folder in folders]
    if len(set(names)) < len(names):
        raise ConfigError("`keep_old` contains a folder twice")
    return names
