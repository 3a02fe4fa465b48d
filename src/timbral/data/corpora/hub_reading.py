"""Read datasets of the Hugging Face Hub: downloaded by `datasets`, decoded by timbral.

A whole dataset or split is what ``load_dataset`` downloads into its own cache: Arrow files on this
machine. If rows are selected (``:train[:1000]``), only these are downloaded, as a stream, and
stored as an Arrow file in timbral's cache.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from timbral.data.corpora.hub_dataset import HubDataset
from timbral.data.corpora.hub_failures import one_line_failures
from timbral.data.corpora.hub_labels import check_speaker_numbers
from timbral.data.corpora.hub_recordings import HubFiles, read_hub_files
from timbral.data.corpora.hub_stream import write_rows
from timbral.data.corpora.hugging_face import read_splits
from timbral.data.manifest import Manifest
from timbral.errors import DataError, MissingExtraError, did_you_mean
from timbral.io.cache import cache_folder, cache_lock
from timbral.io.files import read_json, write_json
from timbral.io.hub_client import hub_client

if TYPE_CHECKING:
    from datasets import DatasetBuilder

__all__ = ["read_hub_dataset"]


def read_hub_dataset(name: HubDataset) -> Manifest:
    """The utterances of a dataset of the Hub, which is downloaded if needed.

    Raises DataError if it cannot be downloaded or read, or has no such split; MissingExtraError
    without `datasets`.
    """
    _check_client(name)
    with one_line_failures(name), _quiet():
        _check_access(name)
        files = _find_files(name)
        if isinstance(files, HubFiles):
            return _not_empty(name, read_hub_files(name, files))
    try:
        rows = Manifest.of(read_splits(files, name.columns), "datasets")
    except DataError as error:
        reason = str(error)
        for path in (path for paths in files.values() for path in paths):
            reason = reason.removeprefix(f"{path}: ")
        raise DataError(f"{name}: {reason}") from None
    return _not_empty(name, rows)


def _not_empty(name: HubDataset, rows: Manifest) -> Manifest:
    if not len(rows) and not rows.failures:
        raise DataError(f"{name}: contains no rows")
    return rows


def _find_files(name: HubDataset) -> dict[str, list[Path]] | HubFiles:
    """The Arrow files of a dataset's splits, or the files of a dataset without a table.

    They are recorded for the name, so that it can be read again offline.
    """
    from datasets import ArrowBasedBuilder

    folder = cache_folder() / "datasets"
    pin = folder / f"{_file_prefix(name)}-{_digest(name, name.rows)}.json"
    if _is_offline() and (kept := _pinned(pin)):
        return kept
    asked, builder = _builder(name)
    if isinstance(builder, ArrowBasedBuilder):
        if name.rows is None:
            return _whole(asked, builder)
        file = _selected_rows(asked, builder, folder)
        write_json(pin, {"file": file.name})
        return {"": [file]}
    files = HubFiles.of(asked, builder)
    write_json(pin, {"commit": files.commit, "splits": dict(files.splits)})
    return files


def _file_prefix(name: HubDataset) -> str:
    """``USER--NAME``, which begins the names of a dataset's files in the cache."""
    return name.repository.replace("/", "--")


def _check_client(name: HubDataset) -> None:
    try:
        import datasets  # noqa: F401
    except ImportError:
        raise MissingExtraError(f"datasets of the Hugging Face Hub ({name})", "datasets") from None
    if Path(name.repository).exists():
        raise DataError(
            f"{name}: the current folder contains a folder {name.repository}, which `datasets` "
            "would read instead; run this elsewhere"
        )


def _check_access(name: HubDataset) -> None:
    """Raise the error of the Hub's client for a dataset that is missing or not accessible."""
    if _is_offline():
        return
    client = hub_client(str(name))
    info = client.dataset_info(name.repository, revision=name.revision or None)
    if info.gated:
        client.auth_check(name.repository, repo_type="dataset")


