"""Check that the files of a Hub dataset use the same numbers for the same speakers.

A column of numbers with names (ClassLabel) has its names in each file, but `datasets` uses those of
one file for all files and splits. Number 0 of another file, whoever that is, would become the first
file's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet

from timbral.data.column_aliases import find_columns
from timbral.data.corpora.hub_dataset import HubDataset
from timbral.data.corpora.hugging_face import label_names
from timbral.errors import DataError

if TYPE_CHECKING:
    from datasets import DatasetBuilder

__all__ = ["check_speaker_numbers"]

ADDRESS = re.compile(r"hf://datasets/(?P<repo_id>[^@]+)@(?P<revision>[^/]+)/(?P<filename>.+)")
"""the form in which `datasets` writes addresses of the Hub's files"""
FILE = r"\g<filename>"
NAMES_SHOWN = 3


def check_speaker_numbers(name: HubDataset, builder: DatasetBuilder, split: str = "") -> None:
    """Raise DataError if two files have different names for the numbers of speakers.

    Checks the files of all splits that are on this machine; for a streamed `split`, all its files
    and the first file of all splits, on the Hub. A file may have more names than another.
    """
    features: Any = builder.info.features or {}
    column = name.columns.speaker or find_columns(list(features)).get("speaker", "")
    if not getattr(features.get(column), "names", None):
        return
    most: list[str] = []
    for address, schema in _remote(builder, split) if split else _downloaded(builder):
        own = label_names(schema, column)
        fewer, most = sorted((own, most), key=len)
        if fewer != most[: len(fewer)]:
            other = fewer if own == most else most
            raise DataError(
                f"{name}: column {column!r} numbers its speakers differently in its files: "
                f"{_shown(own)} in {ADDRESS.sub(FILE, address)}, {_shown(other)} in others, and "
                "`datasets` would mix them. Load each file alone with load_dataset('parquet', "
                "data_files=FILE), save it with save_to_disk, and give the folders"
            )


def _addresses(builder: DatasetBuilder, split: str = "") -> list[str]:
    """The addresses of all files; for a split, its files and the first of all splits."""
    files: Any = builder.config.data_files
    splits = {name: list(map(str, addresses)) for name, addresses in dict(files or {}).items()}
    every = [address for addresses in splits.values() for address in addresses]
    return list(dict.fromkeys([*every[:1], *splits.get(split, [])])) if split else every


def _downloaded(builder: DatasetBuilder) -> Iterator[tuple[str, pa.Schema]]:
    from huggingface_hub import constants, try_to_load_from_cache

    for address in _addresses(builder):
        match = ADDRESS.fullmatch(address)
        where = match and try_to_load_from_cache(
            **match.groupdict(), repo_type="dataset", cache_dir=constants.HF_HUB_CACHE
        )
        if isinstance(where, str):
            with suppress(pa.ArrowInvalid):  # of another format
                yield address, pa.parquet.read_schema(where)


def _remote(builder: DatasetBuilder, split: str) -> Iterator[tuple[str, pa.Schema]]:
    from datasets import config
    from huggingface_hub import HfFileSystem

    there = HfFileSystem(endpoint=config.HF_ENDPOINT)
    for address in filter(ADDRESS.fullmatch, _addresses(builder, split)):
        with suppress(pa.ArrowInvalid), there.open(address, "rb") as file:
            yield address, pa.parquet.read_schema(file)


def _shown(names: list[str]) -> str:
    return ", ".join(names[:NAMES_SHOWN]) + ", …" * (len(names) > NAMES_SHOWN)
