"""The findings about an `embed` folder as files."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet

from timbral.embeddings.audit import findings
from timbral.embeddings.audit.second_speaker import SplitRecordings
from timbral.embeddings.precision import precision_of, warn_of_precisions
from timbral.embeddings.table import AUDIT_FILE, read_embeddings, write_table
from timbral.errors import ConfigError, DataError, first_line
from timbral.io.outputs import claim_file

__all__ = ["findings_path", "read_findings", "write_findings"]


def write_findings(
    embeddings: str | Path,
    output: str | Path | None,
    *,
    min_probability: float,
    other: str | Path | None,
    parts_of: Callable[[pa.Table], Iterable[SplitRecordings]] | None,
) -> pa.Table:
    """Compute and write the findings; see `timbral.bulk.audit_corpus.audit`.

    `parts_of` returns the parts of the rows' recordings, and is called after all checks; None:
    recordings with a second speaker are not searched.
    """
    if not 0.0 <= min_probability <= 1.0:
        raise ConfigError(f"min_probability must be in [0, 1], got {min_probability}")
    path = findings_path(Path(embeddings)) if output is None else Path(output)
    claim_file(path, findings.FINDINGS, [embeddings])
    claim_file(path.with_suffix(".csv"), findings.FINDINGS, [embeddings])
    corpus = read_embeddings(embeddings)
    other_corpus = None if other is None else read_embeddings(other)
    if other_corpus is not None:
        _check_encoders(corpus, other_corpus, embeddings, other)
    parts = None if parts_of is None else parts_of(corpus)
    table = findings.audit(corpus, min_probability, other_corpus, parts)
    write_table(table, path)
    write_table(table, path.with_suffix(".csv"))
    return table


def findings_path(embeddings: Path) -> Path:
    """The path of the findings about an `embed` folder, or about a table."""
    if embeddings.is_file():
        return embeddings.with_name(f"{embeddings.stem}-{AUDIT_FILE}")
    return embeddings / AUDIT_FILE


def _check_encoders(one: pa.Table, two: pa.Table, name: object, other: object) -> None:
    """Raise DataError if the vectors of two tables cannot be compared."""
    if one["embedding"].type != two["embedding"].type:
        sizes = [table["embedding"].type.list_size for table in (one, two)]
        raise DataError(
            f"{other}: its vectors have {sizes[1]} numbers, those of {name} {sizes[0]}; embed "
            "both corpora with one encoder"
        )
    weights = [set(table["weights_sha256"].to_pylist()) - {""} for table in (one, two)]
    if all(weights) and weights[0].isdisjoint(weights[1]):
        raise DataError(
            f"{other}: its vectors are from other weights than those of {name}; embed both "
            "corpora with one encoder"
        )
    warn_of_precisions(name, precision_of(one), other, precision_of(two))


def read_findings(path: Path) -> pa.Table:
    """Read the findings in a file from `audit`; DataError for any other file."""
    try:
        table = pa.parquet.read_table(path, partitioning=None).select(findings.SCHEMA.names)
        table = table.cast(findings.SCHEMA)
        table.validate(full=True)  # texts must be UTF-8
    except (pa.ArrowException, OSError, LookupError, ValueError, TypeError, MemoryError) as error:
        reason = first_line(error)
        raise DataError(
            f"{path}: is not a table of findings ({reason}); delete it, and audit the folder again"
        ) from None
    if table["probability"].null_count or table["kind"].null_count:
        raise DataError(f"{path}: has findings without a kind or a probability; audit again")
    second = table.filter(pa.compute.equal(table["kind"], "second-speaker"))
    moments = second["moment_seconds"].to_numpy()
    if not (np.isfinite(moments) & (moments >= 0)).all():  # a missing one is NaN
        raise DataError(f"{path}: has second speakers without a moment; audit again")
    return table
