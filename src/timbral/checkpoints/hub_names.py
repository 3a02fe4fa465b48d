"""Names of repositories of the Hugging Face Hub: ``user/repo``, ``user/repo@revision``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from timbral.errors import ConfigError

__all__ = ["MAIN", "HubName", "check_repository", "hub_name"]

MAIN = "main"
PREFIX = "hub:"
"""prefix of a name that must not be taken for a path"""
WORD = r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}"
REPOSITORY = re.compile(rf"{WORD}/{WORD}")
NAME = re.compile(rf"({WORD}/{WORD})(?:@([A-Za-z0-9][A-Za-z0-9._/-]{{0,127}}))?")
COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class HubName:
    """A repository of the Hub, at a branch, a tag or a commit."""

    repository: str
    revision: str = MAIN

    def __str__(self) -> str:
        return self.repository + ("" if self.revision == MAIN else f"@{self.revision}")

    @property
    def in_file_names(self) -> str:
        """The repository as part of a file name."""
        return self.repository.replace("/", "--")

    @property
    def is_commit(self) -> bool:
        """Whether the revision is a commit, which never changes."""
        return COMMIT.fullmatch(self.revision) is not None


def hub_name(encoder: str | Path) -> HubName | None:
    """The repository that an encoder's name means; None if it must be a path.

    ``user/repo`` is a path if it, or the folder ``user``, exists; ``hub:user/repo`` never is one.
    """
    text = str(encoder)
    match = NAME.fullmatch(text.removeprefix(PREFIX))
    if match is None:
        return None
    if not text.startswith(PREFIX) and (Path(text).exists() or Path(text).parent.is_dir()):
        return None
    return HubName(match[1], match[2] or MAIN)


def check_repository(name: str) -> None:
    """Raise ConfigError for an invalid name of a repository to upload to."""
    if REPOSITORY.fullmatch(name) is None or ".." in name or "--" in name:
        raise ConfigError(
            f"{name!r} is not the name of a repository on the Hugging Face Hub: USER/REPO, of "
            "letters, digits, . _ and -"
        )
