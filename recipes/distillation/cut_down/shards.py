"""Batches of crops from the shards of voices.py."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

__all__ = [
    "SHARD_CROPS",
    "Batch",
    "Shard",
    "add_shard_options",
    "batches",
    "held_shards",
    "missing_shards",
    "read_shard",
    "write_shard",
]

SHARD_CROPS = 128
Shard = dict[str, Tensor]
"""`banks`, and by name what the teacher computes for them; one row for each crop"""


@dataclass(frozen=True)
class Batch:
    """Crops of one length."""

    path: Path
    """the shard from which they are read"""
    rows: Tensor
    """their rows in it (N,)"""
    values: Shard
    """the shard's values of these rows, as float32"""

    @property
    def banks(self) -> Tensor:
        """Log filter banks (N, F, M)."""
        return self.values["banks"]


SEEDS_APART = 1_000_000
"""distance between the seeds of runs with successive `--seed`"""


def batches(folder: Path, size: int, seed: int, kind: str = "voices") -> Iterator[Batch]:
    """Batches of the files KIND-NUMBER.pt without end.

    A pass goes through all pairs of the shards that exist when it begins. A batch is from one
    shard and contains both crops of each pair.
    """
    generator = torch.Generator().manual_seed(seed)
    while True:
        pool: list[tuple[Path, list[Tensor]]] = []
        paths = sorted(folder.glob(f"{kind}-*.pt"))
        for index in torch.randperm(len(paths), generator=generator).tolist():
            pairs = len(read_shard(paths[index])["vectors"]) // 2
            drawn = torch.randperm(pairs, generator=generator)
            pool.append((paths[index], list(torch.split(drawn, size // 2))))
        while pool:
            pick = int(torch.randint(len(pool), (1,), generator=generator))
            path, parts = pool[pick]
            first = 2 * parts.pop()
            rows = torch.stack([first, first + 1], dim=1).flatten()
            if not parts:
                pool.pop(pick)
            shard = read_shard(path)
            yield Batch(path, rows, {name: values[rows].float() for name, values in shard.items()})


def held_shards(folder: Path) -> dict[str, Shard]:
    """By corpus, the crops of speakers who are not trained on."""
    paths = sorted(folder.glob("held-*.pt"))
    return {path.stem.removeprefix("held-"): read_shard(path) for path in paths}


def read_shard(path: Path) -> Shard:
    shard: Shard = torch.load(path, mmap=True, weights_only=True)
    return shard


def add_shard_options(parser: argparse.ArgumentParser, crops: int) -> None:
    """Add the options of a script that writes shards; `crops` is the default number of crops."""
    parser.add_argument("--crops", type=int, default=crops)
    parser.add_argument("--first", type=int, default=0, help="number of the first shard")
    parser.add_argument("--vectors-only", action="store_true", help="for head.py")


def missing_shards(folder: Path, kind: str, first: int, crops: int) -> Iterator[tuple[int, Path]]:
    """Numbers and paths of the shards of `crops` crops that are not there yet, from `first` on."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(first, first + crops // SHARD_CROPS):
        path = folder / f"{kind}-{number:05}.pt"
        if not path.exists():
            yield number, path


def write_shard(path: Path, shard: Shard) -> None:
    """Write a shard; a file of its name is whole."""
    torch.save(shard, path.with_suffix(".part"))
    path.with_suffix(".part").rename(path)
