"""The findings of an `embed` folder, as files."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from timbral.embeddings.audit.findings import FINDINGS, audit
from timbral.embeddings.table import AUDIT_FILE, read_embeddings, write_table
from timbral.errors import ConfigError
from timbral.io.outputs import claim_file

__all__ = ["write_audit"]


def write_audit(
    embeddings: str | Path, output: str | Path | None, min_probability: float
) -> pa.Table:
    """Find what is wrong in a folder's table, and write it; `timbral.api.audit` says more."""
    if not 0.0 <= min_probability <= 1.0:
        raise ConfigError(f"min_probability must lie in [0, 1], got {min_probability}")
    path = Path(embeddings) / AUDIT_FILE if output is None else Path(output)
    for target in (path, path.with_suffix(".csv")):
        claim_file(target, FINDINGS, [embeddings])
    table = audit(read_embeddings(embeddings), min_probability)
    write_table(table, path)
    write_table(table, path.with_suffix(".csv"))
    return table
