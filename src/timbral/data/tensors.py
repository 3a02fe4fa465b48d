"""Move frozen dataclasses of tensors to a device, and split them into micro-batches."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

__all__ = ["split_rows", "to_device"]

Record = TypeVar("Record", bound="DataclassInstance")


def to_device(record: Record, device: torch.device) -> Record:
    """The same record with all tensors, also of nested records, on `device`."""
    moved: dict[str, Any] = {}
    for name, value in _fields(record):
        if isinstance(value, Tensor):
            moved[name] = value.to(device)
        elif is_dataclass(value) and not isinstance(value, type):
            moved[name] = to_device(value, device)
    return replace(record, **moved)


def split_rows(record: Record, count: int) -> list[Record]:
    """The rows of a record, split into `count` records of nearly equal sizes.

    The first dimension of all tensors, also of nested records, is the rows.
    """
    columns: dict[str, list[Any]] = {}
    for name, value in _fields(record):
        if isinstance(value, Tensor):
            columns[name] = list(value.tensor_split(count))
        elif is_dataclass(value) and not isinstance(value, type):
            columns[name] = split_rows(value, count)
    return [
        replace(record, **{name: column[index] for name, column in columns.items()})
        for index in range(count)
    ]


def _fields(record: DataclassInstance) -> list[tuple[str, Any]]:
    return [(item.name, getattr(record, item.name)) for item in fields(record)]
