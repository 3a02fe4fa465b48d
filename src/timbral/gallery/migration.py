"""What a migrated gallery stores: how its mapped voices are compared with new recordings."""

from __future__ import annotations

import base64
import json
from dataclasses import asdict, dataclass
from functools import cached_property

import numpy as np

from timbral.calibration.calibration import Calibration
from timbral.config.dataclass_fields import dataclass_of
from timbral.errors import ConfigError, DataError
from timbral.io.types import Floats

__all__ = ["Migration", "migration_of", "text_of", "text_of_matrix"]


@dataclass(frozen=True)
class Migration:
    """The map from one encoder's voices to another's; compared recordings are centered."""

    old_encoder: str
    old_weights_sha256: str
    new_mean: tuple[float, ...]
    """mean (E,) to subtract from the unit vectors on both sides"""
    calibration: Calibration
    """calibration of the scores of mapped voices and new recordings (`Bridge.scores`)"""
    penalty: float
    """penalty λ of the map"""
    cross_eer: float
    """EER of trials between a mapped voice and a new vector, of one recording each, of held-out
    speakers"""
    origin: str = ""
    """`Bridge.origin` in the format of `text_of_matrix`; empty in older migrations"""
    backward: str = ""
    """`Bridge.backward` in the same format"""

    @cached_property
    def origin_matrix(self) -> Floats | None:
        """(E, old E), by which mapped voices are weighted; ValueError for damaged text."""
        return self._matrix(self.origin)

    @cached_property
    def backward_matrix(self) -> Floats | None:
        """(E, old E), by which new recordings are weighted; ValueError for damaged text."""
        return self._matrix(self.backward)

    def _matrix(self, text: str) -> Floats | None:
        if not text:
            return None
        values = np.frombuffer(base64.b64decode(text, validate=True), "<f4")
        if not np.isfinite(values).all():
            raise ValueError("numbers that are not finite")
        return values.reshape(len(self.new_mean), -1).astype(np.float64)


def text_of(migration: Migration) -> str:
    """The text that the gallery stores."""
    return json.dumps(asdict(migration))


def text_of_matrix(matrix: Floats) -> str:
    """A matrix as text: rows of little-endian float32, in base64."""
    return base64.b64encode(matrix.astype("<f4").tobytes()).decode("ascii")


def migration_of(text: str, location: str) -> Migration | None:
    """Read what `text_of` wrote; None for an empty text, DataError for anything else."""
    if not text:
        return None
    try:
        migration = dataclass_of(Migration, json.loads(text), location)
        _ = migration.origin_matrix, migration.backward_matrix
        return migration
    except (ConfigError, TypeError, ValueError) as error:
        raise DataError(f"{location}: its migration is damaged ({error})") from None
