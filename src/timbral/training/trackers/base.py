"""The interface of trackers."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from timbral.audio.decode import Wave
from timbral.io.files import read_json, write_json

__all__ = ["RunInfo", "Tracker", "grouped"]


@dataclass(frozen=True)
class RunInfo:
    """The run that a tracker tracks."""

    folder: Path
    first_step: int
    """the step that the run resumes from"""
    config: Mapping[str, Any] = field(default_factory=dict)
    project: str = "timbral"
    comet_key: str = field(default="", repr=False)
    """a secret for Comet, never written to disk"""

    def parameters(self) -> dict[str, str]:
        """The config as dotted keys and JSON values."""
        from timbral.config.yaml import flatten  # which imports torch; names of trackers need none

        return {key: json.dumps(value) for key, value in flatten(self.config).items()}

    def id_with(self, tracker: str) -> tuple[str, bool]:
        """The id of this run in a tracker, and whether it is new; it is stored for resuming."""
        path = self.folder / "trackers.json"
        known = read_json(path) if path.exists() else {}
        if self.first_step and tracker in known:
            return str(known[tracker]), False
        known[tracker] = uuid.uuid4().hex
        write_json(path, known)
        return known[tracker], True


class Tracker(Protocol):
    """Receives the output of a run, by step; the constructor gets its config.

    Values of one name at several steps belong together: a curve, or a series of plots.
    """

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Numbers of a step: loss, batch_eer, val_eer, …"""

    def plot(self, step: int, name: str, path: Path) -> None:
        """A PNG file."""

    def audio(self, step: int, name: str, wave: Wave, caption: str) -> None:
        """A clip (T,) at 16 kHz; the caption names the utterance."""

    def close(self) -> None:
        """Called once, after everything else."""


def grouped(values: Mapping[str, float]) -> dict[str, float]:
    """Numbers with names that trackers group: ``train/loss``, ``val/eer``."""
    return {
        f"val/{name.removeprefix('val_')}" if name.startswith("val_") else f"train/{name}": value
        for name, value in values.items()
    }
