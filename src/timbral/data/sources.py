"""Find the utterances of a source, in the same way for all commands."""

from __future__ import annotations

import os
import tempfile
from dataclasses import replace
from pathlib import Path, PurePath, PurePosixPath

import pyarrow as pa

from timbral.audio.segments import Segment
from timbral.data.corpora.corpus_files import audio_files
from timbral.data.corpora.hub_dataset import hub_dataset
from timbral.data.corpora.recognition import AUTO, read_folder, recognize_layout
from timbral.data.corpora.webdataset import samples_of_archive
from timbral.data.listed_recordings import (
    LIST_SUFFIXES,
    is_recording,
    read_recording_list,
    recordings,
)
from timbral.data.lists.lhotse_cuts import is_cut_file, read_cut_file
from timbral.data.manifest import Manifest, sorted_manifest
from timbral.data.manifest_reader import read_rows
from timbral.data.prepared.base import read_table
from timbral.data.prepared.marks import prepared_format
from timbral.data.prepared.mels import PrecomputedMels, holds_mels
from timbral.data.text_columns import TABLE_SUFFIXES
from timbral.errors import AudioError, DataError
from timbral.io.outputs import EMBEDDINGS, IMPORTED
from timbral.io.storage import fetch, is_url, location_of, names_below

__all__ = ["find_utterances", "layout_of"]


def find_utterances(
    source: str | Path,
    layout: str = AUTO,
    pattern: str | None = None,
    *,
    mel_files: bool = False,
    root: str | Path | None = None,
) -> Manifest:
    """The utterances of a corpus, a table, a list, or prepared data, sorted by speaker and id.

    source: one of
        a folder in a `layout` of `LAYOUTS`, or the URL of one;
        a dataset of the Hugging Face Hub, ``hf://USER/NAME:SPLIT`` (`hub_dataset`);
        a table of utterances (`read_manifest`), a file or a URL;
        a file of Lhotse's cuts, .jsonl or .jsonl.gz; a tar archive of WebDataset;
        a list of recordings, one a line (`read_recording_list`), or one recording;
        a folder that `prepare` made: its source recordings; in the format flac its own files;
        a folder of precomputed mels: the recordings that they were made of.
    layout: how the folder of a corpus is laid out; tables and prepared data have no need of it.
        ``auto`` is the one that the names show; `Manifest.layout` says which. A folder that can
        be read in two ways is refused (`read_folder`).
    pattern: keep only recordings whose name or end of path fits it, such as ``*.wav`` or
        ``*/train/*`` (`PurePath.match`).
    mel_files: of precomputed mels name the files of mels, for an encoder that takes these.
    root: the folder or URL that relative paths of a table or list start from; None: its own folder.

    Raises DataError when the source cannot be read, or when no utterance is found.
    """
    if dataset := hub_dataset(str(source)):
        from timbral.data.corpora.hub_reading import read_hub_dataset

        utterances = read_hub_dataset(dataset)
    elif is_url(source):
        utterances = _in_store(str(source), layout)
    elif Path(Segment.of(str(source)).file).is_file():
        utterances = _in_file(source, layout, root)
    else:
        utterances = _on_disk(source, layout, mel_files)
    return sorted_manifest(
        utterances if pattern is None else _matching(utterances, pattern, source), source
    )


def layout_of(source: str | Path, layout: str = AUTO) -> str:
    """The layout with which `find_utterances` reads a corpus's folder.

    ``auto`` for prepared data, and for anything but a folder on this machine's disks.
    """
    path = Path(source)
    if layout != AUTO or is_url(source) or not path.is_dir() or prepared_format(path) is not None:
        return layout
    return recognize_layout(path)


def _on_disk(source: str | Path, layout: str, mel_files: bool) -> Manifest:
    path = Path(source)
    format = prepared_format(path)
    if format == "flac" or (format == "npy" and mel_files):
        table, _ = read_table(path, files=("file",))
        return _own_files(table, path)
    if format is not None:
        return Manifest.of_own_table(read_table(path)[0])
    for kind in (EMBEDDINGS, IMPORTED):
        if kind.is_in(path) and not any(audio_files(path, [])):
            raise DataError(f"{path}: contains {kind.content}, not recordings; give the corpus")
    if layout in (AUTO, "folder") and holds_mels(path):
        mels = PrecomputedMels.open(path)
        return _own_files(mels.table, path) if mel_files else Manifest.of_own_table(mels.table)
    return read_folder(path, layout)


def _in_file(source: str | Path, layout: str, root: str | Path | None) -> Manifest:
    """One recording, a list, cuts of Lhotse, an archive, or a table."""
    path = Path(source)
    if is_recording(str(source)):
        return recordings([location_of(source)], layout, source)
    if path.suffix.lower() in LIST_SUFFIXES:
        return read_recording_list(path, root or path.resolve().parent, layout)
    if path.suffix.lower() == ".tar":
        archive = Path(os.path.abspath(path))
        return Manifest.of(samples_of_archive(archive, path.stem), "webdataset")
    if is_cut_file(path):
        return read_cut_file(path, root or path.resolve().parent)
    return read_rows(path, root)


def _own_files(table: pa.Table, folder: Path) -> Manifest:
    """The rows of prepared data with the paths of its own files instead of the recordings'."""
    root = os.path.abspath(folder)
    files = pa.array([f"{root}/{name}" for name in table["file"].to_pylist()], pa.string())
    column = table.column_names.index("path")
    return Manifest.of_own_table(table.set_column(column, "path", files))


def _in_store(url: str, layout: str) -> Manifest:
    """Find utterances in an object store, of which only names and lists are read."""
    if is_recording(url):
        return recordings([url], layout, url)
    if PurePosixPath(url).suffix.lower() in (*TABLE_SUFFIXES, *LIST_SUFFIXES):
        try:
            content = fetch(url)
        except OSError as error:
            raise DataError(f"{url}: cannot be read ({error})") from None
        with tempfile.TemporaryDirectory(prefix="timbral-table-") as folder:
            table = Path(folder) / PurePosixPath(url).name
            table.write_bytes(content)
            return _in_file(table, layout, url.rpartition("/")[0])
    with names_below(url) as names:
        local, remote = os.path.abspath(names), location_of(url)
        utterances = read_folder(names, layout)
        rows = Manifest.of(
            replace(row, path=remote + row.path.removeprefix(local))
            if row.path.startswith(f"{local}/")
            else row  # a list names a URL, or a path of this machine
            for row in utterances
        )
        failures = [
            AudioError(failure.path.replace(local, remote), failure.reason, failure.kind)
            for failure in utterances.failures
        ]
        return Manifest(rows.table, failures, utterances.layout, utterances.left_out)


def _matching(utterances: Manifest, pattern: str, source: str | Path) -> Manifest:
    fits = [PurePath(Segment.of(row.path).file).match(pattern) for row in utterances]
    if not any(fits):
        raise DataError(
            f"{source}: none of {len(utterances)} recordings matches the pattern {pattern!r}, for "
            f"example not {utterances[0].path}"
        )
    return utterances.with_rows(utterances.table.filter(pa.array(fits)))
