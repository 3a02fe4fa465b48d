"""Where a run's numbers go: metrics.jsonl always, TensorBoard if asked."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from timbral.errors import ConfigError, MissingExtraError, did_you_mean
from timbral.files import written_whole

__all__ = ["TRACKERS", "Tracker", "check_trackers", "open_trackers"]


class Tracker(Protocol):
    """Takes scalars by step."""

    def log(self, step: int, values: Mapping[str, float]) -> None: ...

    def close(self) -> None: ...


class JsonlTracker:
    """One JSON document a line; lines behind the step that a run resumes from are dropped."""

    def __init__(self, folder: Path, first_step: int) -> None:
        path = folder / "metrics.jsonl"
        if path.exists():
            lines = path.read_text("utf-8").splitlines(keepends=True)
            with written_whole(path) as temporary:
                temporary.write_text("".join(filter(_kept_until(first_step), lines)), "utf-8")
        self._file = open(path, "a", encoding="utf-8")  # noqa: SIM115 - closed by close()

    def log(self, step: int, values: Mapping[str, float]) -> None:
        self._file.write(json.dumps({"step": step, **values}) + "\n")
        self._file.flush()

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
    """Scalars for TensorBoard, under RUN/tensorboard."""

    def __init__(self, folder: Path, first_step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        # purge_step hides what a killed run had written beyond its last checkpoint
        self._writer: Any = SummaryWriter(
            str(folder / "tensorboard"), purge_step=first_step + 1 if first_step else None
        )

    def log(self, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        self._writer.close()


TRACKERS: dict[str, Callable[[Path, int], Tracker]] = {
    "jsonl": JsonlTracker,
    "tensorboard": TensorBoardTracker,
}
"""made from the run folder and the step that it goes on from; jsonl is always on"""


def check_trackers(names: Sequence[str]) -> None:
    """Raise ConfigError for an unknown name, MissingExtraError for one that is not installed."""
    for name in names:
        if name not in TRACKERS:
            raise ConfigError(f"unknown tracker {name!r}{did_you_mean(name, TRACKERS)}")
        if name == "tensorboard" and find_spec("tensorboard") is None:
            raise MissingExtraError("--tracker tensorboard", "tensorboard")


@contextmanager
def open_trackers(folder: Path, names: Sequence[str], first_step: int) -> Iterator[list[Tracker]]:
    """The JSONL tracker and those named, closed at the end."""
    with ExitStack() as stack:
        opened: list[Tracker] = []
        for name in dict.fromkeys(("jsonl", *names)):
            opened.append(TRACKERS[name](folder, first_step))
            stack.callback(opened[-1].close)
        yield opened
