"""The precision in which the vectors of a table were computed, in the metadata of its schema."""

from __future__ import annotations

import warnings

import pyarrow as pa

__all__ = ["precision_of", "warn_of_precisions", "with_precision"]

KEY = b"precision"


def precision_of(table: pa.Table) -> str:
    """Such as fp32, bf16 or int8; empty where the table does not say it."""
    metadata: dict[bytes, bytes] = table.schema.metadata or {}
    return metadata.get(KEY, b"").decode(errors="replace")


def with_precision(table: pa.Table, precision: str) -> pa.Table:
    """A table that says it, unless it is empty; its other metadata are kept."""
    if not precision:
        return table
    return table.replace_schema_metadata({**(table.schema.metadata or {}), KEY: precision.encode()})


def warn_of_precisions(one: object, its: str, other: object, others: str) -> None:
    """Warn if the vectors of `one` and `other`, which are compared, have two precisions."""
    if its and others and its != others:
        warnings.warn(
            f"{other}: its vectors were computed in {others}, those of {one} in {its}; vectors of "
            "one recording in two precisions differ a little (cosine 0.994 or more), which is "
            "added to what is compared. Embed both in one precision",
            stacklevel=2,
        )
