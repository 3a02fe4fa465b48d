"""Who embeds the shards: this process, several, or a Ray cluster. The work is the same."""

from __future__ import annotations

import multiprocessing
import pickle
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait

from timbral.bulk.on_ray import embed_on_ray
from timbral.bulk.pipeline import GroupProgress, embed_shards
from timbral.bulk.shards import Shard, ShardResult
from timbral.errors import ConfigError, DataError, TimbralError, did_you_mean
from timbral.inference.embedder import Embedder
from timbral.io.cores import usable_cores
from timbral.io.loaded_torch import limit_threads, torch_is_loaded
from timbral.io.processes import end_with_parent, without_interrupts
from timbral.io.storage import Folder

__all__ = ["DEFAULT_ENGINE", "Engine", "embed_here", "embed_in_processes"]

ENGINES = ("local", "ray")
READER_THREADS = 4
SHARDS_PER_WORKER = 8
"""for which starting one pays; starting takes as long as a shard"""
QUEUED_SHARDS = 2
"""given to a worker: one in work, one queued"""


@dataclass(frozen=True)
class Engine:
    """Who embeds. The vectors do not depend on it (to 1e-5; in bf16 to 4e-3), nor does their
    order."""

    name: str = "local"
    """local, or ray"""
    workers: int | None = 1
    """processes of one core each; 1 local: this process, with as many threads as torch has;
    None: one for each core (or GPU) in a long job, else 1. Others start Python again: a script
    needs ``if __name__ == "__main__":``"""
    ray_address: str | None = None
    """of a running cluster; None starts one on this machine"""
    strict: bool = False
    """the first recording that cannot be used ends the job with its AudioError"""

    def __post_init__(self) -> None:
        if self.name not in ENGINES:
            raise ConfigError(f"unknown engine {self.name!r}{did_you_mean(self.name, ENGINES)}")
        if self.workers is not None and self.workers < 1:
            raise ConfigError(f"workers must be 1 or more, got {self.workers}")

    def run(
        self,
        embedder: Embedder,
        shards: Sequence[Shard],
        folder: Folder,
        progress: GroupProgress = lambda utterances, seconds, failures: None,
    ) -> Iterator[ShardResult]:
        """Embed shards into `folder`; each is on disk before it is yielded, in any order.

        Where this process embeds, `progress` is called within each shard.
        """
        if self.name == "ray":
            return embed_on_ray(
                embedder, shards, folder, self.strict, self.workers, self.ray_address
            )
        workers = self.workers or _useful_workers(len(shards), embedder.device.type)
        if workers > 1:
            return embed_in_processes(embedder, shards, folder, self.strict, workers)
        return embed_here(embedder, shards, folder, self.strict, progress)


DEFAULT_ENGINE = Engine()


def _useful_workers(num_shards: int, device: str) -> int:
    """As many workers as gain more than the seconds in which they start."""
    available = _num_gpus() if device == "cuda" else usable_cores()
    return max(1, min(available, num_shards // SHARDS_PER_WORKER))


def _num_gpus() -> int:
    import torch  # which an exported model does not need

    return torch.cuda.device_count()


def embed_here(
    embedder: Embedder,
    shards: Sequence[Shard],
    folder: Folder,
    strict: bool,
    progress: GroupProgress = lambda utterances, seconds, failures: None,
) -> Iterator[ShardResult]:
    """In this process, with torch's own threads."""
    for result in embed_shards(
        embedder, shards, readers=READER_THREADS, strict=strict, progress=progress
    ):
        folder.write(result.file_name, result.content)
        yield result


def embed_in_processes(
    embedder: Embedder, shards: Sequence[Shard], folder: Folder, strict: bool, workers: int
) -> Iterator[ShardResult]:
    """In `workers` processes of one core each; on `cuda` they take turns over the GPUs.

    A worker writes its shards itself. DataError when one of them dies, at any moment.
    """
    context = multiprocessing.get_context("spawn")
    payload = pickle.dumps((embedder, folder, strict))
    remaining = iter(shards)
    in_hand: dict[Connection, int] = {}
    """how many shards each worker has been given and not yet returned"""
    processes = []
    try:
        for index in range(min(workers, len(shards))):
            connection, workers_end = context.Pipe()
            # Only a few bytes: if a worker died before reading more, the parent would wait forever.
            process = context.Process(target=_work, args=(workers_end, index), daemon=True)
            with without_interrupts():  # Ctrl-C reaches this process, which ends the others
                process.start()
                processes.append(process)
            workers_end.close()  # so that a worker's death ends the connection
            in_hand[connection] = 0
        for connection in _until_all_started(in_hand):
            _send(connection, payload)
            for _ in range(QUEUED_SHARDS):
                _send_shard(in_hand, connection, next(remaining, None))
        while any(in_hand.values()):
            # also those of idle workers, so that their death is noticed
            for ready in wait(in_hand):
                assert isinstance(ready, Connection)
                result = _receive(ready)
                assert isinstance(result, ShardResult)
                in_hand[ready] -= 1
                _send_shard(in_hand, ready, next(remaining, None))
                yield result
    finally:
        for connection in in_hand:
            connection.close()
        for process in processes:
            process.terminate()
            process.join()


@dataclass(frozen=True)
class _Started:
    """What a worker says when it can take work."""


def _until_all_started(connections: Iterable[Connection]) -> Iterator[Connection]:
    """Each connection when its worker has started; DataError when one dies before."""
    pending = list(connections)
    while pending:
        for ready in wait(pending):
            assert isinstance(ready, Connection)
            message = _receive(ready)
            assert isinstance(message, _Started)
            pending.remove(ready)
            yield ready


def _send_shard(
    in_hand: dict[Connection, int], connection: Connection, shard: Shard | None
) -> None:
    if shard is not None:
        in_hand[connection] += 1
        _send(connection, shard)


def _send(connection: Connection, message: object) -> None:
    with suppress(OSError):  # a worker that died is noticed when its result is waited for
        connection.send(message)


def _receive(connection: Connection) -> ShardResult | _Started:
    try:
        message: ShardResult | _Started | TimbralError | OSError = connection.recv()
    except (EOFError, OSError):
        raise DataError(
            "a worker process died (out of memory?). Finished work is kept: start again, perhaps "
            "with fewer workers"
        ) from None
    if isinstance(message, TimbralError | OSError):
        raise message
    return message


def _work(connection: Connection, index: int) -> None:
    """A worker: embed the shards that come until the parent ends."""
    end_with_parent()
    limit_threads(1)
    try:
        connection.send(_Started())
        embedder, folder, strict = pickle.loads(connection.recv())  # imports torch, if it is its
        limit_threads(1)
        if torch_is_loaded():
            from timbral.io.devices import tune_cpu

            tune_cpu()
        if embedder.device.type == "cuda" and embedder.device.index is None:
            embedder.to(f"cuda:{index % _num_gpus()}")
        while True:
            for result in embed_here(embedder, [connection.recv()], folder, strict):
                connection.send(replace(result, content=b""))
    except (EOFError, ConnectionError):  # the parent is gone
        return
    except (TimbralError, OSError) as error:  # OSError: a full disk, for one
        connection.send(error)
