"""Embed the shards of a corpus on a Ray cluster, with Ray Data."""

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
    """An actor, which embeds one shard at a time."""

    def __init__(self, payload: bytes) -> None:
        limit_threads(1)
        self.embedder: Embedder
        self.embedder, self.strict = pickle.loads(payload)  # may import torch
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
    """Embed shards in `workers` actors; by default, one per CPU of the cluster except one.

    This process writes their results, in the order in which they finish. If an actor dies, Ray
    starts it and its shard again. The paths of recordings must be valid on every machine of the
    cluster. Raises MissingExtraError without Ray.
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
        cast(Any, _Worker),  # Ray's stubs allow only functions
        fn_constructor_args=(pickle.dumps((embedder, strict)),),
        compute=ray.data.ActorPoolStrategy(size=actors),
        num_cpus=1,
        num_gpus=1 if embedder.device.type == "cuda" else 0,
    )
    for row in dataset.iter_rows():
        result: ShardResult = pickle.loads(row["result"])
        folder.write(result.file_name, result.content)
        yield result
