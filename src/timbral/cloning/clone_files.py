"""Write the files of a comparison of clones: similarity.json, clones.csv, clones.parquet."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from timbral.cloning.clone_figures import SystemDifference, SystemFigures
from timbral.cloning.encoder_view import EncoderView
from timbral.cloning.gaming import GamingFlag
from timbral.errors import DataError
from timbral.io.files import atomic_write, read_json, write_json
from timbral.io.outputs import SIMILARITY_FILE
from timbral.version import __version__

__all__ = ["replaced_figures", "write_clone_table", "write_figures"]

NUMBERS = ("cosine", "same", "other", "percentile", "probability")


def replaced_figures(folder: Path, figures: Sequence[SystemFigures]) -> str | None:
    """Figures that an earlier report in the folder has and `figures` have not, by name."""
    try:
        earlier = read_json(folder / SIMILARITY_FILE)["figures"]
        names = [f"{each['system']} by {each['encoder']}" for each in earlier]
    except (DataError, KeyError, TypeError):  # none, or not one of ours
        return None
    now = [f"{each.system} by {each.encoder}" for each in figures]
    return ", ".join(name for name in names if name not in now) or None


def write_figures(
    folder: Path,
    views: Sequence[EncoderView],
    figures: Sequence[SystemFigures],
    differences: Sequence[SystemDifference],
    flags: Sequence[GamingFlag],
    lines: Sequence[str],
    notes: Sequence[str],
) -> None:
    """Write similarity.json; unknown figures are null."""
    content = {
        "timbral": __version__,
        "encoders": [
            {
                "name": view.encoder,
                "weights_sha256": view.weights_sha256,
                "same_speaker_across_sessions": view.across_sessions,
            }
            for view in views
        ],
        "figures": [asdict(each) for each in figures],
        "differences": [asdict(each) | {"is_clear": each.is_clear} for each in differences],
        "gaming_flags": [asdict(each) for each in flags],
        "lines": list(lines),
        "notes": list(notes),
    }
    write_json(folder / SIMILARITY_FILE, _without_nan(content))


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_without_nan(each) for each in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def write_clone_table(folder: Path, views: Sequence[EncoderView]) -> None:
    """Write clones.parquet and clones.csv: one row per clone and encoder."""
    rows = [
        {
            "name": clone.name,
            "system": clone.system,
            "speaker": clone.speaker,
            "encoder": view.encoder,
            "weights_sha256": view.weights_sha256,
            "cosine": float(view.cosines[row]),
            "same": _known(view.same[row]),
            "other": _known(view.other[row]),
            "percentile": _known(view.percentiles[row]),
            "probability": _known(view.probabilities[row]),
            "own_reference": bool(view.own_reference[row]),
            "synthesized": clone.synthesized,
            "references": " ".join(clone.references),
        }
        for view in views
        for row, clone in enumerate(view.clones)
    ]
    types = dict.fromkeys(NUMBERS, pa.float64()) | {"own_reference": pa.bool_()}
    schema = pa.schema([(name, types.get(name, pa.string())) for name in rows[0]])
    table = pa.Table.from_pylist(rows, schema)
    with atomic_write(folder / "clones.parquet") as temporary:
        pa.parquet.write_table(table, temporary)
    with atomic_write(folder / "clones.csv") as temporary:
        pa.csv.write_csv(table, temporary)


def _known(value: float) -> float | None:
    """A value for the table; None for NaN."""
    return None if np.isnan(value) else float(value)
