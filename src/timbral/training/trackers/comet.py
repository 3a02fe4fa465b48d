"""Comet."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from timbral.audio.decode import SAMPLE_RATE, Wave, to_int16
from timbral.training.trackers.base import RunInfo, grouped

__all__ = ["CometTracker"]


class CometTracker:
    """Comet: online with a key, else an archive under RUN/comet for `comet upload`."""

    def __init__(self, run: RunInfo) -> None:
        os.environ.setdefault("COMET_INTERNAL_SENTRY_DSN", "")  # no reports to third parties
        import comet_ml

        options: dict[str, Any] = {
            "project_name": run.project,
            "log_code": False,
            "log_git_metadata": False,
            "log_git_patch": False,
            "log_env_details": False,
            "auto_metric_logging": False,
            "auto_param_logging": False,
            "auto_output_logging": False,
            "parse_args": False,
            "display_summary_level": 0,
        }
        name, is_new = run.id_with("comet")
        options |= {"experiment_key" if is_new else "previous_experiment": name}
        key = run.comet_key or os.environ.get("COMET_API_KEY", "")
        if key:
            options["api_key"] = key
            experiments: tuple[Any, Any] = (comet_ml.Experiment, comet_ml.ExistingExperiment)
        else:
            options["offline_directory"] = str(run.folder / "comet")
            experiments = (comet_ml.OfflineExperiment, comet_ml.ExistingOfflineExperiment)
            (run.folder / "comet").mkdir(parents=True, exist_ok=True)
        self._experiment: Any = experiments[0 if is_new else 1](**options)
        self._experiment.log_parameters(run.parameters())

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        self._experiment.log_metrics(grouped(values), step=step)

    def plot(self, step: int, name: str, path: Path) -> None:
        self._experiment.log_image(str(path), name=f"{name}_{step:06d}.png", step=step)

    def audio(self, step: int, name: str, wave: Wave, caption: str) -> None:
        self._experiment.log_audio(
            to_int16(wave),
            sample_rate=SAMPLE_RATE,
            normalize_data="OFF",  # else every clip is raised to full scale
            file_name=f"{name}_{step:06d}.wav",
            step=step,
            metadata={"utterance": caption},
        )

    def close(self) -> None:
        self._experiment.end()
