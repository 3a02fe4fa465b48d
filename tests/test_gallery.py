"""The Gallery: what is enrolled is there, for every process; what is removed is gone."""

from __future__ import annotations

import hashlib
import sqlite3
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest

from timbral.errors import ConfigError, DataError, InputError
from timbral.gallery.database import SCHEMA, SCHEMA_VERSION
from timbral.gallery.encoder_identity import EncoderIdentity
from timbral.gallery.exact_search import exact_search
from timbral.gallery.gallery import Gallery
from timbral.gallery.voices import EnrolledRecording
from timbral.io.types import Vectors

SIZE = 16
ENCODER = EncoderIdentity("campplus-zh-en", "a" * 64, "b" * 64, SIZE)


def recordings(seed: int, count: int = 3, size: int = SIZE) -> list[EnrolledRecording]:
    """Of one voice: its vector with a little noise each."""
    random = np.random.default_rng(seed)
    voice = random.standard_normal(size)
    vectors = (voice + 0.2 * random.standard_normal((count, size))).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return [
        EnrolledRecording(vector, f"{seed}-{row}.wav", f"{seed}-{row}", 4.0, 3.0, 8000.0, 30.0)
        for row, vector in enumerate(vectors)
    ]


def mean_of(seed: int, count: int = 3) -> Vectors:
    mean = np.mean([each.vector for each in recordings(seed, count)], axis=0)
    return np.asarray(mean / np.linalg.norm(mean), np.float32)


@pytest.fixture
def gallery(tmp_path: Path) -> Gallery:
    return Gallery.create(tmp_path / "gallery.db", ENCODER)


def test_voices_are_there_for_another_process(gallery: Gallery) -> None:
    gallery.add("caller-17", recordings(1), consent="form 12")
    gallery.add("Zoë", recordings(2, 1))
    other = Gallery(gallery.location)
    assert [each.name for each in other.voices()] == ["Zoë", "caller-17"]
    voice = other.voice("caller-17")
    assert voice.summary.num_recordings == 3
    assert voice.summary.speech_seconds == 9.0
    assert voice.summary.consent == "form 12"
    assert voice.summary.consent_at
    np.testing.assert_allclose(voice.vector, mean_of(1), atol=1e-6)
    kept = voice.recordings[1]
    assert (kept.source, kept.sha256, kept.duration_seconds) == ("1-1.wav", "1-1", 4.0)
    np.testing.assert_array_equal(kept.vector, recordings(1)[1].vector)
    names, vectors = other.matrix()
    np.testing.assert_allclose(vectors[names.index("caller-17")], mean_of(1), atol=1e-6)


def test_search_sees_what_others_enroll_change_and_remove(gallery: Gallery) -> None:
    other = Gallery(gallery.location)
    gallery.add("v0", recordings(0, 1))
    assert other.search(mean_of(0, 1))[0] == [["v0"]]
    gallery.add_many((f"v{seed}", recordings(seed, 1)) for seed in range(1, 300))
    wanted = np.stack([mean_of(seed, 1) for seed in (0, 150, 299)])
    names, scores = other.search(wanted, top=2)
    assert [best[0] for best in names] == ["v0", "v150", "v299"]
    np.testing.assert_allclose(scores[:, 0], 1.0, atol=1e-6)
    gallery.remove("v150")
    gallery.merge("v0", "v299")
    gallery.rename("v0", "zero")
    names, scores = other.search(wanted, top=1)
    assert names[0] == names[2] == ["zero"]
    assert names[1] != ["v150"]
    mean = recordings(0, 1)[0].vector + recordings(299, 1)[0].vector
    np.testing.assert_allclose(scores[0, 0], wanted[0] @ mean / np.linalg.norm(mean), atol=1e-6)
    assert len(other) == len(other.matrix()[0]) == 298


def test_exact_search_is_exact_in_blocks_of_any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    vectors = random.standard_normal((5000, 8)).astype(np.float32)
    queries = random.standard_normal((70, 8)).astype(np.float32)
    products = queries @ vectors.T
    for top in (1, 5, 6000):
        rows, scores = exact_search(vectors, queries, top)
        expected = np.argsort(-products, axis=1, kind="stable")[:, :top]
        np.testing.assert_allclose(scores, np.take_along_axis(products, expected, 1), atol=1e-5)
        assert np.mean(rows == expected) > 0.999
    assert exact_search(vectors[:0], queries, 3)[0].shape == (70, 0)


def test_another_encoder_is_refused_and_both_are_named(gallery: Gallery) -> None:
    gallery.add("a", recordings(1))
    other = EncoderIdentity("ge2e-lstm", "c" * 64, "b" * 64, SIZE)
    with pytest.raises(DataError, match=r"campplus-zh-en \(weights aaaaaaaa, 16-d\).*ge2e-lstm"):
        Gallery.create(gallery.location, other)
    preprocessing = EncoderIdentity(ENCODER.name, ENCODER.weights_sha256, "d" * 64, SIZE)
    with pytest.raises(DataError, match="other preprocessing"):
        Gallery.create(gallery.location, preprocessing)


