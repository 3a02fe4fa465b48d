"""Pinned commits of Hub repositories on this machine: a file in the cache; needs no torch."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path

from timbral.checkpoints.hub_names import HubName
from timbral.errors import DataError
from timbral.io.cache import cache_folder
from timbral.io.files import read_json, write_json

__all__ = ["Pin", "find_commit", "find_pin", "folder_of", "pin_revision"]


@dataclass(frozen=True)
class Pin:
    """The commit of a revision when it was downloaded; kept until it is downloaded again."""

    commit: str
    files: dict[str, str] = field(default_factory=dict)
    """the SHA-256 of each file"""
    license: str = ""


def find_pin(name: HubName) -> Pin | None:
    """The pin of a name; None if it has not been downloaded to this machine."""
    try:
        pins = _read(name)
    except DataError:  # a user without a home folder has downloaded nothing
        return None
    return pins.get(name.revision)


def find_commit(name: HubName, commit: str) -> Pin | None:
    """The pin of a commit; None if it has not been downloaded."""
    return _read(name).get(commit)


def pin_revision(name: HubName, pin: Pin) -> None:
    """Pin a name to a commit."""
    pins = {**_read(name), name.revision: pin, pin.commit: pin}
    write_json(_path(name), {key: asdict(value) for key, value in pins.items()})


def folder_of(name: HubName, commit: str) -> Path:
    """The checkpoint folder of a commit, in the cache."""
    return cache_folder() / f"hub-{name.in_file_names}-{commit}"


def _path(name: HubName) -> Path:
    return cache_folder() / f"hub-{name.in_file_names}" / "pins.json"


def _read(name: HubName) -> dict[str, Pin]:
    """The pins of a repository by revision; empty if the file is missing or damaged."""
    path = _path(name)
    try:
        return {key: Pin(**value) for key, value in read_json(path).items()}
    except (AttributeError, DataError, TypeError):
        return {}
