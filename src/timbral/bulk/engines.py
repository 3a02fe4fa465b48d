"""Embed shards in this process, in several, or on a Ray cluster."""

from __future__ import annotations

import multiprocessing
import pickle
import select
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import astuple, dataclass, replace
from multiprocessing.connection import Connection, wait

from timbral.bulk.on_ray import embed_on_ray
from timbral.bulk.pipeline import BatchProgress, embed_shards, no_progress
from timbral.bulk.shards import Shard, ShardResult
from timbral.errors import ConfigError, DataError, TimbralError, did_you_mean
from timbral.inference.embedder import Embedder
from timbral.io.cores import usable_cores
from timbral.io.loaded_torch import limit_threads, torch_is_loaded
from timbral.io.processes import WORKER_DIED, end_with_parent, without_interrupts
from timbral.io.storage import Folder

__all__ = ["DEFAULT_ENGINE", "Engine", "embed_here", "embed_in_processes"]

ENGINES = ("local", "ray")
READER_THREADS = 4
SHARDS_PER_WORKER = 8
"""least number of shards for which a worker is started; starting takes as long as a shard"""
QUEUED_SHARDS = 2
"""shards sent to a worker: one that it embeds, and one in its queue"""


@dataclass(frozen=True)
class Engine:
    """How to parallelize. The vectors (to 1e-5; in bf16 to 4e-3) and their order do not depend on
    it.
    """

    name: str = "local"
    """local | ray"""
    workers: int | None = 1
    """number of processes, with one core each. 1 with ``local``: this process, with all of torch's
    threads. None: one per core (or GPU) in a long job, else 1. Worker processes start Python again,
    so a script needs ``if __name__ == "__main__":``"""
    ray_address: str | None = None
    """address of a running cluster; None: start one on this machine"""
    strict: bool = False
    """whether the first unusable recording ends the job with its AudioError"""

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
        progress: BatchProgress = no_progress,
    ) -> Iterator[ShardResult]:
        """Embed shards into `folder`; each is yielded, in any order, after it is written.

        `progress` is called within shards if this process embeds them.
        """
        if self.name == "ray":
            return embed_on_ray(
                embedder, shards, folder, self.strict, self.workers, self.ray_address
            )
        workers = self.workers or _useful_workers(len(shards), embedder.device.type)
        if workers > 1:
            return embed_in_processes(embedder, shards, folder, self.strict, workers, progress)
        return embed_here(embedder, shards, folder, self.strict, progress)


DEFAULT_ENGINE = Engine()


