"""Vectors (N, E) to points (N, 2) on a plane, by UMAP.

The distances on such a plane are for looking at, not for measuring.
"""

from __future__ import annotations

import atexit
import errno
import math
import shutil
import tempfile
import warnings
from importlib.util import find_spec
from typing import Any, cast

import numpy as np

from timbral.errors import ConfigError, DataError, MissingExtraError
from timbral.io.types import Vectors

__all__ = ["check_installed", "project"]

MIN_FOR_UMAP = 5  # fewer points have no neighborhoods to keep: principal components then


def check_installed() -> None:
    """Raise MissingExtraError now rather than after a long computation."""
    if any(find_spec(name) is None for name in ("umap", "matplotlib")):
        raise MissingExtraError("plotting embeddings", "map")


def project(vectors: Vectors, *, seed: int = 42, neighbors: int = 15) -> Vectors:
    """Place vectors (N, E) on a plane by UMAP under the cosine metric: float32 (N, 2).

    The same vectors and seed give the same points. `neighbors` above N - 1 count as N - 1; fewer
    than 5 vectors are placed by principal components. Raises DataError when there is no vector or
    one is not finite, ConfigError when neighbors < 2, MissingExtraError without umap.
    """
    vectors = np.ascontiguousarray(vectors, dtype=np.float32)
    if vectors.ndim != 2 or 0 in vectors.shape:
        raise DataError(f"vectors of shape (N, E), at least one, are needed; got {vectors.shape}")
    if not np.isfinite(vectors).all():
        row = int(np.flatnonzero(~np.isfinite(vectors).all(axis=1))[0])
        raise DataError(f"vector {row} of {len(vectors)} holds NaN or infinite values")
    if neighbors < 2:
        raise ConfigError(f"neighbors must be 2 or more: {neighbors}")
    if len(vectors) < MIN_FOR_UMAP:
        return _principal_plane(vectors)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # umap warns of its seed, of tensorflow, of few points
        mapper = _umap().UMAP(
            n_components=2,
            metric="cosine",
            n_neighbors=min(neighbors, len(vectors) - 1),
            min_dist=0.4,  # space between the utterances of one speaker: each can be clicked
            disconnection_distance=math.inf,  # opposite vectors would be placed at NaN otherwise
            random_state=seed,
            n_jobs=1,
        )
        try:
            return np.ascontiguousarray(mapper.fit_transform(vectors), dtype=np.float32)
        except OSError as error:
            raise _no_room_for_compiled(error) from error


def _principal_plane(vectors: Vectors) -> Vectors:
    wide = vectors.astype(np.float64)
    unit = wide / np.maximum(np.linalg.norm(wide, axis=1, keepdims=True), 1e-12)
    left, scale, _ = np.linalg.svd(unit - unit.mean(axis=0), full_matrices=False)
    plane = (left * scale)[:, :2]
    strongest = plane[np.abs(plane).argmax(axis=0), np.arange(plane.shape[1])]
    plane = plane * np.where(strongest < 0, -1.0, 1.0)  # the sign is otherwise up to the solver
    return np.pad(plane, ((0, 0), (0, 2 - plane.shape[1]))).astype(np.float32)


def _umap() -> Any:
    try:
        import umap
    except ImportError:
        raise MissingExtraError("plotting embeddings", "map") from None
    except RuntimeError:  # numba finds no folder for what it compiles: neither package nor home
        _compile_into_a_folder_of_this_process()
        import umap
    return umap


def _no_room_for_compiled(error: OSError) -> OSError:
    """The error of a disk on which numba, which keeps what it compiles, cannot write."""
    remedy = "make room, or name a folder with room in NUMBA_CACHE_DIR"
    what = f"numba cannot write what it compiles ({error.strerror or error}); {remedy}"
    return OSError(error.errno or errno.EIO, what)


def _compile_into_a_folder_of_this_process() -> None:
    """Give numba a folder that nobody else can write to: it runs what it finds there."""
    import numba

    folder = tempfile.mkdtemp(prefix="timbral-numba-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    cast(Any, numba.config).CACHE_DIR = folder
