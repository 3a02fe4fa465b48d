"""The findings of an `embed` folder, as files."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet

from timbral.embeddings.audit import findings
from timbral.embeddings.table import AUDIT_FILE, read_embeddings, write_table
from timbral.errors import ConfigError, DataError
from timbral.io.outputs import claim_file

__all__ = ["audit", "read_findings"]


def audit(
    embeddings: str | Path, output: str | Path | None = None, *, min_probability: float = 0.5
) -> pa.Table:
    """Find wrong labels, split or mixed speakers and duplicates in an embedded corpus.

    Args:
        embeddings: a folder that `embed` made
        output: a Parquet file of the findings, with a CSV beside it; None: audit.parquet in the
            folder, where `map` finds it
        min_probability: findings less probable are left out; in [0, 1]

    Returns:
        the findings, a row each, by kind and from the surest; columns kind, probability,
        utterance, speaker, other_utterance, other_speaker, cosine, other_cosine, path

    Raises ConfigError for an impossible probability, DataError for another folder.
    """
    if not 0.0 <= min_probability <= 1.0:
        raise ConfigError(f"min_probability must lie in [0, 1], got {min_probability}")
    path = Path(embeddings) / AUDIT_FILE if output is None else Path(output)
    for target in (path, path.with_suffix(".csv")):
        claim_file(target, findings.FINDINGS, [embeddings])
    table = findings.audit(read_embeddings(embeddings), min_probability)
    write_table(table, path)
    write_table(table, path.with_suffix(".csv"))
    return table


def read_findings(path: Path) -> pa.Table:
    """The findings in a file that `audit` wrote; DataError for anything else."""
    try:
        table = pa.parquet.read_table(path, partitioning=None).select(findings.SCHEMA.names)
        table = table.cast(findings.SCHEMA)
        table.validate(full=True)  # that texts are UTF-8
    except (pa.ArrowException, OSError, LookupError, ValueError, TypeError, MemoryError) as error:
        reason = str(error).partition("\n")[0]
        raise DataError(
            f"{path}: is no table of findings ({reason}); delete it, or audit the folder again"
        ) from None
    if table["probability"].null_count or table["kind"].null_count:
        raise DataError(f"{path}: has findings without a kind or a probability; audit again")
    return table