@pytest.mark.parametrize("content", [b"a few words", b"SQLite format 3\0" + bytes(84)])
def test_other_files_are_refused_and_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "other.db"
    path.write_bytes(content)
    for attempt in (lambda: Gallery(path), lambda: Gallery.create(path, ENCODER)):
        with pytest.raises(DataError, match=r"other\.db"):
            attempt()
    assert path.read_bytes() == content


@pytest.mark.parametrize(
    "change",
    [
        "voices SET vector = x'0102'",
        "voices SET vector = 'text'",
        "voices SET vector = zeroblob(63)",
        "voices SET snr_db = 'loud'",
        "recordings SET vector = zeroblob(4)",
        "recordings SET vector = CAST(x'0000c07f' || zeroblob(60) AS BLOB)",
        "recordings SET risks = 'no JSON'",
        "recordings SET risks = '5'",
        "recordings SET speech_seconds = 'long'",
        "recordings SET source = x'ff00'",
        "gallery SET embedding_dim = 'x'",
        "gallery SET embedding_dim = 5",
        "gallery SET changes = 'x'",
    ],
)
def test_rows_that_nobody_enrolled_are_damage(gallery: Gallery, change: str) -> None:
    gallery.add("one", recordings(1))
    gallery.close()
    with sqlite3.connect(gallery.location, isolation_level=None) as other:
        other.execute(f"UPDATE {change}")
    with pytest.raises(DataError, match=r"gallery\.db: is damaged \(.+\); restore it"):
        read_all(gallery.location)


def read_all(location: str) -> None:
    opened = Gallery(location)
    try:
        opened.voices()
        opened.voice("one")
        opened.matrix()
    finally:
        opened.close()


def test_database_of_another_program_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE voices (id INTEGER)")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(DataError, match="another program"):
        Gallery.create(path, ENCODER)
    assert path.read_bytes() == before
    with pytest.raises(DataError, match="no such gallery"):
        Gallery(tmp_path / "missing.db")
    assert not (tmp_path / "missing.db").exists()
    with pytest.raises(DataError, match="is a folder"):
        Gallery(tmp_path)
    with pytest.raises(DataError, match="a disk of this machine"):
        Gallery("https://host/gallery.db")
    (tmp_path / "link.db").symlink_to(tmp_path / "moved.db")
    with pytest.raises(DataError, match=r"is a link to .*moved\.db"):
        Gallery(tmp_path / "link.db")


@pytest.mark.parametrize(
    "name", ["", " a", "a\n", "a\0b", "\u202eevil", "\u200b", "x" * 256, "Nobody", 5]
)
def test_names_that_are_none_are_refused(gallery: Gallery, name: Any) -> None:
    with pytest.raises(ConfigError, match="name"):
        gallery.add(name, recordings(1))
    assert len(gallery) == 0


def test_names_are_any_text(gallery: Gallery) -> None:
    for name in ("'; DROP TABLE voices; --", "<script>", "名前", "a b", "-x", "?", "%s"):
        gallery.add(name, recordings(1))
        assert gallery.voice(name).name == name
    gallery.add("Zoe\u0308", recordings(2, 1))  # decomposed
    gallery.add("Zoë", recordings(3, 1))
    assert gallery.voice("Zoë").summary.num_recordings == 2
    assert "Zoe\u0308" in gallery
    assert "Zoë" in gallery
    assert not any(other in gallery for other in ("Zoe", "", "nobody", 3, None))


def test_vectors_that_are_none_are_refused(gallery: Gallery) -> None:
    big, small = np.full(SIZE, 1e30), np.full(SIZE, 1e-30)  # their squares are no numbers
    for vector in (np.ones(3), np.full(SIZE, np.nan), np.zeros(SIZE), big, small):
        with pytest.raises(InputError, match=r"x\.wav"):
            gallery.add("a", [EnrolledRecording(vector.astype(np.float32), "x.wav")])
    masked = np.ma.array(np.ones(SIZE, np.float32), mask=np.arange(SIZE) == 1)
    with pytest.raises(InputError, match=f"x.wav: its vector: 1 of {SIZE} values are masked"):
        gallery.add("a", [EnrolledRecording(masked, "x.wav")])
    with pytest.raises(InputError, match="empty"):
        gallery.add("a", [])
    assert len(gallery) == 0
    gallery.add("a", recordings(1))
    for searched, top in (
        (masked, 1),
        (np.full(SIZE, np.nan), 1),
        (np.zeros(SIZE), 1),
        (np.eye(SIZE)[0], 1.5),
    ):
        with pytest.raises(InputError, match="vectors"):
            gallery.search(searched, top)  # type: ignore[arg-type]


