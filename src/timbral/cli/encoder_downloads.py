"""Encoders that a command line names and this machine has not got yet."""

from __future__ import annotations

import sys

__all__ = ["download_missing", "refuse_unreachable"]


def refuse_unreachable(encoder: str) -> None:
    """CheckpointError for what the Hub has not got, before torch is imported.

    Asks the Hub for names that may be its own and were not downloaded yet.
    """
    from timbral.checkpoints.hub_names import hub_name
    from timbral.checkpoints.hub_pins import find_pin
    from timbral.checkpoints.hub_repository import list_repository

    name = hub_name(encoder)
    if name is not None and find_pin(name) is None:
        list_repository(name).needed()


def download_missing(*encoders: str) -> None:
    """Download those that are names of published weights or of the Hub, and say so."""
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
