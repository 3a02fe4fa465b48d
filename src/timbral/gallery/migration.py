"""What a gallery that was migrated keeps: how its mapped voices compare with new recordings."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from timbral.calibration.calibration import Calibration
from timbral.errors import ConfigError, DataError

__all__ = ["Migration", "migration_of", "text_of"]


@dataclass(frozen=True)
class Migration:
    """Of one encoder's voices to another's; new recordings are centered before they compare."""

    old_encoder: str
    old_weights_sha256: str
    new_mean: tuple[float, ...]
    """(E,), subtracted from unit vectors on both sides"""
    calibration: Calibration
    """of cosines of mapped voices and new recordings, so centered"""
    penalty: float
    """of the map"""
    cross_eer: float
    """mapped voice / new recording, one recording each, on speakers that were not fitted on"""


def text_of(migration: Migration) -> str:
    """As the gallery keeps it."""
    return json.dumps(asdict(migration))


def migration_of(text: str, location: str) -> Migration | None:
    """What `text_of` wrote; None for an empty text. DataError for anything else."""
    if not text:
        return None
    from timbral.config.yaml import from_mapping  # imports torch

    try:
        return from_mapping(Migration, json.loads(text), location)
    except (ConfigError, TypeError, ValueError) as error:
        raise DataError(f"{location}: its migration is damaged ({error})") from None
