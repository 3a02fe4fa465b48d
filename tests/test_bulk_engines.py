"""Engines and workers give the same table; memory is bounded; dead workers are errors."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from conftest import SMALL
from timbral import api
from timbral.bulk import engines, pipeline
from timbral.bulk.embed import embed_corpus
from timbral.bulk.engines import Engine
from timbral.bulk.pipeline import embed_shards
from timbral.bulk.shards import SHARD_UTTERANCES, split_into_shards
from timbral.data.corpora.scanning import scan_corpus
from timbral.embeddings.table import read_embeddings, vectors_of
from timbral.encoders.registry import ENCODERS
from timbral.errors import AudioError, ConfigError, DataError, MissingExtraError
from timbral.inference.embedder import Embedder
from timbral.io.storage import Folder


def assert_same_tables(first: Path, second: Path) -> None:
    one, two = read_embeddings(first), read_embeddings(second)
    assert one.drop_columns("embedding").equals(two.drop_columns("embedding"))
    assert np.abs(vectors_of(one) - vectors_of(two)).max() <= 1e-5


def test_processes_give_the_same_table(
    embedder: Embedder, voices: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SHARD_UTTERANCES, "cpu", 7)
    root = tmp_path / "corpus"
    shutil.copytree(voices, root)
    sorted(root.glob("*/*.ogg"))[9].write_bytes(b"not ogg")
    api.embed(embedder, root, tmp_path / "one")
    seen: list[tuple[int, int, float, int]] = []
    summary = api.embed(
        embedder, root, tmp_path / "two", engine=Engine(workers=2),
        progress=lambda *values: seen.append(values),
    )  # fmt: skip
    assert (summary.num_utterances, summary.num_failures) == (47, 1)
    assert seen[-1][0] == seen[-1][1] == 48
    assert seen[-1][3] == 1
    assert [each[0] for each in seen] == sorted(each[0] for each in seen)
    assert len(seen) > 2 + 48 // 7, "within shards, too"
    assert_same_tables(tmp_path / "one", tmp_path / "two")


@pytest.mark.slow
def test_strict_processes_stop_at_first_failure(
    embedder: Embedder, voices: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SHARD_UTTERANCES, "cpu", 7)
    root = tmp_path / "corpus"
    shutil.copytree(voices, root)
    sorted(root.glob("*/*.ogg"))[9].write_bytes(b"not ogg")
    with pytest.raises(AudioError, match="cannot be read as audio"):
        api.embed(embedder, root, tmp_path / "s", engine=Engine(workers=2, strict=True))


def test_strict_stops_at_first_failure(embedder: Embedder, tmp_path: Path, voices: Path) -> None:
    (tmp_path / "corpus").mkdir()
    shutil.copytree(sorted(voices.glob("*/"))[0], tmp_path / "corpus" / "a")
    (tmp_path / "corpus" / "a" / "bad.wav").write_bytes(b"")
    with pytest.raises(AudioError, match="0 bytes"):
        api.embed(embedder, tmp_path / "corpus", tmp_path / "o", engine=Engine(strict=True))


def test_number_of_workers_follows_from_the_number_of_shards(
    embedder: Embedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "usable_cores", lambda: 4)
    monkeypatch.setattr(engines, "embed_here", lambda *_: "here")
    monkeypatch.setattr(engines, "embed_in_processes", lambda *given: given[4])

    def chosen(num_shards: int) -> object:
        return Engine(workers=None).run(embedder, [None] * num_shards, None)  # type: ignore[list-item,arg-type]

    assert [chosen(num_shards) for num_shards in (0, 15, 16, 1000)] == ["here", "here", 2, 4]


def test_progress_within_a_shard(
    embedder: Embedder, tmp_path: Path, voices: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that the time left is known long before the first shard of 512 is done."""
    monkeypatch.setattr(pipeline, "BATCHES_PER_GROUP", 1)
    told: list[tuple[int, int, float, int]] = []
    api.embed(embedder, voices, tmp_path / "o", progress=lambda *numbers: told.append(numbers))
    done = [numbers[0] for numbers in told]
    assert done == sorted(done)
    assert (told[0], told[-1][:2]) == ((0, 48, 0.0, 0), (48, 48))
    assert len(set(done)) > 3
    assert told[-2][2] == pytest.approx(told[-1][2])


def test_unknown_engine_is_an_error() -> None:
    with pytest.raises(ConfigError, match="did you mean 'ray'"):
        Engine("rai")
    with pytest.raises(ConfigError, match="1 or more"):
        Engine(workers=0)


