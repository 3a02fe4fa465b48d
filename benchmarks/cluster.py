"""Clustering of 100,000 vectors without labels: time and memory of `timbral cluster`.

    python benchmarks/cluster.py [--vectors 100_000] [--speakers 2_000]

Vectors are drawn around synthetic speakers, a few of whom have most of the recordings; one in a
hundred recordings is the only one of its speaker. SciPy's average linkage is measured in the same
run, on the first 10,000 vectors, because its memory grows with the number of pairs. Its clusters
must be the same.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from _memory import forget_peak, peak_megabytes
from scipy.cluster.hierarchy import fcluster, linkage

from timbral.embeddings.clusters.average_linkage import average_linkage
from timbral.embeddings.clusters.threshold import best_threshold, least_threshold

DIMENSIONS, NOISE, PEER_VECTORS = 192, 0.01, 10_000


def draw(vectors: int, speakers: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    popularity = rng.pareto(1.5, speakers) + 0.2
    of = rng.choice(speakers, vectors, p=popularity / popularity.sum())
    alone = rng.random(vectors) < NOISE
    of[alone] = speakers + np.arange(alone.sum())
    centers = rng.normal(size=(speakers + int(alone.sum()), DIMENSIONS)).astype(np.float32)
    values = centers[of] + 0.65 * rng.normal(size=(vectors, DIMENSIONS)).astype(np.float32)
    return values / np.linalg.norm(values, axis=1, keepdims=True), of


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--vectors", type=int, default=100_000)
    parser.add_argument("--speakers", type=int, default=2_000)
    options = parser.parse_args()
    vectors, of = draw(options.vectors, options.speakers)
    forget_peak()
    before = peak_megabytes()
    started, processor = time.perf_counter(), time.process_time()
    least = least_threshold(vectors)
    tree = average_linkage(vectors, least)
    threshold = best_threshold(vectors, tree, least)
    labels = tree.labels(threshold)
    seconds, processor = time.perf_counter() - started, time.process_time() - processor
    sizes = np.bincount(labels)
    print(
        f"timbral: {seconds:.0f} s ({processor:.0f} s of processors) for {options.vectors:,} "
        f"vectors, {peak_megabytes() - before:,.0f} MB beside {before:,.0f}; cut at "
        f"{threshold:.3f}: {int((sizes > 1).sum()):,} speakers of {len(np.unique(of)):,}"
    )
    some = vectors[:PEER_VECTORS]
    forget_peak()
    before = peak_megabytes()
    started = time.perf_counter()
    peer = fcluster(linkage(some, "average", metric="cosine"), 1 - threshold, "distance")
    seconds = time.perf_counter() - started
    same = (
        len(set(zip(average_linkage(some, threshold).labels(threshold), peer, strict=True)))
        == peer.max()
    )
    print(
        f"SciPy: {seconds:.0f} s, {peak_megabytes() - before:,.0f} MB for {len(some):,} vectors; "
        f"clusters {'are the same' if same else 'DIFFER'}"
    )


if __name__ == "__main__":
    main()
