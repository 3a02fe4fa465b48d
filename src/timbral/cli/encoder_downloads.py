"""Downloading encoders that a command line names and that are not on this machine."""

from __future__ import annotations

import sys

__all__ = ["download_missing", "refuse_unreachable"]


def refuse_unreachable(encoder: str) -> None:
    """Raise CheckpointError for a Hub repository that does not exist, before torch is imported.

    Asks the Hub only for names that look like USER/REPO and were not downloaded yet.
    """
    from timbral.checkpoints.hub_names import hub_name
    from timbral.checkpoints.hub_pins import find_pin
    from timbral.checkpoints.hub_repository import list_repository

    name = hub_name(encoder)
    if name is not None and find_pin(name) is None:
        list_repository(name).needed()


def download_missing(*encoders: str) -> None:
    """Download encoders that are named (published weights, the Hub) and missing, and print that."""
    from timbral.checkpoints.download import download, is_missing
    from timbral.checkpoints.hub_names import hub_name
    from timbral.checkpoints.resolve import resolve

    for encoder in encoders:
        if not is_missing(encoder):
            continue
        print(f"downloading {encoder}, once …", file=sys.stderr)
        download(encoder)
        name = hub_name(encoder)
        if name is not None and not name.is_commit:
            print(
                f"{encoder} is pinned to the commit {resolve(encoder).origin['version']}, until "
                f"you run `timbral download {encoder}`",
                file=sys.stderr,
            )
