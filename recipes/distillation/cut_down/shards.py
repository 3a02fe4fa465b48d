"""Batches of crops from the shards of voices.py."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

__all__ = ["Shard", "batches", "held_shards"]

Shard = dict[str, Tensor]


def batches(folder: Path, size: int, seed: int) -> Iterator[Shard]:
    """Without end: in every pass over the files that are there by then each pair of a shard once.

    A batch is of one shard, so of one length, with both crops of each pair.
    """
    generator = torch.Generator().manual_seed(seed)
    while True:
        pool: list[tuple[Path, list[Tensor]]] = []
        paths = sorted(folder.glob("voices-*.pt"))
        for index in torch.randperm(len(paths), generator=generator).tolist():
            pairs = len(_read(paths[index])["vectors"]) // 2
            drawn = torch.randperm(pairs, generator=generator)
            pool.append((paths[index], list(drawn.split(size // 2))))
        while pool:
            pick = int(torch.randint(len(pool), (1,), generator=generator))
            path, parts = pool[pick]
            first = 2 * parts.pop()
            rows = torch.stack([first, first + 1], dim=1).flatten()
            if not parts:
                pool.pop(pick)
            yield {name: values[rows].float() for name, values in _read(path).items()}


def held_shards(folder: Path) -> dict[str, Shard]:
    """By corpus, the crops of speakers who are not trained on."""
    found = sorted(folder.glob("held-*.pt"))
    return {path.stem.removeprefix("held-"): _read(path) for path in found}


def _read(path: Path) -> Shard:
    shard: Shard = torch.load(path, mmap=True, weights_only=True)
    return shard
