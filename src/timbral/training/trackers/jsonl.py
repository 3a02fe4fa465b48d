"""RUN/metrics.jsonl, which every run writes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from timbral.audio.decode import Wave
from timbral.io.files import atomic_write
from timbral.training.trackers.base import RunInfo

__all__ = ["JsonlTracker"]


class JsonlTracker:
    """One JSON document per line; lines after the step that a run resumes from are dropped."""

    def __init__(self, run: RunInfo) -> None:
        path = run.folder / "metrics.jsonl"
        if path.exists():
            lines = path.read_text("utf-8").splitlines(keepends=True)
            kept = [line for line in lines if _is_of_step_until(line, run.first_step)]
            with atomic_write(path) as temporary:
                temporary.write_text("".join(kept), "utf-8")
        self._file = open(path, "a", encoding="utf-8")  # noqa: SIM115 - closed by close()

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        self._file.write(json.dumps({"step": step, **values}) + "\n")
        self._file.flush()

    def plot(self, step: int, name: str, path: Path) -> None:
        """Nothing: the file is already in the run folder."""

    def audio(self, step: int, name: str, wave: Wave, caption: str) -> None:
        """Nothing: audio is only for trackers that can play it."""

    def close(self) -> None:
        self._file.close()


def _is_of_step_until(line: str, step: int) -> bool:
    """Whether to keep a line; the last one of a killed run may be incomplete."""
    try:
        return bool(json.loads(line)["step"] <= step)
    except (ValueError, KeyError):
        return False
