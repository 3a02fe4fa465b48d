"""The precision in which a table's vectors were computed, in the metadata of its schema."""

from __future__ import annotations

import warnings

import pyarrow as pa

__all__ = ["precision_of", "warn_of_precisions", "with_precision"]

KEY = b"precision"


def precision_of(table: pa.Table) -> str:
    """The precision of a table, such as fp32, bf16 or int8; empty if unknown."""
    metadata: dict[bytes, bytes] = table.schema.metadata or {}
    return metadata.get(KEY, b"").decode(errors="replace")


def with_precision(table: pa.Table, precision: str) -> pa.Table:
    """The table with this precision in its metadata; unchanged if it is empty."""
    if not precision:
        return table
    return table.replace_schema_metadata({**(table.schema.metadata or {}), KEY: precision.encode()})


def warn_of_precisions(one: object, precision: str, other: object, other_precision: str) -> None:
    """Warn if the vectors of `one` and `other`, which are compared, differ in precision."""
    if precision and other_precision and precision != other_precision:
        warnings.warn(
            f"{other}: its vectors were computed in {other_precision}, those of {one} in "
            f"{precision}; vectors of one recording in two precisions differ a little (cosine "
            "0.994 or more), which is added to what is compared. Embed both in one precision",
            stacklevel=2,
        )
