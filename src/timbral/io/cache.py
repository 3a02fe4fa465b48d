"""The user's cache folder, and locks in it."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from pathlib import Path

from timbral.errors import DataError
from timbral.io.locks import wait_for_flock

__all__ = ["cache_folder", "cache_lock"]


def cache_folder() -> Path:
    """Folder of downloaded and converted weights: $TIMBRAL_CACHE, else the user's cache folder.

    Raises DataError for a user without a home folder, as in some containers.
    """
    if base := os.environ.get("TIMBRAL_CACHE"):
        return Path(base)
    if base := os.environ.get("XDG_CACHE_HOME"):
        return Path(base) / "timbral"
    try:
        return Path.home() / ".cache" / "timbral"
    except RuntimeError:
        raise DataError(
            "there is no folder for downloaded weights, because this user has no home folder; set "
            "the environment variable TIMBRAL_CACHE to a folder"
        ) from None


def cache_lock(name: str) -> AbstractContextManager[None]:
    """Lock one entry of the cache; wait while another process has it locked.

    It avoids repeating another process's work; files are written completely even without it.
    """
    return wait_for_flock(cache_folder() / f".{name}.lock")
