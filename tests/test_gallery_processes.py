"""A gallery with several processes, and with processes that are killed."""

from __future__ import annotations

import os
import random
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from timbral.errors import DataError
from timbral.gallery.encoder_identity import EncoderIdentity
from timbral.gallery.gallery import Gallery
from timbral.gallery.voices import EnrolledRecording

SIZE = 192
ENCODER = EncoderIdentity("campplus-zh-en", "a" * 64, "b" * 64, SIZE)
ENROLL = """
import sys
import numpy as np
from timbral.gallery.gallery import Gallery
from timbral.gallery.voices import EnrolledRecording

path, start, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
gallery = Gallery(path)
random = np.random.default_rng(int(start))
print("ready", flush=True)
for number in range(count):
    vectors = random.standard_normal((3, gallery.encoder.embedding_dim)).astype(np.float32)
    name = f"{start}-{number}"
    gallery.add(name, [EnrolledRecording(vector, name, duration_seconds=4.0) for vector in vectors])
    print(name, flush=True)
"""


def start_enrolling(path: Path, seed: int, count: int) -> subprocess.Popen[str]:
    words = [sys.executable, "-c", ENROLL, str(path), str(seed), str(count)]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def check_whole(path: Path, acknowledged: list[str]) -> None:
    """Everything that was acknowledged is there, and no half voice."""
    voices = {each.name: each for each in Gallery(path).voices()}
    assert set(acknowledged) <= set(voices)
    assert {each.num_recordings for each in voices.values()} <= {3}
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    counts = "SELECT count(*) FROM recordings GROUP BY voice_id"
    assert set(connection.execute(counts).fetchall()) <= {(3,)}
    assert len(connection.execute(counts).fetchall()) == len(voices)
    connection.close()


def kill_while_enrolling(path: Path, kills: int) -> list[str]:
    Gallery.create(path, ENCODER).close()
    moments = random.Random(0)
    acknowledged = []
    for seed in range(kills):
        process = start_enrolling(path, seed, 1_000_000)
        time.sleep(moments.uniform(0.0, 0.15))
        process.kill()
        assert process.stdout is not None
        lines = process.stdout.read().splitlines(keepends=True)
        acknowledged += [line.strip() for line in lines if line.endswith("\n")]
        process.stdout.close()
        process.wait()
        check_whole(path, acknowledged)
    return acknowledged


def test_killed_enrollments_are_whole_or_absent(tmp_path: Path) -> None:
    assert kill_while_enrolling(tmp_path / "gallery.db", 3)


@pytest.mark.slow
def test_fifty_killed_enrollments_are_whole_or_absent(tmp_path: Path) -> None:
    assert len(kill_while_enrolling(tmp_path / "gallery.db", 50)) > 50


def test_several_processes_enroll_at_once(tmp_path: Path) -> None:
    path = tmp_path / "gallery.db"
    gallery = Gallery.create(path, ENCODER)
    processes = [start_enrolling(path, seed, 20) for seed in range(3)]
    vectors = np.random.default_rng(9).standard_normal((3, SIZE)).astype(np.float32)
    gallery.add("own", [EnrolledRecording(vector, "own") for vector in vectors])
    names = [line for each in processes for line in each.communicate()[0].splitlines()]
    assert [each.returncode for each in processes] == [0, 0, 0]
    assert len(names) == 60
    check_whole(path, names)
    assert set(gallery.matrix()[0]) == {*names, "own"}


def test_threads_share_a_gallery(tmp_path: Path) -> None:
    gallery = Gallery.create(tmp_path / "gallery.db", ENCODER)
    generator = np.random.default_rng(0)
    vectors = generator.standard_normal((40, SIZE)).astype(np.float32)

    def enroll(rows: range) -> None:
        for row in rows:
            gallery.add(f"v{row}", [EnrolledRecording(vectors[row], f"{row}.wav")])
            found.append(gallery.search(vectors[row], 1)[0][0][0] == f"v{row}")

    found: list[bool] = []
    threads = [
        threading.Thread(target=enroll, args=(range(start, start + 10),))
        for start in range(0, 40, 10)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 40


def test_forked_process_has_a_connection_of_its_own(tmp_path: Path) -> None:
    gallery = Gallery.create(tmp_path / "gallery.db", ENCODER)
    vector = np.eye(SIZE, dtype=np.float32)[0]
    gallery.add("before", [EnrolledRecording(vector, "a.wav")])
    child = os.fork()
    if child == 0:
        gallery.add("child", [EnrolledRecording(vector, "b.wav")])
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    gallery.add("after", [EnrolledRecording(vector, "c.wav")])
    assert sorted(gallery.matrix()[0]) == ["after", "before", "child"]


def test_several_processes_create_one_gallery(tmp_path: Path) -> None:
    path = tmp_path / "gallery.db"
    code = (
        "import sys; from timbral.gallery.gallery import Gallery; "
        "from timbral.gallery.encoder_identity import EncoderIdentity; "
        "gallery = Gallery.create(sys.argv[1], EncoderIdentity('e', 'f' * 64, '', 4))"
    )
    processes = [subprocess.Popen([sys.executable, "-c", code, path]) for _ in range(3)]
    assert [each.wait() for each in processes] == [0, 0, 0]
    assert [each.name for each in tmp_path.iterdir()] == ["gallery.db"]


def test_damaged_gallery_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "gallery.db"
    gallery = Gallery.create(path, ENCODER)
    gallery.add_many(
        (f"v{row}", [EnrolledRecording(vector, "a.wav")])
        for row, vector in enumerate(np.eye(SIZE, dtype=np.float32))
    )
    gallery.close()
    content = bytearray(path.read_bytes())
    content[8192:] = bytes(len(content) - 8192)
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"gallery\.db: is damaged .*backup"):
        Gallery(path).matrix()
