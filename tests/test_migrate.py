"""Voices taken to another encoder without their audio."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from conftest import Ask
from test_without_torch import without_torch
from timbral.calibration.conditions import Conditions
from timbral.embeddings.vectors import unit_length
from timbral.errors import DataError, EnrollmentError, MergeError
from timbral.gallery.bridge import Bridge, Unlabeled, fit_bridge
from timbral.gallery.bridge_calibration import PairedVectors
from timbral.gallery.encoder_identity import EncoderIdentity
from timbral.gallery.evidence import CosineEvidence
from timbral.gallery.gallery import Gallery
from timbral.gallery.migrating import MigrationSummary, migrate_gallery
from timbral.gallery.migration import migration_of
from timbral.gallery.voice_search import Voices
from timbral.gallery.voices import EnrolledRecording, conditions_of
from timbral.io.types import Floats, Vectors

OLD = EncoderIdentity("old", "a" * 64, "", 12)
NEW = EncoderIdentity("new", "b" * 64, "", 16)
EACH = 4


def both_encoders(num_speakers: int, seed: int) -> tuple[Vectors, Vectors, list[str]]:
    """Recordings as two encoders see them: two linear views of one voice, with their own noise."""
    views = np.random.default_rng(99)
    to_old, to_new = views.standard_normal((10, 12)), views.standard_normal((10, 16))
    offset = views.standard_normal(16)
    random = np.random.default_rng(seed)
    voices = np.repeat(random.standard_normal((num_speakers, 10)), EACH, axis=0)
    count = len(voices)
    old = voices @ to_old + 0.5 * random.standard_normal((count, 12)) + 0.3
    new = voices @ to_new + 0.5 * random.standard_normal((count, 16)) + offset
    names = [f"s{seed}-{row // EACH}" for row in range(count)]
    return unit_length(old), unit_length(new), names


def embed_folder(
    path: Path,
    vectors: Vectors,
    speakers: list[str],
    encoder: EncoderIdentity,
    names: str = "u{}.wav",
) -> Path:
    size = vectors.shape[1]
    table = pa.table(
        {
            "utterance": [f"u{row}" for row in range(len(vectors))],
            "speaker": speakers,
            "path": [names.format(row) for row in range(len(vectors))],
            "duration_seconds": [4.0] * len(vectors),
            "embedding": pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), size),
            "encoder": [encoder.name] * len(vectors),
            "weights_sha256": [encoder.weights_sha256] * len(vectors),
        }
    )
    pq.write_table(table, path)
    return path


def recordings(vectors: Vectors, seconds: float = 4.0) -> list[EnrolledRecording]:
    return [
        EnrolledRecording(vector, f"{row}.wav", f"hash-{row}-{vector[0]}", seconds, seconds)
        for row, vector in enumerate(vectors)
    ]


def test_recordings_without_paths_are_paired_with_their_own_speakers(tmp_path: Path) -> None:
    """As vectors of other tools are imported: their utterances alone tell them apart."""
    old, new, speakers = both_encoders(3, seed=4)
    first = embed_folder(tmp_path / "old.parquet", old, speakers, OLD, names="")
    second = embed_folder(tmp_path / "new.parquet", new[1:], speakers[1:], NEW, names="")
    paired = PairedVectors.read(first, second, OLD, NEW)  # u0 of both, u1 of both, ...
    assert paired.speakers == tuple(speakers[1:])
    assert np.array_equal(paired.old, old[: len(new) - 1])
    assert np.array_equal([each.vector for each in paired.recordings], new[1:])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("migrate")
    old, new, speakers = both_encoders(60, seed=1)
    embed_folder(folder / "old.parquet", old, speakers, OLD)
    embed_folder(folder / "new.parquet", new, speakers, NEW)
    gallery = Gallery.create(folder / "old.db", OLD)
    enrolled, _, names = both_encoders(40, seed=2)
    for start in range(0, len(names), EACH):
        seconds = 1.0 if start == 0 else 4.0
        gallery.add(names[start], recordings(enrolled[start : start + 2], seconds), consent="form")
    return folder


@pytest.fixture(scope="module")
def migrated(folder: Path) -> MigrationSummary:
    return migrate_gallery(
        folder / "old.db", NEW, folder / "old.parquet", folder / "new.parquet", folder / "new.db"
    )


def test_a_migrated_gallery_needs_no_torch(folder: Path, migrated: MigrationSummary) -> None:
    codes, errors = without_torch(folder, "gallery list new.db", "gallery check new.db")
    assert codes == [0, 0], errors


def test_what_a_killed_migration_leaves_is_cleared_away(folder: Path, tmp_path: Path) -> None:
    left = tmp_path / ".new.db.writing"
    left.mkdir()
    for name in ("gallery.db", "gallery.db-wal", "gallery.db-shm"):
        (left / name).write_bytes(b"half of a voice")
    bridge = folder / "old.parquet", folder / "new.parquet"
    migrate_gallery(folder / "old.db", NEW, *bridge, tmp_path / "new.db")
    assert [each.name for each in tmp_path.iterdir()] == ["new.db"]
    with Gallery(tmp_path / "new.db") as new:
        assert len(new) == 40


def centered(bridge: Bridge, new: Vectors) -> Floats:
    return np.asarray(unit_length(new) - bridge.new_mean)


def test_map_is_the_one_that_made_the_vectors() -> None:
    random = np.random.default_rng(0)
    rotation = np.linalg.qr(random.standard_normal((12, 12)))[0]
    old = unit_length(random.standard_normal((200, 12)))
    bridge = fit_bridge(old, unit_length(old @ rotation), [f"s{row // 4}" for row in range(200)])
    np.testing.assert_allclose(
        bridge.map(old), unit_length(centered(bridge, old @ rotation)), atol=1e-4
    )
    np.testing.assert_allclose(bridge.scores(bridge.map(old), old @ rotation), 1, atol=1e-3)


def test_unlabeled_recordings_show_the_map_what_the_bridge_does_not() -> None:
    random = np.random.default_rng(3)
    rotation = np.linalg.qr(random.standard_normal((12, 12)))[0]

    def paired(dimensions: int, offset: float) -> tuple[Vectors, Vectors]:
        old = np.zeros((200, 12))
        old[:, :dimensions] = random.standard_normal((200, dimensions))
        old = unit_length(old + offset * np.eye(12)[0])
        return old, unit_length(old @ rotation + offset * np.eye(12)[1])

    labeled, speakers = paired(5, 0.0), [f"s{row // 4}" for row in range(200)]
    old, new = paired(12, 2.0)
    alone = fit_bridge(*labeled, speakers)
    helped = fit_bridge(*labeled, speakers, unlabeled=[Unlabeled(*paired(12, 2.0))])
    distances = [
        np.linalg.norm(
            bridge.map(old, old.mean(axis=0)) - unit_length(new - new.mean(axis=0)), axis=1
        ).mean()
        for bridge in (alone, helped)
    ]
    assert distances[1] < 0.5 * distances[0]
    np.testing.assert_array_equal(helped.old_mean, alone.old_mean)


def test_directions_are_kept_in_unit_vectors_of_the_new_space() -> None:
    old, new, speakers = both_encoders(40, seed=5)
    bridge = fit_bridge(old, new, speakers)
    directions = bridge.map(old)
    kept = bridge.uncenter(directions)
    np.testing.assert_allclose(np.linalg.norm(kept, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(unit_length(centered(bridge, kept)), directions, atol=1e-5)


def test_few_speakers_are_no_bridge() -> None:
    old, new, speakers = both_encoders(10, seed=5)
    with pytest.raises(DataError, match=r"at least 20 speakers .* they have 10"):
        fit_bridge(old, new, speakers)


def test_old_voices_are_found_with_new_recordings(folder: Path, migrated: MigrationSummary) -> None:
    _, new, names = both_encoders(40, seed=2)
    gallery = Gallery(folder / "new.db")
    assert gallery.encoder == NEW
    assert gallery.migration is not None
    voices = Voices.of(gallery.snapshot(), CosineEvidence(), gallery.migration)
    tested = np.arange(EACH - 1, len(new), EACH)
    found = voices.likeliest(new[tested], conditions_of(recordings(new[tested])))
    best = [voices.names[row] for row in found.rows[:, 0]]
    right = np.mean([name == names[row] for name, row in zip(best, tested, strict=True)])
    assert right >= 0.9
    strangers = both_encoders(40, seed=3)[1][::EACH]
    llrs: Floats = voices.best(strangers, conditions_of(recordings(strangers)))
    assert found.llrs[:, 0].mean() > llrs.mean() + 2
    assert migrated.cross_eer < 0.1


def test_nothing_is_lost(folder: Path, migrated: MigrationSummary) -> None:
    old, new = Gallery(folder / "old.db"), Gallery(folder / "new.db")
    assert (len(old), len(new)) == (40, 40)
    assert (migrated.num_voices, migrated.num_recordings) == (40, 80)
    for name in ("s2-0", "s2-7"):
        before, after = old.voice(name), new.voice(name)
        kept = replace(after.summary, enroll_again="")
        assert kept == before.summary
        for one, other in zip(before.recordings, after.recordings, strict=True):
            assert other.mapped
            assert replace(one, vector=other.vector, mapped=True, id=other.id) == other
    assert "2.0 s of speech" in migrated.enroll_again["s2-0"]
    assert new.voice("s2-0").summary.enroll_again == migrated.enroll_again["s2-0"]


def test_another_speaker_does_not_take_over_a_mapped_voice(folder: Path, tmp_path: Path) -> None:
    bridge = (folder / "old.parquet", folder / "new.parquet")
    migrate_gallery(folder / "old.db", NEW, *bridge, tmp_path / "new.db")
    gallery = Gallery(tmp_path / "new.db")
    vectors = both_encoders(40, seed=2)[1]
    stranger = both_encoders(40, seed=77)[1][:1]
    with pytest.raises(EnrollmentError, match="does not sound like the voice that was mapped"):
        gallery.enroll_vectors("s2-0", recordings(stranger), evidence=CosineEvidence(0.95))
    assert gallery.voice("s2-0").summary.enroll_again
    gallery.enroll_vectors("s2-0", recordings(vectors[2:3]), evidence=CosineEvidence(0.95))
    assert not gallery.voice("s2-0").summary.enroll_again


def test_a_mapped_voice_takes_its_own_recordings_beside_one_that_is_alike(
    folder: Path, tmp_path: Path
) -> None:
    vectors, new, _ = both_encoders(40, seed=2)
    with Gallery.create(tmp_path / "old.db", OLD) as old:
        for voice in range(10):
            old.add(f"s2-{voice}", recordings(vectors[voice * EACH : voice * EACH + 2]))
        mixed = unit_length(0.4 * vectors[EACH + 1] + 0.6 * vectors[EACH * 2])
        old.add("alike", recordings(mixed[None]))
    bridge = (folder / "old.parquet", folder / "new.parquet")
    migrate_gallery(tmp_path / "old.db", NEW, *bridge, tmp_path / "new.db")
    own = recordings(new[EACH + 2 : EACH + 4])
    with Gallery(tmp_path / "new.db") as gallery:
        with pytest.raises(EnrollmentError, match=r"sounds like the voice .*llr"):
            gallery.enroll_vectors("somebody", own, evidence=CosineEvidence(0.5))
        gallery.enroll_vectors("s2-1", own, evidence=CosineEvidence(0.5))
        assert not gallery.voice("s2-1").summary.enroll_again


def test_a_gallery_made_meanwhile_stays(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "new.db"

    def fit_slowly(*given: Any, **named: Any) -> Any:
        Gallery.create(path, OLD).add("acknowledged", recordings(np.eye(12, dtype=np.float32)[:1]))
        return fit_bridge(*given, **named)

    monkeypatch.setattr("timbral.gallery.migrating.fit_bridge", fit_slowly)
    with pytest.raises(DataError, match="created by another process in the meantime"):
        migrate_gallery(
            folder / "old.db", NEW, folder / "old.parquet", folder / "new.parquet", path
        )
    assert "acknowledged" in Gallery(path)
    assert list(tmp_path.glob(".*")) == []


def test_what_a_killed_migration_left_is_removed_by_the_next(folder: Path, tmp_path: Path) -> None:
    left = tmp_path / ".new.db.writing"
    left.mkdir()
    half = Gallery.create(left / "gallery.db", OLD)
    half.add("half", recordings(np.eye(12, dtype=np.float32)[:1]))
    assert len(list(left.iterdir())) == 3  # with the log of SQLite
    migrate_gallery(
        folder / "old.db", NEW, folder / "old.parquet", folder / "new.parquet", tmp_path / "new.db"
    )
    half.close()
    with Gallery(tmp_path / "new.db") as gallery:
        assert "half" not in gallery
    assert list(tmp_path.glob(".*")) == []


def test_new_recordings_are_centered_by_their_own_domain(folder: Path, tmp_path: Path) -> None:
    _, new, speakers = both_encoders(60, seed=1)
    bridge = folder / "old.parquet", folder / "new.parquet"
    domain = embed_folder(tmp_path / "domain.parquet", new[:80], speakers[:80], NEW)
    summary = migrate_gallery(
        folder / "old.db", NEW, *bridge, tmp_path / "new.db", unlabeled=[bridge], domain=domain
    )
    assert summary.num_paired == 480
    with Gallery(tmp_path / "new.db") as gallery:
        assert gallery.migration is not None
        np.testing.assert_allclose(gallery.migration.new_mean, new[:80].mean(axis=0), atol=1e-6)
    few = embed_folder(tmp_path / "few.parquet", new[:8], speakers[:8], NEW)
    with pytest.raises(DataError, match="at least 30 recordings"):
        migrate_gallery(folder / "old.db", NEW, *bridge, tmp_path / "x.db", domain=few)


def test_mapped_voices_are_compared_by_the_calibration_of_the_migration(
    folder: Path, tmp_path: Path
) -> None:
    bridge = folder / "old.parquet", folder / "new.parquet"
    migrate_gallery(folder / "old.db", NEW, *bridge, tmp_path / "new.db")
    gallery = Gallery(tmp_path / "new.db")
    same = recordings(both_encoders(40, seed=2)[1][EACH : EACH + 1])
    never_same = Constant(-9.0)
    assert gallery.check(Constant(9.0)).alike == ()  # among each other they are not compared
    with pytest.raises(EnrollmentError, match="sounds like the voice 's2-1'"):
        gallery.enroll_vectors("again", same, never_same)
    gallery.enroll_vectors("again", same, never_same, force=True)
    pair = gallery.check(never_same).alike[0]
    assert {pair.first, pair.second} == {"again", "s2-1"}
    with pytest.raises(MergeError, match="both voices were mapped"):
        gallery.merge("s2-1", "s2-2", Constant(9.0))
    with pytest.raises(MergeError, match="does not sound like 's2-2'"):
        gallery.merge("s2-2", "again", Constant(9.0))
    gallery.merge("s2-1", "again", never_same)


@dataclass(frozen=True)
class Constant:
    """Evidence that says the same of every pair: what is decided otherwise rests on another."""

    ratio: float
    description: str = "a constant"

    def compensate(self, vectors: Vectors) -> Vectors:
        return unit_length(vectors)

    searched = compensate

    def llr(self, scores: Floats, first: Conditions, second: Conditions) -> Floats:
        return np.full(len(scores), self.ratio)

    def describe(self, llr: float, cosine: float | None = None) -> str:
        return f"llr {llr:+.1f}"


def test_native_recordings_take_over(folder: Path, migrated: MigrationSummary) -> None:
    gallery = Gallery(folder / "new.db")
    vectors = both_encoders(40, seed=2)[1][4:6]
    gallery.add("s2-1", recordings(vectors))
    snapshot = gallery.snapshot()
    row = snapshot.names.index("s2-1")
    assert (snapshot.mapped[row], snapshot.mapped.sum()) == (False, 39)
    np.testing.assert_allclose(
        snapshot.vectors[row], unit_length(unit_length(vectors).mean(axis=0)), atol=1e-6
    )
    voices = Voices.of(snapshot, CosineEvidence(), gallery.migration)
    assert [len(group.rows) for group in voices.groups] == [1, 39]
    assert len(gallery.voice("s2-1").recordings) == 4


def test_migrations_that_cannot_be(folder: Path, migrated: MigrationSummary) -> None:
    tables = folder / "old.parquet", folder / "new.parquet"
    with pytest.raises(DataError, match="exists already"):
        migrate_gallery(folder / "old.db", NEW, *tables, folder / "new.db")
    with pytest.raises(DataError, match="different encoders"):
        migrate_gallery(folder / "old.db", NEW, *tables[::-1], folder / "x.db")
    with pytest.raises(DataError, match="already mapped from another encoder"):
        migrate_gallery(folder / "new.db", OLD, *tables[::-1], folder / "x.db")
    with pytest.raises(DataError, match="give another encoder"):
        migrate_gallery(folder / "old.db", OLD, *tables, folder / "x.db")
    assert not (folder / "x.db").exists()
    assert not list(folder.glob("*new-*"))
    with pytest.raises(DataError, match="its migration is damaged"):
        migration_of("{}", "g.db")


def test_verb_asks_for_what_a_migration_needs(ask: Ask, folder: Path) -> None:
    answer = ask("gallery", "migrate", folder / "old.db")
    assert answer.code == 2
    assert "--bridge" in answer.err
    assert "--to" in answer.err
