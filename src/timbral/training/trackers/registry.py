"""The trackers by name: metrics.jsonl is always written, others on request.

A new tracker is a file with a class, and a line in `TRACKERS` and `PACKAGES`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec

from timbral.errors import ConfigError, MissingExtraError, did_you_mean
from timbral.training.trackers.base import RunInfo, Tracker
from timbral.training.trackers.comet import CometTracker
from timbral.training.trackers.jsonl import JsonlTracker
from timbral.training.trackers.mlflow import MlflowTracker
from timbral.training.trackers.tensorboard import TensorBoardTracker
from timbral.training.trackers.visualdl import VisualdlTracker
from timbral.training.trackers.wandb import WandbTracker

__all__ = ["PACKAGES", "TRACKERS", "check_trackers", "open_trackers"]

TRACKERS: dict[str, Callable[[RunInfo], Tracker]] = {
    "comet": CometTracker,
    "jsonl": JsonlTracker,
    "mlflow": MlflowTracker,
    "tensorboard": TensorBoardTracker,
    "visualdl": VisualdlTracker,
    "wandb": WandbTracker,
}
"""jsonl is always on"""

PACKAGES = {
    "comet": ("comet_ml",),
    "mlflow": ("mlflow", "sqlalchemy", "alembic"),
    "tensorboard": ("tensorboard",),
    "visualdl": ("visualdl",),
    "wandb": ("wandb",),
}
"""the package that a tracker imports; the extra has the tracker's name"""


def check_trackers(names: Sequence[str]) -> None:
    """Raise ConfigError for an unknown name, MissingExtraError for one that is not installed."""
    for name in names:
        if name not in TRACKERS:
            raise ConfigError(f"trackers: unknown tracker {name!r}{did_you_mean(name, TRACKERS)}")
        if any(find_spec(package) is None for package in PACKAGES.get(name, ())):
            raise MissingExtraError(f"the tracker {name}", name)


@contextmanager
def open_trackers(run: RunInfo, names: Sequence[str]) -> Iterator[list[Tracker]]:
    """The JSONL tracker and those named, closed at the end."""
    with ExitStack() as stack:
        opened: list[Tracker] = []
        for name in dict.fromkeys(("jsonl", *names)):
            opened.append(TRACKERS[name](run))
            stack.callback(opened[-1].close)
        yield opened
