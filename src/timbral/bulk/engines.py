"""Who embeds the parts: this process, several, or a Ray cluster. The work is the same."""

from __future__ import annotations

import multiprocessing
import pickle
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import product
from multiprocessing.connection import Connection, wait

import torch

from timbral.bulk.pipeline import embed_parts
from timbral.bulk.shards import Done, Part
from timbral.errors import DataError, TimbralError
from timbral.inference.embedder import Embedder
from timbral.io.devices import tune_cpu
from timbral.io.processes import end_with_parent
from timbral.io.storage import Folder

__all__ = ["embed_here", "embed_in_processes"]

READERS = 4
QUEUED = 2
"""parts that a worker has been given: one in work, one waiting"""


def embed_here(
    embedder: Embedder, parts: Sequence[Part], folder: Folder, strict: bool
) -> Iterator[Done]:
    """One process, with torch's own threads. Each part is in `folder` before it is reported."""
    for done in embed_parts(embedder, parts, readers=READERS, strict=strict):
        folder.write(done.name, done.content)
        yield done


def embed_in_processes(
    embedder: Embedder, parts: Sequence[Part], folder: Folder, strict: bool, workers: int
) -> Iterator[Done]:
    """`workers` processes of one core each; on `cuda` they take turns over the GPUs.

    A worker writes its parts itself. DataError when one of them dies.
    """
    context = multiprocessing.get_context("spawn")
    payload = pickle.dumps((embedder, folder, strict))
    waiting = iter(parts)
    connections: dict[Connection, int] = {}
    """and how many parts each has in hand"""
    processes = []
    try:
        for index in range(min(workers, len(parts))):
            ours, theirs = context.Pipe()
            arguments = (theirs, payload, index)
            process = context.Process(target=_work, args=arguments, daemon=True)
            process.start()
            processes.append(process)
            theirs.close()  # so that a worker's death ends the connection
            connections[ours] = 0
        for _, connection in product(range(QUEUED), connections):
            _give(connections, connection, next(waiting, None))
        while any(connections.values()):
            for connection in wait([c for c, in_hand in connections.items() if in_hand]):
                assert isinstance(connection, Connection)
                done = _receive(connection)
                connections[connection] -= 1
                _give(connections, connection, next(waiting, None))
                yield done
    finally:
        for process in processes:
            process.terminate()
            process.join()


def _give(connections: dict[Connection, int], connection: Connection, part: Part | None) -> None:
    if part is not None:
        connections[connection] += 1
        with suppress(OSError):  # a worker that died is noticed when its result is waited for
            connection.send(part)


def _receive(connection: Connection) -> Done:
    try:
        message: Done | TimbralError = connection.recv()
    except (EOFError, OSError):
        raise DataError(
            "a worker process died (out of memory?); what is done is kept: start again, "
            "perhaps with fewer --workers"
        ) from None
    if isinstance(message, TimbralError):
        raise message
    return message


def _work(connection: Connection, payload: bytes, index: int) -> None:
    end_with_parent()
    torch.set_num_threads(1)
    tune_cpu()
    embedder, folder, strict = pickle.loads(payload)
    if embedder.device.type == "cuda" and embedder.device.index is None:
        embedder.device = torch.device("cuda", index % torch.cuda.device_count())
        embedder.network.to(embedder.device)
    try:
        while True:
            for done in embed_here(embedder, [connection.recv()], folder, strict):
                connection.send(replace(done, content=b""))
    except TimbralError as error:
        connection.send(error)
    except (EOFError, KeyboardInterrupt):
        return
