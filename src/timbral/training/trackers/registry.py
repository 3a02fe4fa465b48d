"""Where a run's numbers, pictures and sounds go: metrics.jsonl always, others if asked."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from timbral.audio.decode import SAMPLE_RATE, Wave
from timbral.errors import ConfigError, MissingExtraError, did_you_mean
from timbral.io.files import atomic_write
from timbral.training.trackers.base import (
    CometTracker,
    MlflowTracker,
    RunInfo,
    Tracker,
    VisualdlTracker,
    WandbTracker,
)

__all__ = ["TRACKERS", "RunInfo", "Tracker", "check_trackers", "open_trackers"]


class JsonlTracker:
    """One JSON document a line; lines behind the step that a run resumes from are dropped."""

    def __init__(self, run: RunInfo) -> None:
        path = run.folder / "metrics.jsonl"
        if path.exists():
            lines = path.read_text("utf-8").splitlines(keepends=True)
            with atomic_write(path) as temporary:
                temporary.write_text("".join(filter(_kept_until(run.first_step), lines)), "utf-8")
        self._file = open(path, "a", encoding="utf-8")  # noqa: SIM115 - closed by close()

    def log(self, step: int, values: Mapping[str, float]) -> None:
        self._file.write(json.dumps({"step": step, **values}) + "\n")
        self._file.flush()

    def picture(self, step: int, name: str, path: Path) -> None:
        """Nothing: the file lies in the run folder already."""

    def clip(self, step: int, name: str, wave: Wave) -> None:
        """Nothing: clips are for trackers that play them."""

    def close(self) -> None:
        self._file.close()


def _kept_until(step: int) -> Any:
    def keep(line: str) -> bool:
        try:
            return bool(json.loads(line)["step"] <= step)
        except (ValueError, KeyError):
            return False  # the last line of a killed run may be cut

    return keep


class TensorBoardTracker:
    """Event files for TensorBoard, under RUN/tensorboard."""

    def __init__(self, run: RunInfo) -> None:
        from torch.utils.tensorboard import SummaryWriter

        # purge_step hides what a killed run had written beyond its last checkpoint
        first = run.first_step + 1 if run.first_step else None
        self._writer: Any = SummaryWriter(str(run.folder / "tensorboard"), purge_step=first)
        for key, value in run.parameters().items():
            self._writer.add_text(f"config/{key}", value, run.first_step)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def picture(self, step: int, name: str, path: Path) -> None:
        from matplotlib.image import imread

        self._writer.add_image(name, imread(path), step, dataformats="HWC")

    def clip(self, step: int, name: str, wave: Wave) -> None:
        self._writer.add_audio(name, wave[None], step, sample_rate=SAMPLE_RATE)

    def close(self) -> None:
        self._writer.close()


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
"""what a tracker imports; the extra has the tracker's name"""


def check_trackers(names: Sequence[str]) -> None:
    """Raise ConfigError for an unknown name, MissingExtraError for one that is not installed."""
    for name in names:
        if name not in TRACKERS:
            raise ConfigError(f"unknown tracker {name!r}{did_you_mean(name, TRACKERS)}")
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
