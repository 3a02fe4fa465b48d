"""The client of the Hugging Face Hub."""

from __future__ import annotations

from typing import TYPE_CHECKING

from timbral.errors import MissingExtraError
from timbral.version import __version__

if TYPE_CHECKING:
    from huggingface_hub import HfApi

__all__ = ["NEEDS_CONSENT", "hub_client"]

NEEDS_CONSENT = "requires consent: accept its terms on its page, then run `hf auth login`"
"""why a gated repository cannot be read, and what to do"""


def hub_client(what: str) -> HfApi:
    """The Hub's client, which `what` needs; MissingExtraError if it is not installed."""
    try:
        from huggingface_hub import HfApi
    except ImportError:
        raise MissingExtraError(f"the Hugging Face Hub ({what})", "hub") from None
    return HfApi(library_name="timbral", library_version=__version__)
