"""A gallery in PostgreSQL: a real server, two servers' worth of processes on one database."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import timbral
from conftest import Ask
from test_gallery import ENCODER, SIZE, mean_of, recordings
from test_gallery_processes import ENROLL
from timbral.errors import DataError
from timbral.gallery.encoder_identity import EncoderIdentity
from timbral.gallery.gallery import Gallery
from timbral.gallery.postgres_database import PostgresDatabase

BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
USERS = ("owner", "reader", "writer")
FAST = "-c fsync=off -c listen_addresses='' -c full_page_writes=off"


def server_user() -> str | None:
    """PostgreSQL does not run as root."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam("postgres").pw_name
    except KeyError:
        pytest.skip("PostgreSQL does not run as root, and there is no user postgres")


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The URL of a server that is there for these tests."""
    pytest.importorskip("psycopg")
    if not BINARIES:
        pytest.skip("no PostgreSQL server is installed (apt-get install postgresql)")
    user = server_user()
    folder = Path(tempfile.mkdtemp(prefix="timbral-pg"))
    if user:
        shutil.chown(folder, user)

    def run(name: str, *words: str) -> None:
        command = [str(BINARIES[-1] / name), *words]
        subprocess.run(command, user=user, cwd=folder, check=True, stdout=subprocess.DEVNULL)

    data = str(folder / "data")
    run("initdb", "-D", data, "-U", "timbral", "--no-sync", "-A", "trust", "-E", "UTF8")
    try:
        log = str(folder / "log")
        run("pg_ctl", "-D", data, "-l", log, "-w", "-o", f"{FAST} -k {folder}", "start")
        yield f"postgresql://timbral:secret@/postgres?host={folder}"
    finally:
        run("pg_ctl", "-D", data, "-m", "immediate", "stop")
        shutil.rmtree(folder)


@pytest.fixture
def gallery(server: str) -> Iterator[Gallery]:
    gallery = Gallery.create(server, ENCODER)
    yield gallery
    gallery._store.database.query("DROP SCHEMA timbral_gallery CASCADE")
    gallery.close()


@pytest.mark.slow
def test_gallery_on_a_server(server: str, gallery: Gallery) -> None:
    gallery.add("caller-17", recordings(1), consent="form 12")
    gallery.add_many((f"v{seed}", recordings(seed, 1)) for seed in range(2, 60))
    with Gallery(server) as other:
        voice = other.voice("caller-17")
        assert voice.summary.consent == "form 12"
        np.testing.assert_array_equal(voice.recordings[1].vector, recordings(1)[1].vector)
        assert voice.recordings[1].snr_db == 30.0
        assert other.search(mean_of(1), 1)[0] == [["caller-17"]]
        gallery.rename("caller-17", "%s ? 名前")
        assert gallery.remove("v3")
        gallery.merge("v4", "v5")
        assert other.search(mean_of(1), 1)[0] == [["%s ? 名前"]]
        assert len(other) == 57 == len(other.matrix()[0])
        assert "v3" not in other
        assert "secret" not in other.location
        with pytest.raises(DataError, match="has no voice 'v3'"):
            other.voice("v3")
        with pytest.raises(DataError, match="different encoders"):
            Gallery.create(server, EncoderIdentity("other", "c" * 64, "", SIZE))


@pytest.mark.slow
def test_several_processes_enroll_on_a_server(server: str, gallery: Gallery) -> None:
    started = [
        subprocess.Popen(
            [sys.executable, "-c", ENROLL, server, str(seed), "1000000"],
            stdout=subprocess.PIPE,
            text=True,
        )
        for seed in range(2)
    ]
    acknowledged = []
    for process in started:
        assert process.stdout is not None
        head = [process.stdout.readline() for _ in range(10)]
        process.kill()
        lines = [*head[1:], *process.stdout.read().splitlines(keepends=True)]
        process.stdout.close()
        process.wait()
        acknowledged += [line.strip() for line in lines if line.endswith("\n")]
    assert len(acknowledged) >= 18
    voices = {each.name: each.num_recordings for each in gallery.voices()}
    assert set(acknowledged) <= set(voices)
    assert set(voices.values()) == {3}
    assert set(gallery.matrix()[0]) == set(voices)


@pytest.mark.slow
def test_errors_of_a_server_name_it_without_its_password(server: str) -> None:
    with pytest.raises(DataError, match="this database contains no gallery") as caught:
        Gallery(server)
    assert "secret" not in str(caught.value)
    with pytest.raises(DataError, match="PostgreSQL refuses") as caught:
        PostgresDatabase.open("postgresql://me:secret@/postgres?host=/nowhere")
    assert "secret" not in str(caught.value)


@pytest.mark.slow
def test_readers_of_a_server_do_not_wait_while_a_writer_does(server: str, gallery: Gallery) -> None:
    import psycopg

    gallery.add("a", recordings(1))
    with psycopg.connect(server) as other:
        other.execute("SELECT changes FROM timbral_gallery.gallery FOR UPDATE")
        writer = threading.Thread(target=gallery.add, args=("b", recordings(2)))
        writer.start()
        time.sleep(0.1)
        assert gallery.search(mean_of(1), 1)[0] == [["a"]]
        assert writer.is_alive()
    writer.join()
    assert gallery.search(mean_of(2), 1)[0] == [["b"]]


@pytest.mark.slow
def test_two_services_share_a_server(server: str, run: Path) -> None:
    pytest.importorskip("fastapi", reason="needs the extra [serve]")
    import httpx

    from test_serving_processes import CLIP, enroll, enroll_until_killed, names, service

    clip = CLIP.read_bytes()
    gallery = Gallery.create(server, timbral.load_encoder(run))
    try:
        with service(run, server) as (one, process), service(run, server) as (other, _):
            for number in range(3):
                assert enroll(one, f"a{number}", clip) == enroll(other, f"b{number}", clip) == 200
                assert names(one) == names(other)
            assert httpx.delete(f"{other}/voices/a1").status_code == 200
            assert names(one) == ["a0", "a2", "b0", "b1", "b2"]
            acknowledged: list[str] = []
            thread = threading.Thread(target=enroll_until_killed, args=(one, "c", acknowledged))
            thread.start()
            while not acknowledged:
                time.sleep(0.01)
            process.kill()
            thread.join()
            assert set(acknowledged) <= set(names(other))
            assert enroll(other, "d", clip) == 200
        assert "d" in gallery.matrix()[0]
    finally:
        gallery._store.database.query("DROP SCHEMA timbral_gallery CASCADE")
        gallery.close()


@pytest.mark.slow
def test_the_rights_in_the_docs_are_enough(server: str, gallery: Gallery, ask: Ask) -> None:
    """Only the owner of the tables can overwrite what was removed; others are told so."""
    page = Path(__file__).parents[1] / "docs" / "gallery.md"
    grants = [line for line in page.read_text().splitlines() if line.startswith("    GRANT")]
    gallery.add_many((f"v{seed}", recordings(seed, 1)) for seed in range(4))
    users = {name: server.replace("//timbral:secret@", f"//{name}@") for name in USERS}
    database = PostgresDatabase(server)
    try:
        for name in USERS:
            database.query(f"CREATE ROLE {name} LOGIN")
        for grant in grants:
            database.query(grant.replace("DATABASE voices", "DATABASE postgres"))
        with Gallery(users["reader"]) as opened:
            assert opened.search(mean_of(1), 1)[0] == [["v1"]]
            with pytest.raises(DataError, match="permission denied"):
                opened.remove("v1")
        with Gallery(users["writer"]) as opened:
            opened.add("new", recordings(7))
            opened.rename("new", "newer")
            opened.merge("newer", "v3")
            assert not opened.remove("v1")
        removed = ask("gallery", "remove", users["writer"], "v2")
        assert removed.code == 1
        assert "only the user who created the gallery may rewrite its tables" in removed.err
        assert gallery.erase()
        database.query("DROP SCHEMA timbral_gallery CASCADE")
        with Gallery.create(users["owner"], ENCODER) as created:
            created.add("a", recordings(1))
            assert created.remove("a")
        database.query("DROP SCHEMA timbral_gallery CASCADE")
        Gallery.create(server, ENCODER).close()
    finally:
        for name in USERS:
            database.query(f"DROP OWNED BY {name} CASCADE")
            database.query(f"DROP ROLE {name}")
        database.close()
