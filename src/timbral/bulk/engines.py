"""Who embeds the shards: this process, several, or a Ray cluster. The work is the same."""

from __future__ import annotations

import multiprocessing
import os
import pickle
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import product
from multiprocessing.connection import Connection, wait

import torch

from timbral.bulk.on_ray import embed_on_ray
from timbral.bulk.pipeline import GroupProgress, embed_shards
from timbral.bulk.shards import Shard, ShardResult
from timbral.errors import ConfigError, DataError, TimbralError, did_you_mean
from timbral.inference.embedder import Embedder
from timbral.io.devices import tune_cpu
from timbral.io.processes import end_with_parent
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
    """Who embeds. The vectors do not depend on it (to 1e-5), nor does their order."""

    name: str = "local"
    """local, or ray"""
    workers: int | None = 1
    """processes of one core each; 1 local: this process, with as many threads as torch has;
    None: one for each core (or GPU) in a long job, else 1. More than one start Python anew: a
    script needs ``if __name__ == "__main__":``"""
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
        progress: GroupProgress = lambda utterances, seconds: None,
    ) -> Iterator[ShardResult]:
        """Embed shards into `folder`; each is on disk before it is yielded, in any order.

        Where this process embeds, `progress` tells of parts of the shard in work.
        """
        if self.name == "ray":
            return embed_on_ray(
                embedder, shards, folder, self.strict, self.workers, self.ray_address
            )
        workers = self.workers or _workers_that_pay(len(shards), embedder.device.type)
        if workers > 1:
            return embed_in_processes(embedder, shards, folder, self.strict, workers)
        return embed_here(embedder, shards, folder, self.strict, progress)


DEFAULT_ENGINE = Engine()


def _workers_that_pay(num_shards: int, device: str) -> int:
    """As many workers as gain more than the seconds in which they start."""
    available = torch.cuda.device_count() if device == "cuda" else os.cpu_count() or 1
    return max(1, min(available, num_shards // SHARDS_PER_WORKER))


def embed_here(
    embedder: Embedder,
    shards: Sequence[Shard],
    folder: Folder,
    strict: bool,
    progress: GroupProgress = lambda utterances, seconds: None,
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

    A worker writes its shards itself. DataError when one of them dies.
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
            arguments = (workers_end, payload, index)
            process = context.Process(target=_work, args=arguments, daemon=True)
            process.start()
            processes.append(process)
            workers_end.close()  # so that a worker's death ends the connection
            in_hand[connection] = 0
        for _, connection in product(range(QUEUED_SHARDS), in_hand):
            _send(in_hand, connection, next(remaining, None))
        while any(in_hand.values()):
            for ready in wait([c for c, count in in_hand.items() if count]):
                assert isinstance(ready, Connection)
                result = _receive(ready)
                in_hand[ready] -= 1
                _send(in_hand, ready, next(remaining, None))
                yield result
    finally:
        for process in processes:
            process.terminate()
            process.join()


def _send(in_hand: dict[Connection, int], connection: Connection, shard: Shard | None) -> None:
    if shard is not None:
        in_hand[connection] += 1
        with suppress(OSError):  # a worker that died is noticed when its result is waited for
            connection.send(shard)


def _receive(connection: Connection) -> ShardResult:
    try:
        message: ShardResult | TimbralError = connection.recv()
    except (EOFError, OSError):
        raise DataError(
            "a worker process died (out of memory?); what is done is kept: start again, "
            "perhaps with fewer workers"
        ) from None
    if isinstance(message, TimbralError):
        raise message
    return message


def _work(connection: Connection, payload: bytes, index: int) -> None:
    """A worker: embed the shards that come until the parent ends."""
    end_with_parent()
    torch.set_num_threads(1)
    tune_cpu()
    embedder, folder, strict = pickle.loads(payload)
    if embedder.device.type == "cuda" and embedder.device.index is None:
        embedder.to(torch.device("cuda", index % torch.cuda.device_count()))
    try:
        while True:
            for result in embed_here(embedder, [connection.recv()], folder, strict):
                connection.send(replace(result, content=b""))
    except TimbralError as error:
        connection.send(error)
    except (EOFError, KeyboardInterrupt):
        return
