"""Corpora and vectors in an object store, on a local S3-compatible server; and Ray."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest

from timbral import api
from timbral.bulk.engines import Engine
from timbral.bulk.shards import SHARD_UTTERANCES
from timbral.embeddings.table import read_embeddings, vectors_of
from timbral.errors import DataError
from timbral.inference.embedder import Embedder
from timbral.io import storage


@pytest.fixture
def bucket(voices: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An S3 server with the voices in it, reached as any other: by the environment."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }.items():
        monkeypatch.setenv(name, value)
    storage._filesystem.cache_clear()
    import boto3

    client = boto3.client("s3")
    client.create_bucket(Bucket="speech")
    for path in sorted(voices.glob("*/*.ogg")):
        key = f"corpus/{path.parent.name}/{path.name}"
        client.put_object(Bucket="speech", Key=key, Body=path.read_bytes())
    yield "s3://speech"
    storage._filesystem.cache_clear()
    server.stop()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_corpus_in_s3(
    embedder: Embedder, voices: Path, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From s3:// to s3://, killed in the middle; the table is that of local files."""
    monkeypatch.setitem(SHARD_UTTERANCES, "cpu", 20)
    source, target = f"{bucket}/corpus", f"{bucket}/vectors"

    def stop(done: int, total: int, seconds: float, failures: int) -> None:
        if 20 < done < total:  # the first shard is written
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        api.embed(embedder, source, target, progress=stop)
    summary = api.embed(embedder, source, target)
    assert (summary.num_utterances, summary.num_failures) == (48, 0)
    assert 0 < summary.new_audio_seconds < 0.8 * summary.audio_seconds, "only the rest is done"
    api.embed(embedder, voices, tmp_path / "local")
    local = read_embeddings(tmp_path / "local")
    (tmp_path / "remote.parquet").write_bytes(storage.fetch(f"{target}/utterances.parquet"))
    remote = pyarrow.parquet.read_table(tmp_path / "remote.parquet")
    assert remote["utterance"].equals(local["utterance"])
    assert remote["path"][0].as_py().startswith(f"{source}/")
    assert np.abs(vectors_of(remote) - vectors_of(local)).max() <= 1e-5
    api.embed(embedder, source, target, format="npy")
    first = remote["path"][0].as_py().removeprefix(f"{source}/").removesuffix(".ogg")
    (tmp_path / "first.npy").write_bytes(storage.fetch(f"{target}/{first}.npy"))
    np.testing.assert_array_equal(np.load(tmp_path / "first.npy"), vectors_of(remote)[0])
    with pytest.raises(DataError, match="no audio found"):
        api.embed(embedder, f"{bucket}/nothing", target)


def test_fsspec_knows_other_stores(embedder: Embedder, voices: Path, tmp_path: Path) -> None:
    """memory:// stands for what pyarrow does not know and fsspec does."""
    for path in sorted(voices.glob("*/*.ogg"))[:7]:
        folder = storage.Folder(f"memory://bucket/corpus/{path.parent.name}")
        folder.write(path.name, path.read_bytes())
    summary = api.embed(embedder, "memory://bucket/corpus", tmp_path)
    assert (summary.num_utterances, summary.num_speakers) == (7, 2)
    with pytest.raises(DataError, match="nosuch"):
        api.embed(embedder, "nosuch://x/y", tmp_path / "o")


def ray_workers() -> list[int]:
    """Processes of Ray's map workers that this process started, through its raylet."""

    def parent(pid: int) -> int:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])

    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            title = (entry / "cmdline").read_bytes()
            if b"MapWorker" in title and parent(parent(int(entry.name))) == os.getpid():
                found.append(int(entry.name))
    return sorted(found)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_ray_writes_what_a_local_run_writes(
    embedder: Embedder, voices: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A real Ray with four logical CPUs; one of its workers is killed in the middle."""
    import ray

    monkeypatch.setitem(SHARD_UTTERANCES, "cpu", 3)
    api.embed(embedder, voices, tmp_path / "local")
    ray.init(num_cpus=4, include_dashboard=False, logging_level="ERROR", log_to_driver=False)
    killed: list[int] = []

    def kill_one(done: int, total: int, seconds: float, failures: int) -> None:
        actors = ray_workers()
        if done and not killed and actors:
            killed.append(actors[0])
            os.kill(actors[0], signal.SIGKILL)
        time.sleep(0.05)

    try:
        engine = Engine("ray", workers=2)
        summary = api.embed(embedder, voices, tmp_path / "ray", engine=engine, progress=kill_one)
    finally:
        ray.shutdown()
    assert killed, "a worker was killed"
    assert (summary.num_utterances, summary.num_failures) == (48, 0)
    one, two = (read_embeddings(tmp_path / name) for name in ("local", "ray"))
    one, two = one.sort_by("utterance"), two.sort_by("utterance")
    assert one.drop_columns("embedding").equals(two.drop_columns("embedding"))
    assert np.abs(vectors_of(one) - vectors_of(two)).max() <= 1e-5


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_trials_in_s3(embedder: Embedder, voices: Path, bucket: str, tmp_path: Path) -> None:
    names = [str(path.relative_to(voices)) for path in sorted(voices.glob("*/*.ogg"))]
    (tmp_path / "t").write_text(f"1 {names[0]} {names[1]}\n0 {names[0]} {names[-1]}\n")
    remote, local = (
        api.evaluate(embedder, tmp_path / "t", root, tmp_path / str(number))
        for number, root in enumerate((f"{bucket}/corpus", voices))
    )
    assert remote == local
