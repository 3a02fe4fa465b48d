"""Datasets of the Hugging Face Hub that are recordings or tar archives, not tables.

`datasets` says which files belong to which split, but would need torchcodec to read them. So
timbral downloads the files with the Hub's client, and reads them itself. Speakers come from a
metadata table in the split (``metadata.csv``, ``.jsonl``, ``.parquet``), or from folders.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from timbral.audio.decode import AUDIO_SUFFIXES
from timbral.data.corpora.hub_dataset import HubDataset
from timbral.data.corpora.webdataset import samples_of_archive
from timbral.data.manifest import Manifest, Utterance
from timbral.data.manifest_reader import read_rows
from timbral.errors import AudioError, DataError
from timbral.io.progress import bar

if TYPE_CHECKING:
    from datasets import DatasetBuilder

__all__ = ["HubFiles", "read_hub_files"]

URL = re.compile(r"hf://datasets/[^/]+/[^/@]+@(?P<commit>[0-9a-f]{40})/(?P<file>.+)")
METADATA = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
NO_SPEAKERS = frozenset(
    {"data", "audio", "wav", "wavs", "clips"}
    | {"train", "training", "test", "testing", "eval", "evaluation"}
    | {"dev", "valid", "validation", "val"}
)
"""names of folders that are splits for `datasets`, or that only contain recordings"""
DOWNLOADS_AT_ONCE = 8
REPOSITORY = "/repository"
"""imaginary root of the paths in a metadata table, so that none leads out of it"""


@dataclass(frozen=True)
class HubFiles:
    """The files of each split at one commit."""

    commit: str
    splits: Mapping[str, Sequence[str]]

    @classmethod
    def of(cls, name: HubDataset, builder: DatasetBuilder) -> HubFiles:
        """From the files that `datasets` found; DataError for unsupported files."""
        data_files: Any = builder.config.data_files or {}
        commit, splits = "", {}
        for split, urls in data_files.items():
            matches = [URL.fullmatch(str(url)) for url in urls]
            known = [match for match in matches if match and _is_known(match["file"])]
            if len(known) < len(matches):
                raise DataError(f"{name}: {_by_hand(name)}")
            if name.split in ("", str(split)):
                splits[str(split)] = [match["file"] for match in known]
            commit = next((match["commit"] for match in known), commit)
        return cls(commit, splits)


def _is_known(file: str) -> bool:
    path = PurePosixPath(file)
    return path.suffix.lower() in AUDIO_SUFFIXES or path.suffix == ".tar" or path.name in METADATA


def _by_hand(name: HubDataset) -> str:
    at = f" --revision {name.revision}" if name.revision else ""
    return (
        "its files do not show the speakers. Download it with `hf download --repo-type dataset "
        f"{name.repository}{at} --local-dir FOLDER`, and give FOLDER as the corpus"
    )


def read_hub_files(name: HubDataset, files: HubFiles) -> Manifest:
    """The utterances of a dataset, whose files are downloaded if needed.

    Raises DataError if they do not name speakers, and the errors of the Hub's client.
    """
    if name.rows is not None and len(files.splits) != 1:
        raise name.several_splits(files.splits)
    left_out: dict[str, str] = {}
    utterances = Manifest.of(_rows(name, files, left_out), "datasets")
    return Manifest(
        utterances.table, utterances.failures, "datasets", {**left_out, **utterances.left_out}
    )


def _rows(
    name: HubDataset, files: HubFiles, left_out: dict[str, str]
) -> Iterator[Utterance | AudioError]:
    for split, listed in files.splits.items():
        archives = [file for file in listed if file.endswith(".tar")]
        tables = [file for file in listed if PurePosixPath(file).name in METADATA]
        recordings = [file for file in listed if file not in {*archives, *tables}]
        start = f"{split}/" if len(files.splits) > 1 or not name.split else ""
        if archives and name.rows is not None:
            raise DataError(f"{name}: [FIRST:LAST] cannot select samples in tar archives")
        local = _download(name, files.commit, archives)
        for archive in archives:
            shard = PurePosixPath(archive).with_suffix("").name
            yield from samples_of_archive(local[archive], f"{start}{shard}")
        rows = _named(name, files.commit, tables, recordings, left_out) if tables else None
        rows = _in_folders(name, split, recordings) if rows is None else rows
        kept = rows if name.rows is None else rows[slice(*name.rows)]
        wanted = [row.path for row in kept if isinstance(row, Utterance)]
        local = _download(name, files.commit, wanted)
        stems = {PurePosixPath(path).stem for path in wanted}
        for row in kept:
            if isinstance(row, AudioError):
                yield row
                continue
            path = PurePosixPath(row.path)
            own = path.stem if len(stems) == len(wanted) else str(path.with_suffix(""))
            yield replace(row, utterance=f"{start}{own}", path=str(local[row.path]))


def _named(
    name: HubDataset,
    commit: str,
    tables: Sequence[str],
    recordings: Sequence[str],
    left_out: dict[str, str],
) -> list[Utterance | AudioError]:
    """The rows of metadata tables; a recording in none of them is a failure."""
    local, present = _download(name, commit, tables), set(recordings)
    rows: list[Utterance | AudioError] = []
    for table in tables:
        root = PurePosixPath(REPOSITORY, table).parent
        columns = {"speaker": name.columns.speaker} if name.columns.speaker else {}
        try:
            metadata = read_rows(local[table], str(root), columns)
        except DataError as error:
            reason = str(error).removeprefix(f"{local[table]}: ")
            raise DataError(f"{name}: {table}: {reason}; {name.columns.advice}") from None
        left_out |= metadata.left_out
        for row in metadata:
            file = posixpath.normpath(row.path).removeprefix(f"{REPOSITORY}/")
            rows.append(
                replace(row, path=file, corpus="datasets")
                if file in present
                else AudioError(f"{name}: {file}", f"is listed in {table}, but missing", "missing")
            )
    named = {row.path for row in rows if isinstance(row, Utterance)}
    rows += [
        AudioError(f"{name}: {file}", "is not listed in the metadata", "no-speaker")
        for file in recordings
        if file not in named
    ]
    return rows


def _in_folders(
    name: HubDataset, split: str, recordings: Sequence[str]
) -> list[Utterance | AudioError]:
    """Recordings whose speaker is their folder, directly below the split's."""
    rows: list[Utterance | AudioError] = []
    for file in recordings:
        folders = list(PurePosixPath(file).parent.parts)
        while folders and folders[0].lower() in {*NO_SPEAKERS, split.lower()}:
            del folders[0]
        if len(folders) != 1:
            raise DataError(f"{name}: {_by_hand(name)}")
        rows.append(Utterance(file, folders[0], "", file, "datasets"))
    return rows


def _download(name: HubDataset, commit: str, files: Sequence[str]) -> dict[str, Path]:
    """Paths of files in the Hub client's cache, several of which are downloaded at a time."""
    from huggingface_hub import hf_hub_download

    def get(file: str) -> Path:
        where = hf_hub_download(name.repository, file, repo_type="dataset", revision=commit)
        return Path(where)

    got: dict[str, Path] = {}
    with (
        _without_bars(),
        ThreadPoolExecutor(DOWNLOADS_AT_ONCE) as pool,
        bar("downloading") as progress,
    ):
        for file, path in zip(files, pool.map(get, files), strict=True):
            got[file] = path
            progress(len(got), len(files))
    return got


@contextmanager
def _without_bars() -> Iterator[None]:
    """Context without the Hub client's progress of single files, as there is one bar for all."""
    from huggingface_hub import utils

    bars: Any = utils  # its type stubs lack these functions
    disabled = bars.are_progress_bars_disabled()
    bars.disable_progress_bars()
    try:
        yield
    finally:
        if not disabled:
            bars.enable_progress_bars()
