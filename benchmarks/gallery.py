"""Galleries: exact search, search with the index, and enrollment; processor time on one core.

    python benchmarks/gallery.py [--voices 1_000_000] [--indexed 100_000] [--enrolled 100_000]

Voices are drawn with a spectrum like that of real ones: a third of the dimensions has most of the
variance. Half of the queries are new recordings of enrolled voices (cosine about 0.85), half are
strangers. Enrollment is compared with sherpa-onnx's SpeakerEmbeddingManager if it is installed.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from timbral.gallery.bounded_search import BoundedSearch
from timbral.gallery.encoder_identity import EncoderIdentity
from timbral.gallery.exact_search import exact_search
from timbral.gallery.gallery import Gallery
from timbral.gallery.voice_index import VoiceIndex
from timbral.gallery.voices import EnrolledRecording

SIZE, QUERIES, TOP = 192, 1000, 5
NOISE = 0.6
"""length of what a recording adds to its voice's unit vector: a cosine of about 0.85"""


def draw(random: np.random.Generator, count: int) -> np.ndarray:
    spectrum = np.exp(-np.arange(SIZE) / 64).astype(np.float32)
    vectors = np.empty((count, SIZE), np.float32)
    for start in range(0, count, 50_000):
        block = vectors[start : start + 50_000]
        block[:] = random.standard_normal(block.shape, dtype=np.float32) * spectrum
        block /= np.linalg.norm(block, axis=1, keepdims=True)
    return vectors


def queries_of(random: np.random.Generator, voices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    own = random.integers(0, len(voices), QUERIES // 2)
    enrolled = voices[own] + NOISE * draw(random, len(own))
    queries = np.concatenate([enrolled, draw(random, QUERIES // 2)])
    return queries / np.linalg.norm(queries, axis=1, keepdims=True), own


def milliseconds(call: Callable[[np.ndarray], object], queries: np.ndarray) -> float:
    times = []
    for query in queries:
        start = time.process_time()
        call(query)
        times.append(time.process_time() - start)
    return 1000 * float(np.median(times))


def measure_exact(count: int) -> None:
    random = np.random.default_rng(0)
    voices = draw(random, count)
    queries, _ = queries_of(random, voices)
    some = queries[:: QUERIES // 20]
    bounded = BoundedSearch()
    start = time.process_time()
    bounded.search(voices, some[0], TOP)
    print(f"shortened once: {time.process_time() - start:.1f} s")
    for query in some:
        rows = bounded.search(voices, query, TOP)[0]
        assert (rows == exact_search(voices, query[None], TOP)[0][0]).all()
    floats = milliseconds(lambda query: exact_search(voices, query[None], TOP), some)
    bounds = milliseconds(lambda query: bounded.search(voices, query, TOP), some)
    print(f"{count:,} voices, exact top {TOP}: float32 {floats:.1f} ms, by bounds {bounds:.1f} ms")


def measure_index(count: int) -> None:
    random = np.random.default_rng(0)
    voices = draw(random, count)
    queries, _ = queries_of(random, voices)
    index = VoiceIndex(SIZE)
    ids = list(range(count))
    start = time.process_time()
    index.add(ids, voices)
    built = time.process_time() - start
    start = time.process_time()
    index.check(ids, voices)
    checked = time.process_time() - start
    print(f"{index.probes} cells chosen in {checked:.0f} s, recall@1 {index.recall:.3f}")
    best = np.concatenate([exact_search(voices, query[None], 1)[0][0] for query in queries])
    for probes in sorted({32, 64, 128, 256, index.probes}):
        index.set_probes(probes)

        def find(query: np.ndarray) -> int:
            rows = np.array(index.search(query, TOP))
            return int(rows[np.argmax(voices[rows] @ query)])

        found = np.array([find(query) for query in queries]) == best
        half = QUERIES // 2
        print(
            f"index of {count:,}, built in {built:.0f} s, {probes} cells: "
            f"{milliseconds(find, queries):.2f} ms, recall@1 {found[:half].mean():.3f} enrolled, "
            f"{found[half:].mean():.3f} strangers"
        )


def measure_enrolling(count: int) -> None:
    voices = draw(np.random.default_rng(0), count)
    encoder = EncoderIdentity("benchmark", "a" * 64, "", SIZE)
    step = count // 4
    with tempfile.TemporaryDirectory() as folder:
        gallery = Gallery.create(Path(folder) / "gallery.db", encoder)
        ours = []
        for start in range(0, count, step):
            before = time.process_time()
            gallery.add_many(
                (f"v{row}", [EnrolledRecording(voices[row], "a.wav", duration_seconds=4.0)])
                for row in range(start, min(start + step, count))
            )
            gallery.search(voices[:1], 1)
            ours.append(time.process_time() - before)
        gallery.close()
    print("enrolled, each quarter:", *(f"{each:.1f} s" for each in ours))
    try:
        import sherpa_onnx
    except ImportError:
        print("sherpa-onnx is not installed")
        return
    manager = sherpa_onnx.SpeakerEmbeddingManager(SIZE)
    theirs = []
    for start in range(0, count, step):
        before = time.process_time()
        for row in range(start, min(start + step, count)):
            manager.add(f"v{row}", voices[row].tolist())
        theirs.append(time.process_time() - before)
        if sum(theirs) > 300:
            break
    print("sherpa-onnx, in memory only:", *(f"{each:.1f} s" for each in theirs))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--voices", type=int, default=1_000_000)
    parser.add_argument("--indexed", type=int, default=100_000)
    parser.add_argument("--enrolled", type=int, default=100_000)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.voices:
        measure_exact(arguments.voices)
    if arguments.indexed:
        measure_index(arguments.indexed)
    if arguments.enrolled:
        measure_enrolling(arguments.enrolled)


if __name__ == "__main__":
    main()