def _useful_workers(num_shards: int, device: str) -> int:
    """The largest number of workers that save more time than they take to start."""
    available = _num_gpus() if device == "cuda" else usable_cores()
    return max(1, min(available, num_shards // SHARDS_PER_WORKER))


def _num_gpus() -> int:
    import torch  # exported models do not need it

    return torch.cuda.device_count()


def embed_here(
    embedder: Embedder,
    shards: Sequence[Shard],
    folder: Folder,
    strict: bool,
    progress: BatchProgress = no_progress,
) -> Iterator[ShardResult]:
    """Embed shards in this process, with torch's own threads."""
    for result in embed_shards(
        embedder, shards, readers=READER_THREADS, strict=strict, progress=progress
    ):
        folder.write(result.file_name, result.content)
        yield result


def embed_in_processes(
    embedder: Embedder,
    shards: Sequence[Shard],
    folder: Folder,
    strict: bool,
    workers: int,
    progress: BatchProgress = no_progress,
) -> Iterator[ShardResult]:
    """Embed shards in `workers` processes of one core each, which on `cuda` share the GPUs evenly.

    Workers write their shards themselves. Raises DataError if one of them dies.
    """
    context = multiprocessing.get_context("spawn")
    payload = pickle.dumps((embedder, folder, strict))
    remaining = iter(shards)
    pending: dict[Connection, int] = {}
    """number of shards that each worker was sent and has not finished"""
    processes = []
    try:
        for index in range(min(workers, len(shards))):
            connection, other_end = context.Pipe()
            # The arguments must be small: if a worker died while it reads them, the parent would
            # wait forever.
            process = context.Process(target=_work, args=(other_end, index), daemon=True)
            with without_interrupts():  # on Ctrl-C, this process ends the others
                process.start()
                processes.append(process)
            other_end.close()  # so that a worker's death closes the connection
            pending[connection] = 0
        for connection in _until_all_started(pending):
            _send(connection, payload)
            for _ in range(QUEUED_SHARDS):
                _send_shard(pending, connection, next(remaining, None))
        for ready, result in _finished(pending, progress):
            _send_shard(pending, ready, next(remaining, None))
            yield result
    finally:
        for connection in pending:
            connection.close()
        for process in processes:
            process.terminate()
            process.join()


@dataclass(frozen=True)
class _Started:
    """The message of a worker that is ready."""


@dataclass(frozen=True)
class _Batch:
    """What a worker says of each batch of recordings: the arguments of a `BatchProgress`."""

    shard: str
    utterances: int
    seconds: float
    failures: int


def _until_all_started(connections: Iterable[Connection]) -> Iterator[Connection]:
    """Each connection after its worker has started; DataError if one dies before."""
    starting = list(connections)
    while starting:
        for ready in wait(starting):
            assert isinstance(ready, Connection)
            message = _receive(ready)
            assert isinstance(message, _Started)
            starting.remove(ready)
            yield ready


def _finished(
    pending: dict[Connection, int], progress: BatchProgress
) -> Iterator[tuple[Connection, ShardResult]]:
    """Finished shards with their workers; `progress` is called for each batch."""
    while any(pending.values()):
        for ready in wait(pending):  # also idle workers, so that their death is noticed
            assert isinstance(ready, Connection)
            message = _receive(ready)
            if isinstance(message, _Batch):
                progress(*astuple(message))
                continue
            assert isinstance(message, ShardResult)
            pending[ready] -= 1
            yield ready, message


def _send_shard(
    pending: dict[Connection, int], connection: Connection, shard: Shard | None
) -> None:
    if shard is not None:
        pending[connection] += 1
        _send(connection, shard)


def _send(connection: Connection, message: object) -> None:
    with suppress(OSError):  # that the worker died is noticed by `wait`
        connection.send(message)


def _receive(connection: Connection) -> ShardResult | _Started | _Batch:
    try:
        message: ShardResult | _Started | _Batch | TimbralError | OSError = connection.recv()
    except (EOFError, OSError):
        raise DataError(WORKER_DIED) from None
    if isinstance(message, TimbralError | OSError):
        raise message
    return message


def _send_if_room(connection: Connection, batch: _Batch) -> None:
    """Send what only the progress needs; the finished shard tells it, too.

    The parent does not read while it sends a large shard, which this worker reads after its own.
    If both waited for room, they would wait forever.
    """
    room = select.poll()
    room.register(connection, select.POLLOUT)
    if room.poll(0):
        connection.send(batch)


def _work(connection: Connection, index: int) -> None:
    """Run a worker: embed the shards that it is sent, until the parent ends."""

    def tell(shard: str, utterances: int, seconds: float, failures: int) -> None:
        _send_if_room(connection, _Batch(shard, utterances, seconds, failures))

    end_with_parent()
    limit_threads(1)
    try:
        connection.send(_Started())
        embedder, folder, strict = pickle.loads(connection.recv())  # may import torch
        limit_threads(1)
        if torch_is_loaded():
            from timbral.io.devices import tune_cpu

            tune_cpu()
        if embedder.device.type == "cuda" and embedder.device.index is None:
            embedder.to(f"cuda:{index % _num_gpus()}")
        while True:
            shard = connection.recv()
            for result in embed_here(embedder, [shard], folder, strict, tell):
                connection.send(replace(result, content=b""))
    except (EOFError, ConnectionError):  # the parent has ended
        return
    except (TimbralError, OSError) as error:  # OSError: for example a full disk
        connection.send(error)
