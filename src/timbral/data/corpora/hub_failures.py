"""Explain in one line why a dataset of the Hugging Face Hub cannot be used, and what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from timbral.data.corpora.hub_dataset import HubDataset
from timbral.errors import DataError, TimbralError
from timbral.io.hub_client import NEEDS_CONSENT

__all__ = ["one_line_failures"]


@contextmanager
def one_line_failures(name: HubDataset) -> Iterator[None]:
    """Context that turns errors of the Hub's client and of `datasets` into short DataErrors."""
    try:
        yield
    except TimbralError:
        raise
    except ImportError as error:  # a package for a file format is missing
        raise DataError(f"{name}: cannot be read without {error.name or error}") from None
    except Exception as error:  # they raise the HTTP library's and the parsers' errors, too
        raise _failure(name, error) from None


def _failure(name: HubDataset, error: Exception) -> DataError:
    from datasets.data_files import EmptyDatasetError
    from datasets.exceptions import DataFilesNotFoundError
    from huggingface_hub import is_offline_mode
    from huggingface_hub.errors import (
        GatedRepoError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    reasons: tuple[tuple[tuple[type[Exception], ...], str], ...] = (
        ((GatedRepoError,), NEEDS_CONSENT),
        (
            (RepositoryNotFoundError,),
            "the Hugging Face Hub has no such dataset, or you may not read it (a private one needs "
            "`hf auth login`)",
        ),
        (
            (RevisionNotFoundError,),
            f"has no revision {name.revision!r}; give a branch, a tag or a commit",
        ),
        (
            (DataFilesNotFoundError, EmptyDatasetError),
            "contains no files that `datasets` reads; an encoder is not a corpus",
        ),
    )
    causes = list(_causes(error))
    for kinds, reason in reasons:
        if any(isinstance(cause, kinds) for cause in causes):
            return DataError(f"{name}: {reason}")
    if is_offline_mode():
        reason = "was not downloaded to this machine, and HF_HUB_OFFLINE forbids downloading it now"
        return DataError(f"{name}: {reason}")
    texts = [str(cause).strip().partition("\n")[0] for cause in causes]
    reason = next((each for each in texts if each), type(error).__name__)
    return DataError(f"{name}: cannot be downloaded from the Hugging Face Hub or read ({reason})")


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error and its causes."""
    seen: set[int] = set()
    at: BaseException | None = error
    while at is not None and id(at) not in seen:
        seen.add(id(at))
        yield at
        at = at.__cause__ or at.__context__
