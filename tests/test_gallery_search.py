"""Search in large galleries: bounds first, and exact; an index that finds its voices."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from timbral.calibration.conditions import Conditions
from timbral.embeddings.vectors import unit_length
from timbral.gallery import bounded_search, voice_index
from timbral.gallery.bounded_search import BLOCK_ROWS, BoundedSearch
from timbral.gallery.encoder_identity import EncoderIdentity
from timbral.gallery.evidence import CosineEvidence
from timbral.gallery.exact_search import exact_search
from timbral.gallery.gallery import Gallery
from timbral.gallery.prefetched_search import PrefetchedSearch
from timbral.gallery.voice_index import VoiceIndex
from timbral.gallery.voice_search import VoiceGroup
from timbral.gallery.voices import EnrolledRecording
from timbral.io.types import Vectors

SIZE = 32
ENCODER = EncoderIdentity("campplus-zh-en", "a" * 64, "b" * 64, SIZE)


def unit(random: np.random.Generator, count: int) -> Vectors:
    vectors = random.standard_normal((count, SIZE)).astype(np.float32)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def recording(vector: Vectors) -> list[EnrolledRecording]:
    return [EnrolledRecording(vector, "a.wav", duration_seconds=4.0)]


@pytest.mark.parametrize("count", [3, 100, BLOCK_ROWS, 2 * BLOCK_ROWS + 77])
def test_search_by_bounds_is_exact(count: int) -> None:
    random = np.random.default_rng(0)
    vectors = unit(random, count)
    vectors[::3] = vectors[0]  # copies; and one that has all its length in one number
    vectors[1] = np.eye(SIZE)[3]
    bounded = BoundedSearch()
    for query in (vectors[0], vectors[1], *unit(random, 5)):
        for top in (1, 3):
            rows, scores = bounded.search(vectors, query, top)
            expected, best = exact_search(vectors, query[None], top)
            np.testing.assert_allclose(scores, best[0], atol=1e-6)
            np.testing.assert_allclose(
                vectors[rows] @ query, vectors[expected[0]] @ query, atol=1e-6
            )


def test_search_by_bounds_sees_changes() -> None:
    random = np.random.default_rng(1)
    vectors = unit(random, BLOCK_ROWS + 3000)
    bounded, count = BoundedSearch(), BLOCK_ROWS - 100
    queries = unit(random, 4)
    for _ in range(12):
        changed = random.integers(0, count, 90)
        vectors[changed] = unit(random, 90)
        vectors[changed[0]] = unit_length(queries[0] + 0.1 * vectors[changed[0]])
        bounded.change(changed)
        count += 150  # into another block
        bounded.change(np.arange(count - 150, count))
        for query in queries:
            rows, scores = bounded.search(vectors[:count], query, 5)
            expected, best = exact_search(vectors[:count], query[None], 5)
            np.testing.assert_array_equal(rows, expected[0])
            np.testing.assert_allclose(scores, best[0], atol=1e-6)
        count -= 20
        bounded.forget(np.arange(count, count + 20))


def test_search_in_a_large_gallery_sees_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounded_search, "LEAST_VECTORS", 1)
    gallery = Gallery.create(tmp_path / "gallery.db", ENCODER)
    vectors = unit(np.random.default_rng(0), 300)
    gallery.add_many((f"v{row}", recording(vectors[row])) for row in range(299))
    assert gallery.search(vectors[7], 1)[0] == [["v7"]]
    gallery.add("v299", recording(vectors[299]))
    gallery.remove("v7")
    gallery.add("v7", recording(vectors[8] + 0.1 * vectors[7]))
    for row in (0, 8, 298, 299):
        assert gallery.search(vectors[row], 1)[0] == [[f"v{row}"]]
    names, scores = gallery.search(vectors[8], 2)
    assert names == [["v8", "v7"]]
    assert scores.shape == (1, 2)


def conditions(count: int) -> Conditions:
    return Conditions(np.full(count, 4.0), np.full(count, 8000.0), np.full(count, 30.0))


def test_a_group_of_voices_is_searched_as_all_are(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(2)
    vectors, queries = unit(random, 3000), unit(random, 2)
    group = VoiceGroup(np.arange(3000), vectors, conditions(3000), CosineEvidence(0.5))
    expected = group.likeliest(queries, conditions(2))
    monkeypatch.setattr(bounded_search, "LEAST_VECTORS", 1)
    found = group.likeliest(queries, conditions(2))
    np.testing.assert_array_equal(found[0], expected[0])
    np.testing.assert_allclose(found[1], expected[1], atol=1e-6)


def test_many_equal_voices_are_found_whole() -> None:
    """No bound tells them apart, so all are compared."""
    random = np.random.default_rng(3)
    vectors = np.repeat(unit(random, 3), 1000, axis=0)
    query = unit(random, 1)[0]
    _, scores = BoundedSearch().search(vectors, query, 5)
    _, best = exact_search(vectors, query[None], 5)
    np.testing.assert_allclose(scores, best[0], atol=1e-6)


@pytest.fixture(params=[10, 10_000], ids=["cells", "one by one"])
def least_in_cells(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """An index looks through cells from so many voices on."""
    pytest.importorskip("faiss")
    monkeypatch.setattr(voice_index, "LEAST_IN_CELLS", request.param)


@pytest.mark.usefixtures("least_in_cells")
def test_index_is_kept_up_with_the_gallery(tmp_path: Path) -> None:
    gallery = Gallery.create(tmp_path / "gallery.db", ENCODER)
    random = np.random.default_rng(0)
    vectors = unit(random, 800)
    gallery.add_many((f"v{row}", recording(vectors[row])) for row in range(790))
    assert gallery.build_index() >= 0.99
    queries = vectors + 0.05 * random.standard_normal(vectors.shape).astype(np.float32)
    gallery.add_many((f"v{row}", recording(vectors[row])) for row in range(790, 800))
    gallery.remove("v5")
    exact, indexed = (gallery.search(queries, 5, indexed=each) for each in (False, True))
    assert indexed[0][5] != ["v5"]
    first = [one[0] == other[0] for one, other in zip(exact[0], indexed[0], strict=True)]
    assert np.mean(first) >= 0.99
    assert indexed[0][795][0] == "v795"
    np.testing.assert_allclose(exact[1][:, 0], indexed[1][:, 0], atol=0.1)


@pytest.mark.usefixtures("least_in_cells")
def test_copies_do_not_hide_others_in_the_index() -> None:
    """As in findings/usearch_copies_hide_voices.sh, where a tenth of the others is lost."""
    random = np.random.default_rng(0)
    speakers = np.repeat(unit(random, 100), 10, axis=0)
    vectors = speakers + 0.02 * random.standard_normal(speakers.shape).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    every = np.concatenate([np.repeat(vectors[:1], 300, axis=0), vectors[1:]])
    every = np.asarray(every, np.float32)
    index = VoiceIndex(SIZE)
    ids = list(range(len(every)))
    index.add(ids, every)
    index.check(ids, every)
    assert index.recall >= 0.99
    found = [row in index.search(every[row], 5) for row in range(300, len(every))]
    assert np.mean(found) >= 0.99
    assert set(range(300)) <= set(index.search(every[0], 1))


def test_vectors_that_were_named_beforehand_are_searched_as_others_are() -> None:
    random = np.random.default_rng(5)
    voices = unit_length(random.standard_normal((3000, 8)))
    queries = unit_length(random.standard_normal((150, 8)))
    prefetched = PrefetchedSearch(voices[:2900], queries, 5)
    voices[7:9] = unit_length(random.standard_normal((2, 8)))
    prefetched.change(np.array([7, 8, *range(2900, 3000)]))  # two are others, a hundred new
    expected, cosines = exact_search(voices, queries, 5)
    found = [prefetched.search(voices, query, 5) for query in queries]
    for each, rows, scores in zip(found, expected, cosines, strict=True):
        assert each is not None
        np.testing.assert_array_equal(each[0], rows)
        np.testing.assert_allclose(each[1], scores, atol=1e-6)
    assert prefetched.search(voices, voices[0], 5) is None
    prefetched.change(expected[0])
    prefetched.change(np.arange(2900))
    assert prefetched.search(voices, queries[0], 5) is None
