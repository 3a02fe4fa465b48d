"""List the files, commit and license of a Hugging Face Hub repository."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from timbral.checkpoints.hub_names import HubName
from timbral.checkpoints.known_files import (
    CONFIG_FILES,
    METADATA_FILE,
    RECIPE_FILES,
    WEIGHT_FILES,
    WEIGHTS_FILE,
)
from timbral.errors import CheckpointError, first_line
from timbral.io.hub_client import NEEDS_CONSENT, hub_client

__all__ = ["HubListing", "hub_failure", "list_repository"]

WEIGHT_SUFFIXES = (".pt", ".pth", ".bin", ".ckpt", ".safetensors", ".pdparams", ".model")
BESIDE_WEIGHTS = (*CONFIG_FILES, *RECIPE_FILES)
BESIDE_CHECKPOINT = (WEIGHTS_FILE, "calibration.json")
MOST_FILES_SHOWN = 6


@dataclass(frozen=True)
class HubListing:
    """The files of a repository at one commit."""

    name: HubName
    commit: str
    files: tuple[str, ...]
    license: str = ""
    """as stated on its card; empty if it is not"""

    def needed(self) -> tuple[str, ...]:
        """The files of an encoder: those of a checkpoint, else weights and their configs.

        Raises CheckpointError if there are no weights, or several files of weights.
        """
        if METADATA_FILE in self.files:
            return (METADATA_FILE, *self._present(BESIDE_CHECKPOINT))
        known = self._present(WEIGHT_FILES)
        if known:
            return (known[0], *self._present(BESIDE_WEIGHTS))
        others = [name for name in self.files if name.endswith(WEIGHT_SUFFIXES)]
        if len(others) == 1 and "/" not in others[0]:
            return (others[0], *self._present(BESIDE_WEIGHTS))
        what = "contains several weight files" if others else "contains no weights timbral reads"
        shown = others or list(self.files)
        more = f" and {len(shown) - MOST_FILES_SHOWN} more" * (len(shown) > MOST_FILES_SHOWN)
        raise CheckpointError(
            f"{self.name}: {what} ({', '.join(shown[:MOST_FILES_SHOWN]) or 'it is empty'}{more}); "
            "download the file that you want, and give its path instead"
        )

    def _present(self, names: Iterable[str]) -> list[str]:
        return [name for name in names if name in self.files]


def list_repository(name: HubName) -> HubListing:
    """The current files of a repository; offline, those in the Hub's own cache.

    Raises CheckpointError if it does not exist, may not be read or cannot be reached,
    MissingExtraError without the Hub's client.
    """
    client = hub_client(str(name))
    from huggingface_hub.errors import OfflineModeIsEnabled

    try:
        info = client.model_info(name.repository, revision=name.revision)
    except OfflineModeIsEnabled as refusal:
        return _cached(name, refusal)
    except Exception as error:  # the Hub's client raises its HTTP library's errors, too
        raise hub_failure(name, error) from None
    files = tuple(sorted(sibling.rfilename for sibling in info.siblings or ()))
    return HubListing(name, str(info.sha), files, _license(info.card_data))


def hub_failure(name: HubName, error: Exception) -> CheckpointError:
    """The error for a refusal of the Hub: one line with the reason and what to do."""
    from huggingface_hub.errors import (
        GatedRepoError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    reasons: tuple[tuple[tuple[type[Exception], ...], str], ...] = (
        ((GatedRepoError,), NEEDS_CONSENT),
        (
            (RepositoryNotFoundError,),
            "no such folder, and the Hugging Face Hub has no such repository, or you may not read "
            "it (a private one needs `hf auth login`)",
        ),
        (
            (RevisionNotFoundError,),
            f"has no revision {name.revision!r}; give a branch, a tag or a commit",
        ),
        (
            (OfflineModeIsEnabled, LocalEntryNotFoundError),
            "no such folder; no repository of that name was downloaded from the Hugging Face Hub "
            "to this machine, and HF_HUB_OFFLINE forbids downloading it now",
        ),
    )
    for kinds, reason in reasons:
        if isinstance(error, kinds):
            return CheckpointError(f"{name}: {reason}")
    reason = first_line(error)
    return CheckpointError(
        f"{name}: no such folder, and the Hugging Face Hub could not be reached to look for a "
        f"repository of that name ({reason})"
    )


def _cached(name: HubName, refusal: Exception) -> HubListing:
    """The files of a repository in the Hub's cache, which other programs also use."""
    from huggingface_hub import try_to_load_from_cache

    for file in (METADATA_FILE, *WEIGHT_FILES):
        cached = try_to_load_from_cache(name.repository, file, revision=name.revision)
        if isinstance(cached, str):
            folder = Path(cached).parent
            files = tuple(sorted(path.name for path in folder.iterdir() if path.is_file()))
            return HubListing(name, folder.name, files)
    raise hub_failure(name, refusal) from None


def _license(card: Any) -> str:
    named = getattr(card, "license", None) if card else None
    return named if isinstance(named, str) else ""
