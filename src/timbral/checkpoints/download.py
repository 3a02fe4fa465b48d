"""Published weights on this machine: downloaded, checked and converted once."""

from __future__ import annotations

from pathlib import Path

from timbral.checkpoints.conversion import is_whole, source_digest, write_converted
from timbral.checkpoints.foreign.registry import read_foreign
from timbral.checkpoints.foreign.weight_files import find_weights
from timbral.checkpoints.published import PUBLISHED
from timbral.checkpoints.weight_sources import Wheel
from timbral.errors import ConfigError, did_you_mean
from timbral.io.cache import cache_folder, cache_lock
from timbral.io.files import atomic_write

__all__ = ["download", "downloaded_folder"]

NOTE = "converted_from.txt"
"""names the digest of the local copy that weights were converted from"""


def download(name: str, weights_dir: str | Path | None = None) -> Path:
    """Get published weights, unless they are on this machine; returns their checkpoint folder.

    Args:
        name: of published weights, such as ``campplus-zh-en``; `timbral.models()` lists them
        weights_dir: a local copy (a file, or a folder as the Hub has it), which is converted
            instead: nothing is downloaded

    They are checked and kept in the user's cache folder (``$TIMBRAL_CACHE`` names another). Several
    processes may ask for the same at once. Raises ConfigError for an unknown name, CheckpointError
    for weights that cannot be had, MissingExtraError where the Hub's client is not installed.
    """
    if name not in PUBLISHED:
        raise ConfigError(f"unknown weights {name!r}{did_you_mean(name, PUBLISHED)}")
    entry, folder = PUBLISHED[name], _cache_folder(name)
    if weights_dir is None and is_whole(folder):
        return folder
    with cache_lock(folder.name):
        if weights_dir is not None:
            _convert_copy(name, Path(weights_dir))
        elif not is_whole(folder):
            with entry.source.downloaded() as source:
                weights = read_foreign(source, entry.format)
                write_converted(weights, folder, name, entry.license)
    return folder


def downloaded_folder(name: str) -> Path | None:
    """The checkpoint folder of published weights; None when they have not been downloaded."""
    folder = _cache_folder(name)
    return folder if is_whole(folder) else None


def _convert_copy(name: str, copy: Path) -> None:
    """Convert a local copy of published weights, unless these very files were converted last."""
    entry, folder = PUBLISHED[name], _cache_folder(name)
    if isinstance(entry.source, Wheel):
        entry.source.check(find_weights(copy))
    note, digest = folder / NOTE, source_digest(copy)
    if is_whole(folder) and note.exists() and note.read_text("utf-8") == digest:
        return
    write_converted(read_foreign(copy, entry.format), folder, name, entry.license)
    with atomic_write(note) as temporary:
        temporary.write_text(digest, "utf-8")


def _cache_folder(name: str) -> Path:
    source = PUBLISHED[name].source
    digest = f"-{source.sha256[:8]}" if isinstance(source, Wheel) else ""
    return cache_folder() / f"{name}{digest}"