@contextmanager
def _quiet() -> Iterator[None]:
    """Context in which `datasets` logs only errors, and shows its progress only on a terminal."""
    from datasets import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars
    from datasets.utils import logging
    from huggingface_hub.utils import logging as client_logging

    before, client_before = logging.get_verbosity(), client_logging.get_verbosity()
    disabled = are_progress_bars_disabled()
    logging.set_verbosity_error()
    client_logging.set_verbosity(logging.ERROR)
    if not sys.stderr.isatty():
        disable_progress_bars()
    try:
        yield
    finally:
        logging.set_verbosity(before)
        client_logging.set_verbosity(client_before)
        if not disabled:
            enable_progress_bars()


def _whole(name: HubDataset, builder: DatasetBuilder) -> dict[str, list[Path]]:
    """The Arrow files of all splits, or of the given one, in the cache of `datasets`."""
    builder.download_and_prepare()
    check_speaker_numbers(name, builder)
    prepared: Any = builder.as_dataset(split=name.split or None)
    splits = {"": prepared} if name.split else dict(prepared)
    return {
        split: [Path(file["filename"]) for file in dataset.cache_files]
        for split, dataset in splits.items()
    }


def _builder(name: HubDataset) -> tuple[HubDataset, DatasetBuilder]:
    """The builder of a dataset, and its name, in which a split may turn out to be a config."""
    from datasets import load_dataset_builder

    configs = _configs(name)
    if name.config and name.config not in configs:
        raise DataError(
            f"{name}: unknown config {name.config!r}{did_you_mean(name.config, configs)}"
        )
    if not name.config and len(configs) > 1 and name.split in configs:
        name = replace(name, config=name.split, split="")
    if not name.config and len(configs) > 1 and "default" not in configs:
        raise DataError(
            f"{name}: has the configs {', '.join(configs)}; choose one with :CONFIG/SPLIT"
        )
    builder = load_dataset_builder(
        name.repository, name.config or None, revision=name.revision or None
    )
    splits = _splits(builder)
    if name.split and splits and name.split not in splits:
        raise DataError(f"{name}: unknown split {name.split!r}{did_you_mean(name.split, splits)}")
    return name, builder


def _configs(name: HubDataset) -> list[str]:
    from datasets import get_dataset_config_names

    return list(get_dataset_config_names(name.repository, revision=name.revision or None))


def _splits(builder: DatasetBuilder) -> Sequence[str]:
    files = builder.config.data_files
    return list(files) if isinstance(files, dict) else list(builder.info.splits or ())


def _selected_rows(name: HubDataset, builder: DatasetBuilder, folder: Path) -> Path:
    """An Arrow file in the cache with the rows that `name` selects."""
    if not name.split:
        raise name.several_splits(_splits(builder))
    # the library's name for the commit, and for everything else that determines the content
    version = Path(builder.cache_dir).name
    file = folder / f"{_file_prefix(name)}-{_digest(version, name, name.rows)}.arrow"
    with cache_lock(f"datasets-{_file_prefix(name)}"):
        if not file.is_file():
            stream = builder.as_streaming_dataset(name.split)
            check_speaker_numbers(name, builder, name.split)
            write_rows(stream, name.rows or (0, None), file)
    return file


def _is_offline() -> bool:
    from huggingface_hub import is_offline_mode

    return is_offline_mode()


def _pinned(pin: Path) -> dict[str, list[Path]] | HubFiles | None:
    """What a name meant when it was last read."""
    try:
        kept = read_json(pin)
        if "splits" in kept:
            splits = {str(name): list(map(str, files)) for name, files in kept["splits"].items()}
            return HubFiles(str(kept["commit"]), splits)
        file = pin.parent / str(kept["file"])
    except (AttributeError, DataError, KeyError, TypeError):
        return None
    return {"": [file]} if file.is_file() else None


def _digest(*parts: object) -> str:
    return hashlib.sha256("\n".join(map(str, parts)).encode()).hexdigest()[:16]
