"""Project vectors (N, E) to points (N, 2) on a plane, by t-SNE or, if there are many, by UMAP.

Distances on such a plane are for looking at, not for measuring.
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

MIN_FOR_NEIGHBORHOODS = 5
"""fewer points have no neighborhoods to preserve, and principal components are used"""
MIN_FOR_UMAP = 300
"""with fewer points, t-SNE takes less time than UMAP takes to compile"""
JITTER = 0.02
"""standard deviation of the noise added to t-SNE's points, as a fraction of theirs, so that the
points of equal vectors do not coincide"""


def check_installed() -> None:
    """Raise MissingExtraError now rather than after a long computation."""
    if any(find_spec(name) is None for name in ("umap", "sklearn", "matplotlib")):
        raise MissingExtraError("plotting embeddings", "map")


def project(vectors: Vectors, *, seed: int = 42, neighbors: int = 15) -> Vectors:
    """Place vectors (N, E) on a plane, float32 (N, 2), so that neighbors by cosine stay neighbors.

    By UMAP; fewer than 300 by t-SNE, fewer than 5 by principal components. The same vectors and
    seed give the same points. `neighbors` above N - 1 count as N - 1.

    Raises DataError if there is no vector or one is not finite, ConfigError if neighbors < 2,
    MissingExtraError without the packages of the method.
    """
    vectors = np.ascontiguousarray(vectors, dtype=np.float32)
    if vectors.ndim != 2 or 0 in vectors.shape:
        raise DataError(f"at least one vector, of shape (N, E), is needed; got {vectors.shape}")
    if not np.isfinite(vectors).all():
        row = int(np.flatnonzero(~np.isfinite(vectors).all(axis=1))[0])
        raise DataError(f"vector {row} of {len(vectors)} contains NaN or infinite values")
    if neighbors < 2:
        raise ConfigError(f"neighbors must be 2 or more, got {neighbors}")
    if len(vectors) < MIN_FOR_NEIGHBORHOODS:
        return _principal_plane(vectors)
    if len(vectors) < MIN_FOR_UMAP:
        return _by_tsne(vectors, seed, neighbors)
    return _by_umap(vectors, seed, neighbors)


def _by_tsne(vectors: Vectors, seed: int, neighbors: int) -> Vectors:
    """t-SNE (van der Maaten and Hinton, 2008), initialized with the principal components."""
    try:
        from sklearn.manifold import TSNE
    except ImportError:
        raise MissingExtraError("plotting embeddings", "map") from None
    plane = _principal_plane(vectors)
    start = 1e-4 * plane / max(float(plane.std()), 1e-12)
    tsne = TSNE(
        metric="cosine",
        perplexity=min(neighbors, (len(vectors) - 1) / 3),
        method="exact",
        init=start,
        random_state=seed,
    )
    points = tsne.fit_transform(vectors)
    noise = np.random.default_rng(seed).normal(size=points.shape)
    points += JITTER * max(float(points.std()), 1.0) * noise
    return np.ascontiguousarray(points, dtype=np.float32)


def _by_umap(vectors: Vectors, seed: int, neighbors: int) -> Vectors:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # umap warns about its seed, tensorflow and few points
        mapper = _umap().UMAP(
            n_components=2,
            metric="cosine",
            n_neighbors=min(neighbors, len(vectors) - 1),
            min_dist=0.4,  # space between a speaker's utterances, so that each can be clicked
            disconnection_distance=math.inf,  # otherwise, opposite vectors are placed at NaN
            random_state=seed,
            n_jobs=1,
        )
        try:
            return np.ascontiguousarray(mapper.fit_transform(vectors), dtype=np.float32)
        except OSError as error:
            raise _cache_not_writable(error) from error


def _principal_plane(vectors: Vectors) -> Vectors:
    """The first two principal components (N, 2) of the unit vectors."""
    wide = vectors.astype(np.float64)
    unit = wide / np.maximum(np.linalg.norm(wide, axis=1, keepdims=True), 1e-12)
    left, scale, _ = np.linalg.svd(unit - unit.mean(axis=0), full_matrices=False)
    plane = (left * scale)[:, :2]
    strongest = plane[np.abs(plane).argmax(axis=0), np.arange(plane.shape[1])]
    plane = plane * np.where(strongest < 0, -1.0, 1.0)  # the solver's sign is arbitrary
    return np.pad(plane, ((0, 0), (0, 2 - plane.shape[1]))).astype(np.float32)


def _umap() -> Any:
    try:
        import umap
    except ImportError:
        raise MissingExtraError("plotting embeddings", "map") from None
    except RuntimeError:  # numba can write its cache neither beside the package nor at home
        _use_temporary_numba_cache()
        import umap
    return umap


def _cache_not_writable(error: OSError) -> OSError:
    """The error to raise when numba cannot write its cache of compiled code."""
    remedy = "free some space, or set NUMBA_CACHE_DIR to a folder on another disk"
    message = f"numba cannot write its compiled code ({error.strerror or error}); {remedy}"
    return OSError(error.errno or errno.EIO, message)


def _use_temporary_numba_cache() -> None:
    """Give numba a cache folder that no other user can write to, because it runs the contents."""
    import numba

    folder = tempfile.mkdtemp(prefix="timbral-numba-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    cast(Any, numba.config).CACHE_DIR = folder