KILLED = """
import sys
import threading
from pathlib import Path
from timbral import api
from timbral.bulk import shards
from timbral.bulk.engines import Engine

if __name__ == "__main__":
    shards.SHARD_UTTERANCES["cpu"] = 4
    api.embed(
        api.load_encoder(sys.argv[1], device="cpu"), sys.argv[2], sys.argv[3],
        engine=Engine(workers=2),
        progress=lambda done, total, seconds, failures: print(done, flush=True),
    )
"""


@pytest.mark.slow
def test_killed_with_workers(
    run: Path, voices: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGKILL of the parent: at most one shard a worker is embedded again."""
    (tmp_path / "job.py").write_text(KILLED)

    def embed(kill_at: int | None) -> list[int]:
        command = [sys.executable, str(tmp_path / "job.py"), str(run), str(voices)]
        shown = []
        with subprocess.Popen([*command, str(tmp_path / "out")], stdout=subprocess.PIPE) as process:
            for line in process.stdout or ():
                shown.append(int(line))
                if kill_at is not None and shown[-1] >= kill_at:
                    process.send_signal(signal.SIGKILL)
        return shown

    reported = embed(kill_at=12)[-1]
    time.sleep(1.0)  # the workers end themselves
    on_disk = 4 * len(list((tmp_path / "out" / ".embed").glob("*.arrow")))
    assert on_disk >= reported - 2 * 4, "all but what the two workers' own shards had so far"
    first, *_, last = embed(kill_at=None)
    assert (first, last) == (on_disk, 48), "what is on disk is not embedded again"
    monkeypatch.setitem(SHARD_UTTERANCES, "cpu", 4)
    api.embed(api.load_encoder(run, device="cpu"), voices, tmp_path / "whole")
    assert_same_tables(tmp_path / "out", tmp_path / "whole")


def test_dead_worker_is_an_error(
    embedder: Embedder, voices: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SHARD_UTTERANCES, "cpu", 2)
    killed: list[int] = []

    def kill_a_child(done: int, total: int, seconds: float, failures: int) -> None:
        if done and not killed:
            children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
            workers = [
                int(child) for child in children
                if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()
            ]  # fmt: skip
            killed.append(workers[-1])
            os.kill(killed[0], signal.SIGKILL)

    with pytest.raises(DataError, match="a worker process died"):
        api.embed(
            embedder, voices, tmp_path, engine=Engine(workers=2), progress=kill_a_child
        )  # fmt: skip


@pytest.mark.parametrize("kind", ["campplus", "lstm", "tdnn"])
def test_mixed_lengths_equal_one_by_one(
    kind: str, voices: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In an order other than that of their lengths; some are longer than `longest_seconds`."""
    monkeypatch.setattr(ENCODERS[kind], "longest_seconds", 5.0)
    monkeypatch.setattr(pipeline, "BATCHES_PER_GROUP", 10 / 16)
    embedder = Embedder(ENCODERS[kind](SMALL[kind]))
    speech = np.concatenate([soundfile.read(path)[0] for path in sorted(voices.glob("*/*.ogg"))])
    (tmp_path / "c" / "anna").mkdir(parents=True)
    for number, seconds in enumerate((2.0, 14.0, 0.3, 5.1, 1.5, 0.05, 3.0)):
        samples = np.resize(speech[number * 16_000 :], int(16_000 * seconds))
        soundfile.write(tmp_path / "c" / "anna" / f"{number}.wav", samples, 16_000)
    utterances = scan_corpus("folder", tmp_path / "c")
    summary = embed_corpus(embedder, utterances, tmp_path / "c", tmp_path / "o")
    assert summary.num_failures == 1, "0.05 s is too short"
    table = read_embeddings(tmp_path / "o")
    assert table["utterance"].to_pylist() == [f"anna/{number}" for number in (0, 1, 2, 3, 4, 6)]
    for path, vector in zip(table["path"].to_pylist(), vectors_of(table), strict=True):
        assert np.abs(embedder.encode(path) - vector).max() <= 1e-5


def test_decoded_audio_is_bounded(
    embedder: Embedder, voices: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Never more audio decoded ahead than the bound, but for one recording that is longer."""
    limit = 12.0  # seconds in a group; utterances have about three
    monkeypatch.setattr(pipeline, "BATCHES_PER_GROUP", limit / 16)
    asked: list[str] = []
    lengths: list[int] = []
    load = Embedder.load_audio
    encode_preprocessed = Embedder.encode_preprocessed

    def counted(self: Embedder, path: str) -> np.ndarray:
        asked.append(path)
        return load(self, path)

    def watched(self: Embedder, waves: list[np.ndarray]) -> np.ndarray:
        time.sleep(0.02)  # the readers run as far ahead as they may
        lengths.extend(map(len, waves))
        held = sum(soundfile.info(path).duration for path in asked) - sum(lengths) / 16_000
        assert held <= 2 * limit + 0.5
        assert sum(map(len, waves)) / 16_000 <= limit + 0.5
        return encode_preprocessed(self, waves)

    monkeypatch.setattr(Embedder, "load_audio", counted)
    monkeypatch.setattr(Embedder, "encode_preprocessed", watched)
    shards = split_into_shards(scan_corpus("folder", voices), "cpu", Folder(voices / "none"))
    results = list(embed_shards(embedder, shards, readers=4))
    assert sum(result.num_utterances for result in results) == 48


def test_only_files_that_match_the_pattern_are_embedded(
    embedder: Embedder, voices: Path, tmp_path: Path
) -> None:
    summary = api.embed(embedder, voices, tmp_path, pattern="*_0[0-3].ogg")
    assert 0 < summary.num_utterances < 48
    assert all(path.endswith(".ogg") for path in read_embeddings(tmp_path)["path"].to_pylist())
    with pytest.raises(DataError, match=r"none of 48 recordings matches the pattern '\*\.wav'"):
        api.embed(embedder, voices, tmp_path / "o", pattern="*.wav")


def test_beside_audio_keeps_models_apart(embedder: Embedder, voices: Path, tmp_path: Path) -> None:
    root = tmp_path / "corpus"
    shutil.copytree(voices, root)
    other = Embedder(embedder.network, embedder.preprocessing, weights_sha256="other")
    api.embed(embedder, root, root, format="torch", model_name="one")
    api.embed(other, root, root, format="torch", model_name="two")
    assert len(list(root.glob("*/*.one_embedding"))) == 48
    assert len(list(root.glob("*/*.two_embedding"))) == 48
    with pytest.raises(DataError, match="of another encoder"):
        api.embed(other, root, root, format="torch", model_name="one")


STARTED = """
import os, signal, sys, threading, time
from pathlib import Path
from timbral import api
from timbral.bulk.engines import Engine
from timbral.errors import DataError


def kill_a_worker(after):
    children = Path(f"/proc/self/task/{os.getpid()}/children")
    while True:
        for child in children.read_text().split():
            if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes():
                time.sleep(after)
                os.kill(int(child), signal.SIGKILL)
                return
        time.sleep(0.001)


if __name__ == "__main__":
    embedder = api.load_encoder(sys.argv[1], device="cpu")
    embedder.network.register_buffer("much", __import__("torch").zeros(1_000_000))
    for number in range(int(sys.argv[4])):
        after = float(sys.argv[5]) * number
        threading.Thread(target=kill_a_worker, args=(after,), daemon=True).start()
        try:
            api.embed(
                embedder, sys.argv[2], f"{sys.argv[3]}/{number}", engine=Engine(workers=2)
            )
        except DataError as error:
            print(str(error).split(". ")[0], flush=True)
        else:
            print("done", flush=True)
"""


def kill_at_start(run: Path, voices: Path, folder: Path, kills: int, step: float) -> list[str]:
    """Kill a worker `step` seconds later after its start each time; what the jobs ended with."""
    (folder / "job.py").write_text(STARTED)
    words = [str(folder / "job.py"), str(run), str(voices), str(folder), str(kills), str(step)]
    ended = subprocess.run(
        [sys.executable, *words], capture_output=True, text=True, check=True, timeout=300 * kills
    )
    return ended.stdout.splitlines()


def test_worker_that_dies_while_starting_is_an_error(
    run: Path, voices: Path, tmp_path: Path
) -> None:
    """With weights larger than a pipe holds."""
    assert kill_at_start(run, voices, tmp_path, 1, 0.0) == [
        "a worker process died (out of memory?)"
    ]


@pytest.mark.slow
def test_many_workers_that_die_while_starting(run: Path, voices: Path, tmp_path: Path) -> None:
    kills = int(os.environ.get("TIMBRAL_TEST_KILLS", "20"))
    ends = kill_at_start(run, voices, tmp_path, kills, 5.0 / kills)
    assert len(ends) == kills
    assert set(ends) <= {"a worker process died (out of memory?)", "done"}


def test_ray_reports_nothing_to_third_parties(
    embedder: Embedder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_USAGE_STATS_ENABLED", raising=False)
    monkeypatch.setitem(sys.modules, "ray", None)  # or it would be imported after that
    with pytest.raises(MissingExtraError, match="the engine ray"):
        next(Engine("ray").run(embedder, [], Folder(tmp_path)))
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"


def test_progress_of_a_worker_does_not_wait_for_its_reader() -> None:
    ours, workers = multiprocessing.Pipe()
    batch = engines._Batch("00000.arrow", 1, 2.0, 0)

    def send_many() -> None:
        for _ in range(5_000):
            engines._send_if_room(workers, batch)

    sender = threading.Thread(target=send_many, daemon=True)
    sender.start()
    sender.join(timeout=60)
    assert not sender.is_alive()
    assert ours.poll()
    assert ours.recv() == batch
