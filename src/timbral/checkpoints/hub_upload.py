"""Uploads to the Hugging Face Hub."""

from __future__ import annotations

from pathlib import Path

from timbral.checkpoints.hub_names import MAIN, HubName
from timbral.errors import CheckpointError, first_line
from timbral.io.hub_client import hub_client

__all__ = ["upload_folder"]


def upload_folder(
    folder: Path, repository: str, private: bool, revision: str | None, message: str
) -> str:
    """Upload all files of a folder in one commit; returns ``user/repo@commit``.

    The repository and the branch `revision` are created if they do not exist. Raises
    CheckpointError if the Hub refuses, MissingExtraError without its client.
    """
    client = hub_client(repository)
    branch = revision or MAIN
    try:
        client.create_repo(repository, private=private, exist_ok=True)
        if branch != MAIN:
            client.create_branch(repository, branch=branch, exist_ok=True)
        uploaded = client.upload_folder(
            folder_path=folder, repo_id=repository, revision=branch, commit_message=message
        )
    except Exception as error:  # the Hub's client raises its HTTP library's errors, too
        raise CheckpointError(_why(repository, error)) from None
    return str(HubName(repository, uploaded.oid))


def _why(repository: str, error: Exception) -> str:
    """The message for a failed upload: one line with the reason and what to do."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status in (401, 403):
        return (
            f"{repository}: the Hugging Face Hub does not let you write there; run `hf auth "
            "login` with a token that may write"
        )
    reason = first_line(error)
    return f"{repository}: could not be uploaded to the Hugging Face Hub ({reason})"
