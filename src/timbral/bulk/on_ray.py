"""The shards of a corpus over a Ray cluster, through Ray Data."""

from __future__ import annotations

import logging
import os
import pickle
from collections.abc import Iterator, Sequence
from typing import Any, cast

from timbral.bulk.pipeline import embed_shards
from timbral.bulk.shards import Shard, ShardResult
from timbral.errors import MissingExtraError
from timbral.inference.embedder import Embedder
from timbral.io.loaded_torch import limit_threads
from timbral.io.storage import Folder

__all__ = ["embed_on_ray"]


class _Worker:
    """One actor: it holds the encoder and embeds a shard at a time."""

    def __init__(self, payload: bytes) -> None:
        limit_threads(1)
        self.embedder: Embedder
        self.embedder, self.strict = pickle.loads(payload)  # imports torch, if it is its
        limit_threads(1)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        shard: Shard = pickle.loads(row["shard"])
        [result] = embed_shards(self.embedder, [shard], readers=1, strict=self.strict)
        return {"result": pickle.dumps(result)}


def embed_on_ray(
    embedder: Embedder,
    shards: Sequence[Shard],
    folder: Folder,
    strict: bool,
    workers: int | None,
    address: str | None,
) -> Iterator[ShardResult]:
    """In `workers` actors, by default one for each CPU of the cluster but one.

    This process writes what they return, in the order of their finishing. An actor that dies is
    started again by Ray, and its shard with it. Paths of recordings must mean the same on every
    machine of the cluster.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # no reports to third parties
    try:
        import ray
        import ray.data
    except ImportError:
        raise MissingExtraError("the engine ray", "distributed") from None
    if not ray.is_initialized():
        ray.init(address=address, logging_level=logging.ERROR, log_to_driver=False)
    actors = workers or max(1, int(cast(Any, ray).cluster_resources().get("CPU", 1)) - 1)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    rows = [{"shard": pickle.dumps(shard)} for shard in shards]
    dataset = ray.data.from_items(rows, override_num_blocks=len(rows)).map(
        cast(Any, _Worker),  # the stubs know functions only
        fn_constructor_args=(pickle.dumps((embedder, strict)),),
        compute=ray.data.ActorPoolStrategy(size=actors),
        num_cpus=1,
        num_gpus=1 if embedder.device.type == "cuda" else 0,
    )
    for row in dataset.iter_rows():
        result: ShardResult = pickle.loads(row["result"])
        folder.write(result.file_name, result.content)
        yield result
