"""The formats of lists of utterances. A new one is a file here and a line in `LIST_FORMATS`."""

from __future__ import annotations

from timbral.data.lists.cuts import CUTS
from timbral.data.lists.kaldi import KALDI
from timbral.data.lists.lhotse import LHOTSE
from timbral.data.lists.list_format import ListFormat
from timbral.data.lists.nemo import NEMO
from timbral.data.lists.tables import CSV, JSONL, PARQUET, TSV

__all__ = ["LIST_FORMATS"]

LIST_FORMATS: dict[str, ListFormat] = {
    "parquet": PARQUET,
    "csv": CSV,
    "tsv": TSV,
    "jsonl": JSONL,
    "kaldi": KALDI,
    "lhotse": LHOTSE,
    "cuts": CUTS,
    "nemo": NEMO,
}
