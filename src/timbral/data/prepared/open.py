"""Open prepared data of any format that training reads."""

from __future__ import annotations

from pathlib import Path

from timbral.data.prepared.base import PreparedData
from timbral.data.prepared.mels import PrecomputedMels, holds_mels
from timbral.data.prepared.store import Store

__all__ = ["open_prepared"]


def open_prepared(folder: str | Path) -> PreparedData:
    """A store of PCM, or precomputed mels, `prepare`'s or PaddleSpeech's.

    Raises DataError for any other folder, or if its preparation was not finished.
    """
    folder = Path(folder)
    return PrecomputedMels.open(folder) if holds_mels(folder) else Store.open(folder)
