#!/usr/bin/env bash
# torchdata 0.11.0, torch 2.13.0, numpy 2.4.6
#
# Guess, written down before: StatefulDataLoader, restored with load_state_dict() in the middle of an epoch, gives each
# recording once, with any sampler that was made with a seed.
# Seen: with shuffle=True it does. A sampler of batches, such as one of several recordings of each of several speakers, a
# BatchSampler(RandomSampler), or a SubsetRandomSampler is drawn anew and wound forward by the number of batches: in the
# first epoch to the same place, from the second on in another order, for the seeded generator is new while the epoch is not.
# Of an epoch that is interrupted in the middle a quarter of the recordings comes twice and a quarter never. Iterable datasets
# without a state are told of in a warning, samplers are not.
# Who is hurt: whoever trains a speaker encoder with batches balanced by speakers and saves within epochs to resume exactly.
# What to do: give the sampler state_dict() and load_state_dict() that hold the generator's state from the epoch's start, or
# seed it by the epoch, set from a number that is saved, before load_state_dict().
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check torchdata==0.11.0 torch==2.13.0 numpy==2.4.6
OMP_NUM_THREADS=1 "$folder/venv/bin/python" - <<'PYTHON'
import copy
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterator

import torch
from torch.utils.data import BatchSampler, Dataset, RandomSampler, Sampler, SubsetRandomSampler
from torchdata.stateful_dataloader import StatefulDataLoader

SPEAKERS, UTTERANCES, PER_BATCH, EACH = 40, 20, 8, 4


class Recordings(Dataset):
    def __len__(self) -> int:
        return SPEAKERS * UTTERANCES

    def __getitem__(self, number: int) -> int:
        return number


class SpeakerBatches(Sampler[list[int]]):
    """Batches of 4 recordings of each of 8 speakers, each recording once an epoch, from a seeded generator."""

    def __init__(self, generator: torch.Generator) -> None:
        self.generator = generator

    def __len__(self) -> int:
        return SPEAKERS * UTTERANCES // (PER_BATCH * EACH)

    def __iter__(self) -> Iterator[list[int]]:
        orders = [torch.randperm(UTTERANCES, generator=self.generator) for _ in range(SPEAKERS)]
        for part in range(UTTERANCES // EACH):
            speakers = torch.randperm(SPEAKERS, generator=self.generator).tolist()
            for first in range(0, SPEAKERS, PER_BATCH):
                yield [speaker * UTTERANCES + int(place) for speaker in speakers[first : first + PER_BATCH]
                       for place in orders[speaker][part * EACH : (part + 1) * EACH]]


class SeededByEpoch(SpeakerBatches):
    """The same, seeded anew at the start of each epoch."""

    epoch = 0

    def __iter__(self) -> Iterator[list[int]]:
        self.generator.manual_seed(self.epoch)
        return super().__iter__()


recordings, size = Recordings(), PER_BATCH * EACH
Loader, seeded = StatefulDataLoader, lambda: torch.Generator().manual_seed(1)
loaders: dict[str, Callable[[], StatefulDataLoader]] = {
    "shuffle=True": lambda: Loader(recordings, batch_size=size, shuffle=True, generator=seeded()),
    "batches balanced by speakers": lambda: Loader(recordings, batch_sampler=SpeakerBatches(seeded())),
    "BatchSampler(RandomSampler)": lambda: Loader(
        recordings, batch_sampler=BatchSampler(RandomSampler(recordings, generator=seeded()), size, False)
    ),
    "SubsetRandomSampler": lambda: Loader(
        recordings, batch_size=size, sampler=SubsetRandomSampler(range(len(recordings)), generator=seeded())
    ),
    "balanced, seeded by the epoch": lambda: Loader(recordings, batch_sampler=SeededByEpoch(seeded())),
}


def interrupted(make: Callable[[], StatefulDataLoader], epoch: int) -> tuple[float, float]:
    """The shares of the recordings that come twice, and never, in an epoch that is resumed in the middle."""
    loader, seen = make(), []
    for number in range(epoch + 1):
        if isinstance(loader.batch_sampler, SeededByEpoch):
            loader.batch_sampler.epoch = number
        if number < epoch:
            list(loader)
    batches = iter(loader)
    for _ in range(len(loader) // 2):
        seen += next(batches).tolist()
    state, resumed = copy.deepcopy(loader.state_dict()), make()
    if isinstance(resumed.batch_sampler, SeededByEpoch):
        resumed.batch_sampler.epoch = epoch
    resumed.load_state_dict(state)
    seen += [number for batch in resumed for number in batch.tolist()]
    counts = Counter(seen)
    return sum(count > 1 for count in counts.values()) / len(recordings), 1 - len(counts) / len(recordings)


ok = True
for name, make in loaders.items():
    for epoch in (0, 1):
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            twice, never = interrupted(make, epoch)
        print(f"{name}, epoch {epoch + 1} resumed in the middle: {twice:.0%} of the recordings come twice, {never:.0%} never")
        wrong = epoch == 1 and name not in ("shuffle=True", "balanced, seeded by the epoch")
        ok &= not any("sampler" in str(warning.message) for warning in told) and (
            min(twice, never) > 0.15 if wrong else max(twice, never) == 0
        )
sys.exit(0 if ok else "the behavior has changed: samplers go on in the order in which they were, or it is said")
PYTHON
