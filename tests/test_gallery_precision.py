"""A gallery knows in which precision its vectors were computed; older galleries do not."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet
import pytest

from conftest import Ask
from test_gallery import ENCODER, gallery, recordings
from test_gallery_postgres import server
from timbral import api
from timbral.embeddings.precision import precision_of
from timbral.errors import DataError
from timbral.gallery.database import SCHEMA_VERSION
from timbral.gallery.evidence import evidence_of
from timbral.gallery.from_embeddings import EmbeddedSpeakers
from timbral.gallery.gallery import Gallery
from timbral.gallery.postgres_database import PostgresDatabase

__all__ = ["gallery", "server"]
OLDER = (
    "DROP INDEX recordings_precision",
    "ALTER TABLE recordings DROP COLUMN precision",
    "UPDATE gallery SET schema_version = 3",
)
"""turns a gallery into one of version 3"""


def in_precision(seed: int, precision: str, count: int = 2) -> list:
    return [replace(each, precision=precision) for each in recordings(seed, count)]


def test_precisions_are_counted_listed_and_exported(
    gallery: Gallery, ask: Ask, tmp_path: Path
) -> None:
    path, table = gallery.location, tmp_path / "voices.parquet"

    def listed() -> str:
        return ask("gallery", "list", path).out.splitlines()[0]

    assert (gallery.precisions(), listed()) == ({}, f"0 voices of {ENCODER}")
    gallery.add("a", in_precision(1, "int8"))
    assert listed() == f"1 voice of {ENCODER}, computed in int8"
    gallery.export(table)
    assert precision_of(pyarrow.parquet.read_table(table)) == "int8"
    exported = EmbeddedSpeakers.read(table)
    assert {each.precision for _, rows in exported for each in rows} == {"int8"}
    gallery.add("b", [*in_precision(2, "fp32", 1), *recordings(3, 1)])
    assert gallery.precisions() == {"": 1, "fp32": 1, "int8": 2}
    several = "recordings computed: 1 in an unknown precision, 1 in fp32, 2 in int8"
    assert listed() == f"2 voices of {ENCODER}; {several}"
    answer = json.loads(ask("gallery", "list", path, "--json").out)
    assert answer["precisions"] == {"": 1, "fp32": 1, "int8": 2}
    gallery.export(table)
    assert precision_of(pyarrow.parquet.read_table(table)) == ""
    shown = ask("gallery", "show", path, "a", "b").out
    assert shown.count("(4.0 s, 3.0 s of speech, int8)") == 2
    assert shown.count("3.0 s of speech)") == 1
    gallery.merge("a", "b")
    gallery.remove("a", [each.id for each in gallery.voice("a").recordings if not each.precision])
    assert gallery.precisions() == {"fp32": 1, "int8": 2}


def test_another_precision_is_told_when_it_is_enrolled(
    run: Path, voices: Path, tmp_path: Path
) -> None:
    first, second, third = sorted(voices.rglob("*.ogg"))[:3]
    one, other = (api.load_encoder(run, device="cpu", precision=each) for each in ("fp32", "bf16"))
    with Gallery.create(tmp_path / "g.db", one) as created:
        remark = "computed in bf16, other vectors of the gallery in fp32"
        for path, encoder, told in ((first, one, 0), (second, other, 1), (third, other, 0)):
            done = created.enroll("a", path, encoder, force=True)
            assert [remark in each for each in done.warnings].count(True) == told
        assert created.precisions() == {"bf16": 2, "fp32": 1}
        api.embed(other, voices, tmp_path / "e", pattern="*_00.ogg")
        some = created.enroll_embeddings(tmp_path / "e", evidence_of(other), force=True)
        assert some.warnings == ()  # the gallery has some of these already
        assert created.precisions().keys() == {"bf16", "fp32"}
        assert created.precisions()["bf16"] > 2


def test_another_precision_is_told_when_vectors_are_enrolled(
    run: Path, voices: Path, tmp_path: Path, ask: Ask
) -> None:
    one, other = (api.load_encoder(run, device="cpu", precision=each) for each in ("fp32", "bf16"))
    for name, encoder in (("one", one), ("other", other)):
        api.embed(encoder, voices, tmp_path / name, pattern="*_00.ogg")
    words = ("enroll", tmp_path / "g.db", "--force", "--encoder", run, "--embeddings")
    assert "computed in" not in ask(*words, tmp_path / "one").err
    assert "computed in" not in ask(*words, tmp_path / "one").err
    told = ask(*words, tmp_path / "other", "--json")
    remark = "computed in bf16, other vectors of the gallery in fp32"
    assert remark in told.err
    assert remark in json.loads(told.out)["warnings"][0]
    assert "computed in" not in ask(*words, tmp_path / "other").err


@pytest.fixture(params=["SQLite", pytest.param("PostgreSQL", marks=pytest.mark.slow)])
def older(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A gallery of version 3 with one voice."""
    on_server = request.param == "PostgreSQL"
    location = request.getfixturevalue("server") if on_server else str(tmp_path / "old.db")
    with Gallery.create(location, ENCODER) as created:
        created.add("a", recordings(1))
        for statement in OLDER:
            created._store.database.query(statement)
        if not on_server:
            created._store.database.query("PRAGMA user_version = 3")
    yield location
    if on_server:
        with Gallery(location) as opened:
            opened._store.database.query("DROP SCHEMA timbral_gallery CASCADE")


