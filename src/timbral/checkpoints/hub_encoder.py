"""Encoders from the Hugging Face Hub, downloaded once and pinned to a commit."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from timbral.checkpoints.checkpoint import Checkpoint
from timbral.checkpoints.conversion import is_readable, is_whole, source_files, write_converted
from timbral.checkpoints.hub_names import HubName
from timbral.checkpoints.hub_pins import Pin, find_commit, find_pin, folder_of, pin_revision
from timbral.checkpoints.hub_repository import HubListing, list_repository
from timbral.checkpoints.known_files import METADATA_FILE
from timbral.checkpoints.weight_sources import Hub
from timbral.errors import CheckpointError
from timbral.io.cache import cache_lock
from timbral.io.files import atomic_folder, file_sha256, read_json, write_json

__all__ = ["download_from_hub", "pinned_folder"]


def pinned_folder(name: HubName) -> Path | None:
    """The checkpoint folder of a repository at its pinned commit.

    None if it has not been downloaded to this machine.
    """
    pin = find_pin(name)
    folder = None if pin is None else folder_of(name, pin.commit)
    return folder if folder is not None and is_readable(folder) else None


def download_from_hub(name: HubName) -> Path:
    """Download the current state of an encoder from the Hub; returns its checkpoint folder.

    Its revision is pinned to the commit found: `pinned_folder` returns that commit until the next
    call. Files are checked by their SHA-256; weights of other projects are converted without
    running their code. Raises CheckpointError if the repository is not available or contains no
    encoder, MissingExtraError without the Hub's client.
    """
    with cache_lock(f"hub-{name.in_file_names}"):
        listing = list_repository(name)
        folder, known = folder_of(name, listing.commit), find_commit(name, listing.commit)
        if is_whole(folder) and known is not None:
            pin_revision(name, known)
            return folder
        expected = {} if known is None else known.files
        source = Hub(name.repository, listing.needed(), listing.commit, expected)
        with source.downloaded() as files:
            hashes = {
                each: file_sha256(files / each)
                for each in listing.needed()
                if (files / each).is_file()
            }
            _write(files, listing, folder)
        pin_revision(name, Pin(listing.commit, hashes, listing.license))
    return folder


def _write(files: Path, listing: HubListing, folder: Path) -> None:
    """Create the checkpoint folder from the repository's files."""
    name, commit = listing.name, listing.commit
    pinned = str(HubName(name.repository, commit))
    origin: dict[str, Any] = {"source": f"Hub {name.repository}", "version": commit}
    if METADATA_FILE in listing.needed():
        _copy_checkpoint(files, listing, folder, pinned, origin)
        return
    from timbral.checkpoints.foreign.registry import read_foreign  # imports every reader

    weights = files / listing.needed()[0]
    try:
        converted = read_foreign(weights)
        origin = {**origin, "files": source_files(weights)}
        write_converted(converted, folder, pinned, listing.license, origin)
    except CheckpointError as error:
        raise CheckpointError(f"{name}: {_without(error, files)}") from None


def _copy_checkpoint(
    files: Path, listing: HubListing, folder: Path, name: str, origin: dict[str, Any]
) -> None:
    """Copy a checkpoint of timbral, changing only its name, license and origin."""
    try:
        checkpoint = Checkpoint.read(files)
        checkpoint.check_weights()
    except CheckpointError as error:
        raise CheckpointError(f"{listing.name}: {_without(error, files)}") from None
    content = read_json(files / METADATA_FILE)
    content["origin"] = {**origin, "checkpoint": dict(checkpoint.origin)}
    content["license"] = checkpoint.license or listing.license
    content["name"] = name
    with atomic_folder(folder) as temporary:
        for each in listing.needed():
            if each != METADATA_FILE:
                _link(files / each, temporary / each)
        write_json(temporary / METADATA_FILE, content)


def _link(source: Path, target: Path) -> None:
    """A hard link to a file, or a copy on another disk."""
    try:
        os.link(source.resolve(), target)
    except OSError:
        shutil.copyfile(source, target)


def _without(error: CheckpointError, folder: Path) -> str:
    """The message of an error, without the folder of the Hub's cache."""
    text = str(error).removeprefix(f"{folder}: ").removeprefix(f"{folder} is not a checkpoint: ")
    return text.replace(f"{folder}{os.sep}", "")
