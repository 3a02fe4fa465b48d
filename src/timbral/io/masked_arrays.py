"""Masked arrays of NumPy, whose masks computations would pass over."""

from __future__ import annotations

import numpy as np

from timbral.errors import InputError

__all__ = ["refuse_masked"]


def refuse_masked(values: object, name: str) -> None:
    """Raise InputError for an array of which some values are masked; `name` is the argument's."""
    if isinstance(values, np.ndarray) and np.ma.is_masked(values):
        masked = int(np.ma.getmaskarray(values).sum())
        raise InputError(
            f"{name}: {masked:,} of {values.size:,} values are masked; leave them out "
            "(.compressed()), or replace them (.filled(0))"
        )