def test_older_galleries_are_read_and_extended(older: str) -> None:
    """Twice, by two processes."""
    with Gallery(older) as one, Gallery.create(older, ENCODER) as another:
        for opened in (one, another):
            found = [(each.source, each.precision) for each in opened.voice("a").recordings]
            assert found == [(f"1-{row}.wav", "") for row in range(3)]
        another.add("b", in_precision(2, "int8"))
        assert one.precisions() == {"": 3, "int8": 2}
        version = one._store.database.query("SELECT schema_version FROM gallery")
    assert version == [(SCHEMA_VERSION,)]


@pytest.mark.slow
@pytest.mark.parametrize("older", ["PostgreSQL"], indirect=True)
@pytest.mark.parametrize("rights", ["SELECT", "SELECT, INSERT, UPDATE, DELETE"])
def test_only_its_owner_can_extend_an_older_gallery(older: str, rights: str) -> None:
    """Users with fewer rights are told so, and read it afterwards."""
    other = older.replace("//timbral:secret@", "//reader@")
    database = PostgresDatabase(older)
    try:
        database.query("CREATE ROLE reader LOGIN")
        database.query("GRANT USAGE ON SCHEMA timbral_gallery TO reader")
        database.query(f"GRANT {rights} ON ALL TABLES IN SCHEMA timbral_gallery TO reader")
        with pytest.raises(DataError, match="open it once as the user who created it"):
            Gallery(other)
        with Gallery(older) as opened, Gallery(other) as read:
            assert read.precisions() == opened.precisions() == {"": 3}
    finally:
        database.query("DROP OWNED BY reader")
        database.query("DROP ROLE reader")
        database.close()


def test_a_process_of_the_older_version_can_go_on(tmp_path: Path) -> None:
    """It had the gallery open when it was extended, and names its columns."""
    with Gallery.create(tmp_path / "g.db", ENCODER) as created:
        created.add("a", recordings(1))
    with sqlite3.connect(tmp_path / "g.db") as connection:
        names = "voice_id, vector, source, sha256, duration_seconds, risks, added_at, mapped"
        connection.execute(
            f"INSERT INTO recordings ({names}) SELECT {names} FROM recordings WHERE id = 1"
        )
    with Gallery(tmp_path / "g.db") as opened:
        assert opened.precisions() == {"": 4}
        assert opened.voice("a").recordings[-1].precision == ""
