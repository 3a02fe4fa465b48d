"""A short summary of training data, stored with the weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from timbral.audio.decode import SAMPLE_RATE
from timbral.data.corpora.registry import LAYOUTS
from timbral.io.types import Ints

__all__ = ["summarize_data"]


def summarize_data(table: pa.Table, samples: Ints, rows: Ints) -> dict[str, Any]:
    """Speakers, utterances and hours of rows of prepared data, in total and by corpus, as JSON.

    Args:
        table: with the columns `speaker` and `corpus` (N rows)
        samples: length of each row's audio at 16 kHz (N,)
        rows: the rows to summarize
    """
    taken = table.select(["speaker", "corpus"]).take(pa.array(rows))
    names = np.array(taken["corpus"].to_pylist(), dtype=object)
    speakers = np.array(taken["speaker"].to_pylist(), dtype=object)
    corpora = []
    for name in sorted(set(names.tolist()), key=str):
        inside = names == name
        layout = LAYOUTS.get(name)
        known = {} if layout is None else {"license": layout.license, "page": layout.page}
        facts = {"name": str(name or ""), **{key: value for key, value in known.items() if value}}
        corpora.append({**facts, **_counts(speakers[inside], samples[rows][inside])})
    return {**_counts(speakers, samples[rows]), "corpora": corpora}


def _counts(speakers: np.ndarray[Any, Any], samples: Ints) -> dict[str, Any]:
    hours = round(float(samples.sum()) / SAMPLE_RATE / 3600, 3)
    return {"speakers": len(set(speakers)), "utterances": len(samples), "hours": hours}
