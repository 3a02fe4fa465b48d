"""A run in progress: one object for everything that is written or shown."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from torch import Tensor

from timbral.checkpoints.checkpoint import Checkpoint, find_checkpoint, is_checkpoint
from timbral.config.yaml import to_mapping
from timbral.data.batches.batch import Batch, WaveBatch
from timbral.data.training_list import write_training_list
from timbral.errors import DataError, TrainingError
from timbral.io.locks import folder_lock
from timbral.io.outputs import RUN, claim_folder
from timbral.io.types import StepProgress
from timbral.training.data import TrainingData
from timbral.training.distributed import Ranks
from timbral.training.identity import DataIdentity, RunIdentity
from timbral.training.log import WorkerLog, worker_log
from timbral.training.plots import RunPlots, is_due
from timbral.training.run_folder import RunFolder, load_state, rename_run
from timbral.training.state import TrainState
from timbral.training.trackers.base import RunInfo, Tracker
from timbral.training.trackers.registry import open_trackers
from timbral.training.train_job import TrainJob
from timbral.training.validation import ValidationResult

__all__ = ["Run"]


class Run:
    """The run folder of this process; a context manager.

    The first rank locks the folder and writes checkpoints, metrics, plots and audio clips; every
    rank has its own log. Raises DataError if another process trains there, TrainingError if the
    folder contains a run with other settings.
    """

    previous: Path | None = None
    """new name of an earlier run in the folder"""
    first_step: int = 0
    """the step that training resumed from"""

    def __init__(
        self, job: TrainJob, data: TrainingData, ranks: Ranks, progress: StepProgress
    ) -> None:
        self.folder = RunFolder(job.output, job.config, data.preprocessing, data.summary)
        self._job = job
        self._data = data
        self._ranks = ranks
        self._progress = progress
        self._plots = RunPlots(job.output, job.config)
        self._trackers: list[Tracker] = []
        path = job.options.checkpoint_path
        self._checkpoint = None if path is None else find_checkpoint(path, trained=True)
        self._same_data = True
        self._log: WorkerLog
        self._open: ExitStack

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            claimed = self._claim(stack) if self._ranks.is_first else None
            self.previous, self._same_data = self._ranks.broadcast_object(claimed)
            self._log = stack.enter_context(worker_log(self.folder.folder, self._ranks.rank))
            self._open = stack.pop_all()
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._open.__exit__(error_type, error, traceback)

    def _claim(self, stack: ExitStack) -> tuple[Path | None, bool]:
        """Claim the folder: the new name of an earlier run in it, and whether the data is the same
        as that of the checkpoint to resume from.

        The folder is not changed before it is locked.
        """
        output = self.folder.folder
        previous = rename_run(output) if self._job.options.force_restart else None
        claim_folder(output, RUN, [self._job.data])
        stack.enter_context(folder_lock(output))
        checkpoint, data = self._checkpoint, self._data.identity
        same_data = checkpoint is None or _trained_on(checkpoint, data)
        self.folder.claim(data, replace=checkpoint is not None)
        self._list_training()
        if checkpoint is not None:
            self.folder.supersede(checkpoint.step)
        return previous, same_data

    def _list_training(self) -> None:
        """Write the list of training utterances, which evaluations check."""
        options = self._job.options
        begun = [Path(path) for path in (options.init, options.checkpoint_path) if path is not None]
        earlier = [find_checkpoint(path).training_list for path in begun if is_checkpoint(path)]
        known = [path for path in earlier if path is not None]
        write_training_list(self.folder.folder, self._data.data.table, self._data.rows, known)

    def resume(self, state: TrainState) -> None:
        """Load `state` for the first step, the same on every rank, and open the trackers.

        Then report that the training begins.
        """
        if self._checkpoint is not None:
            self._log.line(f"resuming {self._checkpoint.folder}")
            load_state(self._checkpoint, state, same_data=self._same_data)
            self.folder.forget_missing_best(state)
        else:
            for warning in self.folder.load_last(state):
                (self._log.warning if self._ranks.is_first else self._log.line)(warning)
        self._ranks.broadcast(list(state.modules().values()))
        self.first_step = state.step
        if self._ranks.is_first:
            options = self._job.options
            info = RunInfo(
                self.folder.folder,
                state.step,
                to_mapping(self._job.config),
                options.project,
                self._job.comet_key,
            )
            self._trackers = self._open.enter_context(open_trackers(info, options.trackers))
            self._progress(state.step, {})
        self._log.line(f"from step {state.step}, on {state.device}, pid {os.getpid()}")

    def note_teacher(self, done: int, total: int) -> None:
        """Report how many files of a teacher's vectors are done, to the terminal and the log."""
        if done == total or done % 10 == 0:
            self._log.line(f"teacher: {done} of {total} files of vectors")
        if self._ranks.is_first:
            self._progress(self.first_step, {"teacher_vectors": done / total})

    def note_shares(self, step: int, done: int, total: int) -> None:
        """Report how many shares of trained weights are scored, to the terminal and the log."""
        self._log.line(f"keep_old: {done} of {total} averages with the start are scored")
        if self._ranks.is_first:
            self._progress(step, {"weight_shares": done / total})

    def note_choice(self, line: str) -> None:
        """Write the chosen share to the log."""
        self._log.line(f"keep_old: {line}")

    def record(self, step: int, metrics: Mapping[str, float], data_wait_fraction: float) -> None:
        """Report a step to the terminal, and its numbers, if any, to the logs and the trackers."""
        shown = {**metrics, "data_wait_fraction": data_wait_fraction} if metrics else {}
        if self._ranks.is_first:
            self._progress(step, shown)
        if not metrics:
            return
        self._log.numbers(step, shown)
        for tracker in self._trackers:
            tracker.scalars(step, metrics)

    def plot_batch(self, step: int, batch: Batch, embeddings: Tensor, loss: float) -> None:
        """Save the plots and audio clips that are due, of the first rank's rows of a batch.

        Args:
            embeddings: of the global batch (B, E), beginning with the first rank's rows
            loss: of the global batch
        """
        if not self._ranks.is_first:
            return
        rows = batch.rows.cpu().numpy()
        for name in self._plots.batch_plots_due(step, loss):
            vectors = embeddings[: len(batch)].float().cpu().numpy()
            self._track_plot(
                name, step, self._plots.draw(name, step, vectors, self._data.data, rows)
            )
        every = self._job.config.tracking.audio_every
        if self._trackers and isinstance(batch, WaveBatch) and is_due(step, every):
            utterances = self._data.data.table["utterance"].take(rows).to_pylist()
            # named by their index in the batch, because trackers group the steps of a name
            for index, (utterance, wave) in enumerate(zip(utterances, batch.waves, strict=True)):
                for tracker in self._trackers:
                    tracker.audio(step, f"batch/{index:03d}", wave.cpu().numpy(), utterance)

    def plot_validation(self, step: int, result: ValidationResult) -> None:
        """Plot the validation's utterances, if that is due."""
        if self._plots.validation_plot_due(step) and self._data.validation is not None:
            data = self._data.validation.data
            path = self._plots.draw("validation", step, result.vectors, data, result.rows)
            self._track_plot("validation", step, path)

    def _track_plot(self, name: str, step: int, path: Path) -> None:
        for tracker in self._trackers:
            tracker.plot(step, f"umap/{name}", path)

    def save(self, state: TrainState, *, best: bool) -> None:
        """Save the checkpoint of this step, on the first rank."""
        if self._ranks.is_first:
            self.folder.save(state, best=best)

    def done(self, step: int, bottleneck: str) -> None:
        """Write the last line of the log."""
        self._log.line(f"done at step {step}, {bottleneck}-bound")


def _trained_on(checkpoint: Checkpoint, data: DataIdentity) -> bool:
    """Whether a checkpoint's run trained and validated on the same utterances."""
    try:
        identity = RunIdentity.read(checkpoint.folder.parent.parent / "run.json")
    except (DataError, TrainingError):
        return False
    return identity.data.same_utterances(data)
