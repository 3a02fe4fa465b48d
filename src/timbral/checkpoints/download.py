"""Download, check and convert published weights, once per machine."""

from __future__ import annotations

from pathlib import Path

from timbral.checkpoints.cached_weights import weights_folder
from timbral.checkpoints.checkpoint import Checkpoint, is_checkpoint
from timbral.checkpoints.conversion import is_readable, is_whole, source_files, write_converted
from timbral.checkpoints.foreign.weight_files import find_weights, holds_weights
from timbral.checkpoints.hub_encoder import download_from_hub, pinned_folder
from timbral.checkpoints.hub_names import hub_name
from timbral.checkpoints.published import PUBLISHED
from timbral.checkpoints.weight_sources import Hub
from timbral.errors import ConfigError, DataError, did_you_mean
from timbral.io.cache import cache_lock

__all__ = ["download", "downloaded_folder", "is_missing"]


def download(name: str, weights_dir: str | Path | None = None) -> Path:
    """Download published weights unless they are on this machine; returns their checkpoint folder.

    Args:
        name: published weights such as ``campplus-zh-en`` (`timbral.models()` lists them), or a
            Hugging Face Hub repository, ``user/repo`` or ``user/repo@revision``, in its current
            state: the name then means this commit until the next call
        weights_dir: a local copy (a file, or a folder as on the Hub) to convert instead, without a
            download

    The weights are checked and kept in the user's cache folder (``$TIMBRAL_CACHE`` sets another).
    Several processes may call this at the same time.

    Raises ConfigError for an unknown name, CheckpointError if the weights are not available,
    MissingExtraError if the Hub's client is not installed.
    """
    if name not in PUBLISHED:
        if (repository := hub_name(name)) is not None:
            if weights_dir is not None:
                raise ConfigError(
                    f"weights_dir needs the name of published weights, and {name} is not one; give "
                    f"the folder {weights_dir} itself as the encoder"
                )
            return download_from_hub(repository)
        raise ConfigError(f"unknown weights {name!r}{did_you_mean(name, PUBLISHED)}")
    entry, folder = PUBLISHED[name], weights_folder(name)
    if weights_dir is None and is_whole(folder):
        return folder
    with cache_lock(folder.name):
        if weights_dir is not None:
            _convert_copy(name, Path(weights_dir))
        elif not is_whole(folder):
            with entry.source.downloaded() as source:
                origin = {"source": str(entry.source), "version": entry.source.version}
                only = entry.source.files if isinstance(entry.source, Hub) else ()
                weights = source / only[0] if len(only) == 1 else source  # under any name
                _convert(name, weights, origin)
    return folder


def downloaded_folder(name: str) -> Path | None:
    """The checkpoint folder of published weights; None if they have not been downloaded."""
    try:
        folder = weights_folder(name)
    except DataError:  # a user without a home folder has downloaded nothing
        return None
    return folder if is_readable(folder) else None


def is_missing(name: str) -> bool:
    """Whether published weights or a Hub repository must be downloaded before use.

    False for paths and for unknown names.
    """
    if is_checkpoint(Path(name)) or holds_weights(Path(name)):
        return False
    if name in PUBLISHED:
        return downloaded_folder(name) is None
    repository = hub_name(name)
    return repository is not None and pinned_folder(repository) is None


def _convert_copy(name: str, copy: Path) -> None:
    """Convert a local copy of published weights, unless the same files were converted last."""
    folder = weights_folder(name)
    PUBLISHED[name].source.check_copy(find_weights(copy))
    if is_whole(folder) and Checkpoint.read(folder).origin.get("files") == source_files(copy):
        return
    _convert(name, copy, {"source": "a local copy"})


def _convert(name: str, source: Path, origin: dict[str, str]) -> None:
    """Convert weights into the cache, and record their origin."""
    from timbral.checkpoints.foreign.registry import read_foreign  # imports every reader

    entry = PUBLISHED[name]
    files = source_files(source)
    weights = read_foreign(source, entry.format)
    write_converted(weights, weights_folder(name), name, entry.license, {**origin, "files": files})