def test_errors_name_what_is_there(gallery: Gallery) -> None:
    gallery.add("caller-17", recordings(1))
    with pytest.raises(DataError, match="did you mean 'caller-17'"):
        gallery.voice("caler-17")
    with pytest.raises(DataError, match="no recording 99"):
        gallery.remove("caller-17", [99])
    with pytest.raises(DataError, match="itself"):
        gallery.merge("caller-17", "caller-17")
    assert gallery.voice("caller-17").summary.num_recordings == 3


def test_failed_transaction_leaves_nothing(gallery: Gallery) -> None:
    gallery.add("a", recordings(1))

    def broken() -> object:
        yield "b", recordings(2)
        yield "c", [EnrolledRecording(np.ones(SIZE, np.float32), "x", risks=(object(),))]

    with pytest.raises(TypeError):
        gallery.add_many(broken())  # type: ignore[arg-type]
    assert gallery.matrix()[0] == ("a",)
    assert len(Gallery(gallery.location)) == 1


def test_a_writer_beside_does_not_make_a_removal_fail(
    gallery: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was deleted is deleted; that it is not overwritten yet is said."""
    monkeypatch.setattr("timbral.gallery.sqlite_database.ERASE_SECONDS", 0.2)
    gallery.add("a", recordings(1))
    with sqlite3.connect(gallery.location, isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        assert not gallery.erase()
        other.execute("ROLLBACK")
    other.close()
    assert gallery.remove("a")


def test_merging_keeps_what_both_agreed_to(gallery: Gallery) -> None:
    for name, consent in (("a", None), ("b", "form B"), ("c", "form C")):
        gallery.add(name, recordings(ord(name)), consent=consent)
    gallery.merge("a", "b")
    assert gallery.voice("a").summary.consent == "form B"
    assert gallery.voice("a").summary.consent_at
    gallery.merge("a", "c")
    assert gallery.voice("a").summary.consent == "form B; form C"


def test_export_replaces_only_exports(gallery: Gallery, tmp_path: Path) -> None:
    gallery.add("a", recordings(1))
    path = tmp_path / "voices.parquet"
    assert gallery.export(path) == gallery.export(path) == 3
    table = pyarrow.parquet.read_table(path).drop_columns(["enrolled_at"])
    pyarrow.parquet.write_table(table, tmp_path / "utterances.parquet")  # as `embed` writes it
    with pytest.raises(DataError, match="enrolled voices"):
        gallery.export(tmp_path / "utterances.parquet")
    with pytest.raises(ConfigError, match=r"must end in \.parquet"):
        gallery.export(tmp_path / "voices.csv")


def test_tables_change_with_their_version() -> None:
    """A gallery of other tables is refused by its version, not by what SQLite says of a column."""
    digest = hashlib.sha256("".join(SCHEMA).encode()).hexdigest()[:8]
    assert (SCHEMA_VERSION, digest) == (4, "685666c8"), "raise SCHEMA_VERSION"


def test_removed_voice_is_in_no_file(gallery: Gallery) -> None:
    random = np.random.default_rng(0)
    for seed in random.permutation(60):
        for each in recordings(int(seed), 4):
            gallery.add(f"voice-{seed}-{seed}", [each])
    victim = gallery.voice("voice-7-7")
    kept = gallery.voice("voice-8-8").recordings[0].id
    gallery.remove("voice-8-8", [kept])
    assert gallery.remove("voice-7-7")
    folder = Path(gallery.location).parent
    content = b"".join(path.read_bytes() for path in folder.iterdir())
    gone = [*recordings(7, 4), recordings(8, 4)[0]]
    for vector in (victim.vector, *(each.vector for each in gone)):
        assert vector[:4].tobytes() not in content
    assert b"7-2.wav7-2" not in content
    assert b"voice-7-7" not in content
    assert recordings(8, 4)[1].vector.tobytes() in content


def test_readers_do_not_wait_while_a_writer_waits_for_another_process(gallery: Gallery) -> None:
    gallery.add("a", recordings(1))
    other = sqlite3.connect(gallery.location, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")  # as another process does that enrolls
    writer = threading.Thread(target=gallery.add, args=("b", recordings(2)))
    writer.start()
    time.sleep(0.1)
    start = time.monotonic()
    assert gallery.search(mean_of(1), 1)[0] == [["a"]]
    assert (len(gallery), gallery.voice("a").summary.num_recordings) == (1, 3)
    assert time.monotonic() - start < 5
    assert writer.is_alive()
    other.execute("ROLLBACK")
    other.close()
    writer.join()
    assert gallery.search(mean_of(2), 1)[0] == [["b"]]


def test_what_is_taken_back_was_never_found(gallery: Gallery) -> None:
    with pytest.raises(RuntimeError, match="interrupted"), gallery._matrix.writing():
        gallery.add("a", recordings(1))
        assert gallery.search(mean_of(1), 1)[0] == [["a"]]
        raise RuntimeError("interrupted")
    assert gallery.search(mean_of(1), 1)[0] == [[]]
